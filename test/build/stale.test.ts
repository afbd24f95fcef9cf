/** Only what a killed process left, a day ago, goes away. */
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { removeStale } from '../../build/stale.ts';

let home = '';
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'accord-stale-'));
});
afterAll(() => rm(home, { recursive: true, force: true }));

test('old folders of ours go; new ones and those of others stay', async () => {
  const longAgo = new Date(Date.now() - 25 * 3600 * 1000);
  for (const name of ['work-old', 'work-new', 'other-old']) {
    await mkdir(join(home, name));
    await writeFile(join(home, name, 'file'), 'x');
  }
  for (const name of ['work-old', 'other-old']) await utimes(join(home, name), longAgo, longAgo);
  await removeStale(home, ['work-']);
  expect((await readdir(home)).sort()).toEqual(['other-old', 'work-new']);
});

test('where there is no folder nothing is wrong', () => removeStale(join(home, 'absent'), ['work-']));
