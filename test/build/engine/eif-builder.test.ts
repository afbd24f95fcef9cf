/** Images for Nitro by every container engine of this machine, from a small installation. */
import { createHash } from 'node:crypto';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildEifImage, createEifBuilder } from '../../../build/eif-builder.ts';
import type { EifBuilderOptions, EifInputs, EifParts } from '../../../build/eif-builder.ts';
import { ENGINE_NAMES } from '../../../build/engine/engine.ts';
import { ENGINES } from '../../../build/engine/engines.ts';
import type { EngineName } from '../../../build/engine/engine.ts';
import type { BuildResult } from '../../../build/image-builder.ts';
import { measureEif } from '../../../build/measure/pcr.ts';
import { policyWith } from '../fixture.ts';
import { readEif } from '../eif/read-eif.ts';
import { startEngines } from './engines.ts';
import type { TestEngines } from './engines.ts';
import { elf, smallParts } from './parts.ts';
import { startRegistry } from './registry.ts';

const run = promisify(execFile);
let work = '';
let outs = 0;
let parts: EifParts;
let engines: TestEngines;
const fresh = (): string => join(work, `out-${outs++}`);

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'accord-eif-'));
  parts = await smallParts(work);
  engines = await startEngines(work);
});
afterAll(async () => {
  await engines.stop();
  await rm(work, { recursive: true, force: true });
});

const optionsFor = (engine: EngineName, more: EifBuilderOptions = {}): EifBuilderOptions => ({
  engine,
  env: engines.working.get(engine) ?? {},
  cacheDir: join(work, `cache-${engine}`),
  parts,
  ...more,
});
const build = (engine: EngineName, calls: number, more: EifBuilderOptions = {}): Promise<BuildResult<EifInputs>> =>
  buildEifImage({ ...optionsFor(engine, more), policy: policyWith(calls), outDir: fresh() });
const digestOf = async (path: string): Promise<string> =>
  createHash('sha256')
    .update(await readFile(path))
    .digest('hex');

describe.each(ENGINE_NAMES)('%s', (engine) => {
  const only = (context: { skip: (why: string) => void }): void => {
    if (!engines.working.has(engine)) context.skip(`${engine} cannot be used here`);
  };

  test('builds an image that measures to what was said, a second time and without a cache the same bytes', async (context) => {
    only(context);
    const [first, second] = [await build(engine, 3), await build(engine, 3)];
    const anew = await build(engine, 3, { cacheDir: false, inputsDir: join(work, `cache-${engine}`) });
    const { eifPath, measurements, buildArgument, canonicalPolicy } = first;
    expect(measurements).toMatchObject({ target: 'nitro', ...(await measureEif(eifPath)) });
    expect(buildArgument).toBe(`ACCORD_POLICY=${canonicalPolicy}`);
    const { sections } = await readEif(new Uint8Array(await readFile(eifPath)));
    const kinds = sections.map(({ kind }) => kind);
    expect(kinds).toEqual(['kernel', 'cmdline', 'metadata', 'ramdisk', 'ramdisk', 'ramdisk']);
    expect(Buffer.from(sections[0]?.content ?? []).toString()).toBe('a kernel for tests');
    expect(await digestOf(second.eifPath)).toBe(await digestOf(eifPath));
    expect(await digestOf(anew.eifPath)).toBe(await digestOf(eifPath));
    expect(await readFile(second.measurementsPath, 'utf8')).toBe(await readFile(first.measurementsPath, 'utf8'));
  });

  test('one builder measures another policy without the engine, and builds what it measured', async (context) => {
    only(context);
    const builder = await createEifBuilder(optionsFor(engine));
    try {
      const [three, seven] = [await builder.measure(policyWith(3)), await builder.measure(policyWith(7))];
      expect(seven.PCR0).not.toBe(three.PCR0);
      expect(seven.PCR2).not.toBe(three.PCR2);
      expect(seven.PCR1).toBe(three.PCR1);
      const built = await builder.build(policyWith(7), fresh());
      expect(built.measurements).toMatchObject(seven);
      expect(await measureEif(built.eifPath)).toEqual(seven);
    } finally {
      await builder.close();
    }
  });

  test('two builds at once do not disturb each other', async (context) => {
    only(context);
    const [alone, ...both] = [await build(engine, 5), ...(await Promise.all([build(engine, 5), build(engine, 6)]))];
    expect(both[0]?.measurements.PCR0).toBe(alone.measurements.PCR0);
    expect(both[1]?.measurements.PCR0).not.toBe(alone.measurements.PCR0);
    expect(await measureEif(both[1]?.eifPath ?? '')).toMatchObject({ PCR0: both[1]?.measurements.PCR0 });
  });

  test('carries a build argument of any characters as it is', async (context) => {
    only(context);
    const opened = await ENGINES[engine]({ env: engines.working.get(engine) ?? {}, storage: join(work, 'odd') });
    const folder = fresh();
    await mkdir(folder);
    await writeFile(join(folder, 'Dockerfile'), 'FROM scratch\nARG ODD\nENV ODD=${ODD}\nCOPY Dockerfile /\n');
    const ODD = '{"a":"$x ${HOME} \\n \\" \' `id` %s \\\\ é 😀","z":1}';
    try {
      const request = { context: folder, buildArguments: { ODD }, tag: 'accord-odd', onLine: () => {} };
      const { environment } = await opened.inspect(await opened.build({ ...request, signal: undefined }));
      expect(environment).toContain(`ODD=${ODD}`);
    } finally {
      await opened.close();
    }
  });

  test('Ctrl-C in the middle ends the engine too, and leaves nothing', async (context) => {
    only(context);
    const outDir = fresh();
    const stop = new AbortController();
    const cacheDir = join(work, `cache-abort-${engine}`);
    const building = buildEifImage({
      ...optionsFor(engine, { cacheDir, inputsDir: join(work, `cache-${engine}`) }),
      policy: policyWith(9),
      outDir,
      signal: stop.signal,
      onProgress: ({ step, text }) => {
        if (step === 'engine' && /step/i.test(text)) stop.abort(new Error('interrupted'));
      },
    });
    await expect(building).rejects.toThrow('interrupted');
    expect(await readdir(cacheDir)).toEqual([]);
    await expect(readdir(outDir)).rejects.toThrow('ENOENT');
    const { stdout } = await run('ps', ['-eo', 'args']);
    expect(stdout.split('\n').filter((line) => line.includes(cacheDir))).toEqual([]);
  });

  test('a full disk under the cache is told, and leaves no half base', async (context) => {
    only(context);
    const disk = join(work, `disk-${engine}`);
    await mkdir(disk);
    try {
      await run('mount', ['-t', 'tmpfs', '-o', 'size=5m,mode=0700', 'tmpfs', disk]);
    } catch {
      process.stderr.write('skipped: a full disk: no small file system can be mounted here (needs root)\n');
      context.skip('no small file system can be mounted here');
    }
    try {
      // Room for the folder that is built in, not for the layers beside it.
      const small = build(engine, 3, { cacheDir: disk, inputsDir: join(work, `cache-${engine}`) });
      await expect(small).rejects.toMatchObject({
        code: 'disk/full',
        kind: 'environment',
        hint: expect.stringMatching(/free some space/),
      });
      expect((await readdir(disk)).filter((name) => name !== 'base')).toEqual([]);
    } finally {
      await run('umount', [disk]);
    }
  });

  test('a program for another processor is refused', async (context) => {
    only(context);
    const node = join(work, 'node-of-arm64');
    await writeFile(node, elf(183, 50_000));
    await expect(
      build(engine, 3, { parts: { ...parts, node: { path: node, version: '20.0.0' } } }),
    ).rejects.toMatchObject({
      code: 'image/architecture',
      kind: 'refused',
      where: '/usr/bin/node',
    });
  });

  test('a registry that cannot be reached, or an image that is not there, is told', async (context) => {
    only(context);
    const base = `127.0.0.1:1/debian@sha256:${'0'.repeat(64)}`;
    await expect(build(engine, 3, { base })).rejects.toMatchObject({ code: 'engine/base', kind: 'environment' });
  });
});

describe.each(ENGINE_NAMES)('%s, with a base of a registry', (engine) => {
  test('takes the C library from it, and runs nothing that it asks for', async (context) => {
    if (!engines.working.has(engine)) context.skip(`${engine} cannot be used here`);
    const layer = await readFile(parts.baseTar?.path ?? '');
    const registry = await startRegistry(layer, { OnBuild: ['RUN ["/never"]'], Env: ['LD_PRELOAD=/x'], Cmd: ['/y'] });
    try {
      const settings = join(work, `registries-${engine}.conf`);
      await writeFile(settings, `[[registry]]\nlocation="${registry.host}"\ninsecure=true\n`);
      const env = { ...engines.working.get(engine), CONTAINERS_REGISTRIES_CONF: settings };
      const [theirs, ours] = [await build(engine, 3, { env, base: registry.image }), await build(engine, 3)];
      expect(theirs.measurements.PCR0).toBe(ours.measurements.PCR0); // it is of the same files
      expect(theirs.measurements.inputs.base).toEqual({ image: registry.image });
    } finally {
      await registry.close();
    }
  });
});

test('every engine gives the same measurements, and the same file', async (context) => {
  const names = [...engines.working.keys()];
  if (names.length < 2) context.skip(`only ${names.join(', ') || 'none'} is here: nothing to compare`);
  const built = await Promise.all(names.map((name) => build(name, 3)));
  const digests = await Promise.all(built.map(({ eifPath }) => digestOf(eifPath)));
  expect(new Set(built.map(({ measurements }) => JSON.stringify(measurements))).size).toBe(1);
  expect(new Set(digests).size).toBe(1);
  process.stderr.write(`the same image by ${names.join(', ')}: PCR0 ${built[0]?.measurements.PCR0 ?? ''}\n`);
});

test.each(['debian', 'debian:trixie', 'debian@sha256:abc', '--volume=/:/host', 'a b@sha256:' + '0'.repeat(64)])(
  'the base "%s", without a digest, is refused before anything is done',
  async (base) => {
    await expect(createEifBuilder({ base, parts })).rejects.toMatchObject({
      code: 'image/base-not-pinned',
      kind: 'refused',
      where: '--base',
    });
  },
);
