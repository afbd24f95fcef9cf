import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BaseOptions } from '../../build/local-base.ts';
import { readEif } from './eif/read-eif.ts';
import type { Eif } from './eif/read-eif.ts';
import { measureEif } from '../../build/measure/pcr.ts';
import { IMAGE_FILE } from '../../build/image-builder.ts';
import type { BuildResult } from '../../build/image-builder.ts';
import { buildLocalImage, createLocalBuilder } from '../../build/local-builder.ts';
import { policyWith, smallBase } from './fixture.ts';

const run = promisify(execFile);

let folder = '';
let base: BaseOptions;
let files = 0;
const fresh = (): string => join(folder, `out-${files++}`);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'accord-pipeline-'));
  const installation = join(folder, 'installation');
  await mkdir(installation);
  base = await smallBase(installation);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const build = (calls: number, outDir: string, cacheDir: string | false = false): Promise<BuildResult> =>
  buildLocalImage({ policy: policyWith(calls), outDir, cacheDir, base });

/** SHA-256 of each file: megabytes are slow to compare value by value, and of no use in a message. */
const filesOf = async (dir: string): Promise<Readonly<Record<string, string>>> =>
  Object.fromEntries(
    await Promise.all(
      (await readdir(dir)).map(async (name) => {
        const hash = createHash('sha256').update(await readFile(join(dir, name)));
        return [name, hash.digest('hex')] as const;
      }),
    ),
  );

const imageOf = async ({ eifPath }: BuildResult): Promise<Eif> => readEif(new Uint8Array(await readFile(eifPath)));

describe('building the same policy twice', () => {
  test('gives the same bytes: made anew, into a cache, and from it', async () => {
    const cache = join(folder, 'cache');
    const [anew, first, second] = [fresh(), fresh(), fresh()];
    await build(3, anew);
    await build(3, first, cache);
    await build(3, second, cache);
    const expected = await filesOf(anew);
    expect(Object.keys(expected).sort()).toEqual(['build-arg.txt', 'image.eif', 'measurements.json', 'sbom.cdx.json']);
    expect(await filesOf(first)).toEqual(expected);
    expect(await filesOf(second)).toEqual(expected);
  });

  test('in one process gives what was foretold, which is what the bytes measure to', async () => {
    const builder = await createLocalBuilder({ cacheDir: false, base });
    try {
      const foretold = await builder.measure(policyWith(7));
      const { eifPath, measurements } = await builder.build(policyWith(7), fresh());
      expect(measurements).toMatchObject(foretold);
      expect(await measureEif(eifPath)).toEqual(foretold);
    } finally {
      await builder.close();
    }
  });
});

describe('another quota', () => {
  test('gives other PCRs, and touches header, metadata and last ramdisk alone', async () => {
    const [three, four] = [await build(3, fresh()), await build(4, fresh())];
    const [a, b] = [await imageOf(three), await imageOf(four)];
    expect(a.sections.map(({ kind }) => kind)).toEqual(b.sections.map(({ kind }) => kind));
    const differing = a.sections.flatMap(({ kind, content }, index) =>
      Buffer.from(content).equals(Buffer.from(b.sections[index]?.content ?? new Uint8Array())) ? [] : [{ kind, index }],
    );
    expect(differing).toEqual([
      { kind: 'metadata', index: a.sections.findIndex(({ kind }) => kind === 'metadata') },
      { kind: 'ramdisk', index: a.sections.length - 1 },
    ]);
    expect(four.measurements.PCR0).not.toBe(three.measurements.PCR0);
    expect(four.measurements.PCR2).not.toBe(three.measurements.PCR2);
    // What boots is the same: kernel, command line and the first ramdisk.
    expect(four.measurements.PCR1).toBe(three.measurements.PCR1);
    expect(four.policyDigest).not.toBe(three.policyDigest);
  });
});

/** Runs `work` on a file system of so many bytes; false, with a printed reason, where none can be mounted. */
async function onSmallDisk(bytes: number, work: (disk: string) => Promise<void>): Promise<boolean> {
  const disk = join(folder, `disk-${files++}`);
  await mkdir(disk);
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${bytes},mode=0700`, 'tmpfs', disk]);
  } catch (error) {
    const why = error instanceof Error ? (error.message.trim().split('\n').at(-1) ?? '') : '';
    process.stderr.write(`skipped: a full disk: no small file system can be mounted here (needs root): ${why}\n`);
    return false;
  }
  try {
    await work(disk);
  } finally {
    await run('umount', [disk]);
  }
  return true;
}

const FULL = {
  kind: 'environment',
  code: 'disk/full',
  message: expect.stringMatching(/the disk is full/),
  hint: expect.stringMatching(/free some space/),
};

describe('a full disk', () => {
  test('ends the build with a plain reason, and leaves no half image', async (context) => {
    const mounted = await onSmallDisk(1_048_576, async (disk) => {
      const outDir = join(disk, 'out');
      await expect(build(3, outDir)).rejects.toMatchObject({
        ...FULL,
        where: expect.stringContaining(outDir),
      });
      expect(await readdir(outDir)).toEqual([]);
    });
    if (!mounted) context.skip('no small file system can be mounted here');
  });

  test('leaves an image that stood there before as it was', async (context) => {
    // Room for one image of 3 MB, not for a second beside it.
    const mounted = await onSmallDisk(5_242_880, async (disk) => {
      await build(3, disk);
      const before = await filesOf(disk);
      await expect(build(4, disk)).rejects.toMatchObject(FULL);
      expect(await filesOf(disk)).toEqual(before);
      expect((await measureEif(join(disk, IMAGE_FILE))).PCR0).toMatch(/^[0-9a-f]{96}$/);
    });
    if (!mounted) context.skip('no small file system can be mounted here');
  });

  test('under the cache leaves no half base, which a later build would have to distrust', async (context) => {
    const mounted = await onSmallDisk(1_048_576, async (disk) => {
      await expect(build(3, fresh(), disk)).rejects.toMatchObject(FULL);
      expect(await readdir(join(disk, 'base'))).toEqual([]);
    });
    if (!mounted) context.skip('no small file system can be mounted here');
  });
});

describe('a folder that cannot be written to', () => {
  test('is named', async () => {
    const file = join(folder, 'a-file');
    await writeFile(file, '');
    await expect(build(3, join(file, 'out'))).rejects.toMatchObject({ kind: 'environment', code: 'disk/failed' });
  });
});
