/** Policies of several files, and models with the file that is at fault. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { verb as build } from '../../../orchestrator/cli/build.ts';
import { verb as check } from '../../../parties/cli/check.ts';
import { verb as diff } from '../../../parties/cli/diff.ts';
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

test('what is checked is told in lines that fit a terminal', async () => {
  const { out } = await runVerb('check', check, ['whole.yaml'], { cwd });
  const digest = out.split('\n').filter((line) => !line.includes('Policy digest'));
  expect(Math.max(...digest.map((line) => line.length))).toBeLessThanOrEqual(101);
});
