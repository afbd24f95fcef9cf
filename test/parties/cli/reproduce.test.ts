/** The verb, with a real local image: what it takes, what it says, and with which exit code it ends. */
import { cp, mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildLocalImage } from '../../../build/local-builder.ts';
import { verb as measure } from '../../../parties/cli/measure.ts';
import { verb } from '../../../parties/cli/reproduce.ts';
import { policyWith } from '../../build/fixture.ts';
import { runVerb } from './run-verb.ts';
import type { Outcome } from './run-verb.ts';

let cwd: string;
let measurements: string;
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'accord-reproduce-verb-'));
  await buildLocalImage({ policy: policyWith(3), outDir: join(cwd, 'out'), cacheDir: false });
  measurements = await readFile(join(cwd, 'out', 'measurements.json'), 'utf8');
  await writeFile(join(cwd, 'alone.json'), measurements);
}, 60_000);
afterAll(() => rm(cwd, { recursive: true, force: true }));

const reproduce = (...argv: readonly string[]): Promise<Outcome> => runVerb('reproduce', verb, argv, { cwd });

describe('accord reproduce', () => {
  test('takes policy and image from beside the measurements, and says what it found', { timeout: 60_000 }, async () => {
    const { code, out } = await reproduce('out/measurements.json');
    expect(out).toMatch(/^REPRODUCED: the local image of trial, .*; out\/image\.eif is that file, byte for byte\n/);
    expect(out).toContain('this is what you still trust');
    expect(out).toContain(JSON.parse(measurements).PCR0);
    expect(code).toBe(0);
  });

  test('says which file of an image differs', { timeout: 60_000 }, async () => {
    await mkdir(join(cwd, 'changed'));
    await cp(join(cwd, 'out', 'measurements.json'), join(cwd, 'changed', 'measurements.json'));
    const image = join(cwd, 'changed', 'image.eif');
    await cp(join(cwd, 'out', 'image.eif'), image);
    const at = (await readFile(image)).indexOf('accord/v1/reads');
    const handle = await open(image, 'r+');
    await handle.write(new TextEncoder().encode('X'), 0, 1, at);
    await handle.close();
    const { code, out } = await reproduce('changed/measurements.json');
    expect(out).toMatch(
      /^DIFFERENT: changed\/image\.eif is not what was built here; the measurements in changed\/measurements\.json are\n/,
    );
    expect(out).toContain('changed/image.eif, beside what was built here:\n');
    expect(out).toMatch(
      / {2}ramdisk 2: rootfs\/accord\/gate\.mjs: another content from byte \d+ on\n {4}image {4}[0-9a-f]{64} \(\d+ bytes\)\n {4}rebuilt {2}[0-9a-f]{64} \(\d+ bytes\)\n/,
    );
    expect(out).toContain('  header: a wrong checksum\n');
    expect(code).toBe(10);
  });

  test('measurements that are none: malformed, told by the field', async () => {
    const without = (name: string): string => JSON.stringify({ ...JSON.parse(measurements), [name]: undefined });
    for (const [text, field] of [
      ['{', 'is not JSON'],
      [without('PCR1'), 'PCR1 is missing'],
      [without('target'), 'target is missing'],
      [without('eif'), 'eif is not a JSON object'],
      [without('inputs'), 'inputs is not a JSON object'],
    ] as const) {
      await writeFile(join(cwd, 'bad.json'), text);
      const { code, err } = await reproduce('bad.json');
      expect([code, err]).toEqual([30, expect.stringContaining(field)]);
    }
  });

  test('of a C library that whoever built the image chose: the party must have chosen it too', async () => {
    const claim: unknown = JSON.parse(measurements);
    const [theirs, other] = ['a', 'b'].map((digit) => `registry.example/debian@sha256:${digit.repeat(64)}`);
    const foreign = { ...Object(claim), target: 'nitro', inputs: { base: { image: theirs } } };
    await writeFile(join(cwd, 'foreign.json'), JSON.stringify(foreign));
    await writeFile(join(cwd, 'debian.json'), JSON.stringify({ ...foreign, inputs: { base: { debian: 'a' } } }));
    for (const [argv, said] of [
      [['foreign.json'], /registry\.example.* which whoever built it chose: .*--base/],
      [['foreign.json', '--base', other ?? ''], /and --base names another/],
      [['debian.json', '--base', other ?? ''], /--base is of no use: .* locked packages/],
      [['alone.json', '--base', other ?? ''], /--base is of no use: the image is for the local host/],
    ] as const) {
      const { code, err } = await reproduce(...argv);
      expect([code, err]).toEqual([2, expect.stringMatching(said)]);
    }
  });

  test('needs a policy from somewhere', async () => {
    const { code, err } = await reproduce('alone.json');
    expect([code, err]).toEqual([2, expect.stringContaining('--policy FILE is missing')]);
    expect((await reproduce('alone.json', '--image', 'none.eif')).code).toBe(2);
    expect((await reproduce('alone.json', '--policy', 'none.yaml')).code).toBe(2);
    expect((await reproduce('alone.json', '--image', 'alone.json')).code).toBe(30);
    expect((await reproduce()).code).toBe(2);
  });
});

test('accord measure of an unsigned image says nothing of signatures', async () => {
  const { code, out, err } = await runVerb('measure', measure, ['out/image.eif', '--json'], { cwd });
  expect([code, /sign/.exec(err)]).toEqual([0, null]);
  expect(Object.keys(JSON.parse(out))).toEqual(['PCR0', 'PCR1', 'PCR2']);
});
