/** Policies of several files, and models with the file that is at fault. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { verb as build } from '../../../orchestrator/cli/build.ts';
import { verb as check } from '../../../parties/cli/check.ts';
import { verb as call } from '../../../parties/cli/call.ts';
import { verb as contribute } from '../../../parties/cli/contribute.ts';
import { verb as diff } from '../../../parties/cli/diff.ts';
import { writeHome } from '../../../parties/home.ts';
import { newHome } from '../home/new-home.ts';
import { runVerb } from './run-verb.ts';

const EXAMPLE = join(import.meta.dirname, '../../../policies/examples/skin-lesion-screening/policy.yaml');

let cwd: string;
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'accord-parts-'));
  const whole = await readFile(EXAMPLE, 'utf8');
  const until = /^until:.*\n/m.exec(whole)?.[0] ?? '';
  expect(until).not.toBe('');
  await writeFile(join(cwd, 'whole.yaml'), whole);
  await writeFile(join(cwd, 'main.yaml'), whole.replace(until, ''));
  await writeFile(join(cwd, 'until.yaml'), until);
});
afterAll(() => rm(cwd, { recursive: true, force: true }));

describe('a policy of several files', () => {
  test('is compared as a whole, each side parted from the other by --', async () => {
    const same = await runVerb('diff', diff, ['--json', 'main.yaml', 'until.yaml', '--', 'whole.yaml'], { cwd });
    expect(JSON.parse(same.out)).toMatchObject({ same: true });
    expect(await runVerb('diff', diff, ['main.yaml', 'until.yaml', 'whole.yaml'], { cwd })).toMatchObject({
      code: 2,
      err: expect.stringContaining('parted by --'),
    });
    expect(await runVerb('diff', diff, ['whole.yaml', '--'], { cwd })).toMatchObject({ code: 2 });
  });

  test('is read whole by build, which finds the fault of any part', async () => {
    await writeFile(join(cwd, 'bad.yaml'), 'until: tomorrow\n');
    const where = ['--target', 'local', '-o', 'image'];
    const bad = await runVerb('build', build, ['main.yaml', 'bad.yaml', ...where], { cwd });
    expect(bad).toMatchObject({ code: 30, err: expect.stringContaining('bad.yaml:1:') });
    expect(await runVerb('build', build, where, { cwd })).toMatchObject({ code: 2 });
  });
});

describe('build', () => {
  test.each([
    ['whole.yaml', /whole\.yaml is a file\n {2}hint: name a folder/],
    ['whole.yaml/below', /below is below a file\n {2}hint: name a folder/],
    ['/dev/full', /is no folder/],
    ['/proc', /nothing can be made in \/proc/],
    ['/proc/absent/below', /nothing can be made in \/proc\/absent\/below/],
    ['', /the name of a file is empty/],
  ])('says before it begins that no image can be written to "%s"', async (out, said) => {
    const { code, err } = await runVerb('build', build, ['whole.yaml', '--target', 'local', '-o', out], { cwd });
    expect([code, err]).toEqual([2, expect.stringMatching(said)]);
    expect(err).not.toMatch(/bundling|writing the image/);
  });
});

describe('check', () => {
  test('warns of memory that computing alone exceeds, and says what to write', async () => {
    const whole = await readFile(join(cwd, 'whole.yaml'), 'utf8');
    await writeFile(join(cwd, 'small.yaml'), whole.replace(/memoryMiB: \d+/, 'memoryMiB: 64'));
    const warned = /^ {2}! enclave\.memoryMiB: computing alone takes \d+ MiB.*Raise it/ms;
    expect(await runVerb('check', check, ['small.yaml'], { cwd })).toMatchObject({
      code: 0,
      out: expect.stringMatching(warned),
    });
    expect((await runVerb('check', check, ['whole.yaml'], { cwd })).out).not.toMatch(/enclave\.memoryMiB/);
  });

  test('a trust file that is none is not taken for faults of the policy', async () => {
    const { code, err } = await runVerb('check', check, ['whole.yaml', '--trust', 'whole.yaml'], { cwd });
    expect(code).toBe(30);
    expect(err).toMatch(/faults in the trust file/);
    expect(err).toMatch(/`accord local-aws` writes one/);
    expect(err).not.toMatch(/belongs in/);
  });
});

test('a fault of a manifest is told with the file and the place in it', async () => {
  await writeHome(join(cwd, 'bob'), await newHome('bob'), false);
  const example = join(EXAMPLE, '..');
  const manifest = await readFile(join(example, 'manifest.json'), 'utf8');
  const argv = ['classify', '--model', join(example, 'model.onnx'), '--manifest', 'bad.json', '--home', 'bob'];
  for (const [content, where] of [
    ['{', 'where: bad.json, character 1\n'],
    [manifest.replace(/"kind": ?"[a-z-]+"/, '"kind":"nothing"'), 'where: bad.json\n'],
  ] as const) {
    expect(content).not.toBe(manifest);
    await writeFile(join(cwd, 'bad.json'), content);
    const { code, err } = await runVerb('contribute', contribute, argv, { cwd });
    expect([code, err]).toEqual([30, expect.stringContaining(where)]);
  }
});

test('what is no picture is refused before anybody is asked', async () => {
  await writeHome(join(cwd, 'alice'), await newHome('alice'), false);
  for (const content of ['', 'GIF89a', 'RIFF0000WAVE']) {
    const stdin = new TextEncoder().encode(content);
    const argv = ['classify', '--input', '-', '--home', 'alice'];
    const { code, out, err } = await runVerb('call', call, argv, { cwd, stdin });
    expect([code, out]).toEqual([10, '']);
    expect(err).toContain('no call is spent');
    expect(err).toContain('(call/input-invalid)');
    const json = await runVerb('call', call, [...argv, '--json'], { cwd, stdin });
    expect(JSON.parse(json.out)).toMatchObject({ refused: 'input-invalid' });
  }
});

test('a call of a function that takes a picture needs one, a retry too', async () => {
  await writeHome(join(cwd, 'alice'), await newHome('alice'), false);
  for (const more of [[], ['--retry', '0123456789']]) {
    const { code, err } = await runVerb('call', call, ['classify', '--home', 'alice', ...more], { cwd });
    expect([code, err]).toEqual([2, expect.stringContaining('--input')]);
  }
});

test('what is checked is told in lines that fit a terminal', async () => {
  const { out } = await runVerb('check', check, ['whole.yaml'], { cwd });
  const digest = out.split('\n').filter((line) => !line.includes('Policy digest'));
  expect(Math.max(...digest.map((line) => line.length))).toBeLessThanOrEqual(101);
});
