/** An image for Nitro, built by one container engine and reproduced with another, from a small installation. */
import { copyFile, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { buildEifImage } from '../../build/eif-builder.ts';
import type { EifInputs, EifParts } from '../../build/eif-builder.ts';
import type { EngineName } from '../../build/engine/engine.ts';
import type { BuildResult } from '../../build/image-builder.ts';
import { readImagePolicy } from '../../build/image-policy.ts';
import { rebuildNitro } from '../../build/rebuild.ts';
import { reproduce } from '../../build/reproduce.ts';
import type { Reproduction } from '../../build/reproduce.ts';
import { parseClaim } from '../../parties/measurements.ts';
import { startEngines } from './engine/engines.ts';
import type { TestEngines } from './engine/engines.ts';
import { smallParts } from './engine/parts.ts';
import { policyWith } from './fixture.ts';

let work: string;
let engines: TestEngines;
let parts: EifParts;
let built: BuildResult<EifInputs> | undefined;
let runs = 0;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'accord-reproduce-nitro-'));
  parts = await smallParts(work);
  engines = await startEngines(work);
  const [first] = engines.working;
  if (first === undefined) return;
  const [engine, env] = first;
  const options = { engine, env, cacheDir: join(work, 'cache'), parts };
  built = await buildEifImage({ ...options, policy: policyWith(3), outDir: join(work, 'out') });
}, 120_000);
afterAll(async () => {
  await engines.stop();
  await rm(work, { recursive: true, force: true });
});

type Given = NonNullable<typeof built>;

async function again({ measurementsPath, eifPath }: Given, image: string, from: EifParts): Promise<Reproduction> {
  const [engine, env]: readonly [EngineName, Readonly<Record<string, string | undefined>>] = [...engines.working].at(-1) ?? ['docker', {}]; // prettier-ignore
  const folder = join(work, `rebuilt-${runs++}`);
  await mkdir(folder);
  return reproduce({
    claim: parseClaim(await readFile(measurementsPath, 'utf8'), 'measurements.json'),
    policy: await readImagePolicy(eifPath),
    image,
    folder,
    now: new Date(),
    rebuild: rebuildNitro({
      engine,
      env,
      cacheDir: join(work, 'cache'),
      fromSource: false,
      onProgress: () => {},
      signal: new AbortController().signal,
      parts: from,
    }),
  });
}

test('the same parts give the same file; who is still trusted is said', { timeout: 120_000 }, async (context) => {
  if (built === undefined) return context.skip('no container engine can be used here');
  const found = await again(built, built.eifPath, parts);
  expect(found).toMatchObject({ same: true, measurements: [], image: { differences: [] } });
  expect(found.takenAsIs.join('\n')).toMatch(/kernel 6\.12\.0 .*by an earlier run on this machine.*--from-source/);
});

test('a planted base ramdisk is not read, and is not what comes out', { timeout: 120_000 }, async (context) => {
  if (built === undefined) return context.skip('no container engine can be used here');
  const base = join(work, 'cache', 'base');
  const [entry = ''] = await readdir(base);
  await writeFile(join(base, entry, 'base.cpio'), 'planted');
  expect((await again(built, built.eifPath, parts)).same).toBe(true);
  expect(await readFile(join(base, entry, 'base.cpio'), 'utf8')).toBe('planted');
});

test('another kernel, and another Node: told by section and file', { timeout: 120_000 }, async (context) => {
  if (built === undefined || parts.boot === undefined || parts.node === undefined) {
    return context.skip('no container engine can be used here');
  }
  const [kernel, node] = [join(work, 'other-kernel'), join(work, 'other-node')];
  await writeFile(kernel, 'a kernel for others');
  await copyFile(parts.node.path, node);
  const bytes = await readFile(node);
  bytes[2_000_000] = (bytes[2_000_000] ?? 0) ^ 1;
  await writeFile(node, bytes);
  const other = { ...parts, boot: { ...parts.boot, kernel }, node: { ...parts.node, path: node } };
  const found = await again(built, built.eifPath, other);
  expect(found.same).toBe(false);
  expect(found.measurements.map(({ path }) => path)).toEqual(
    expect.arrayContaining(['PCR0', 'PCR1', 'PCR2', 'eif.sha384']),
  );
  expect(found.image?.differences).toMatchObject([
    { where: 'kernel', what: 'content', offset: 13 },
    { where: 'ramdisk 2: rootfs/usr/bin/node', what: 'content', offset: 2_000_000 },
  ]);
});
