/** What a rebuild sees of the cache: downloads, and perhaps kernel and init. Nothing else that somebody may have put there. */
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openRebuildInputs } from '../../build/rebuild-inputs.ts';

let cache: string;
const DEB = `${'ab'.repeat(32)}.deb`;
const NODE = `${'cd'.repeat(32)}-node`;
const SOURCE = `${'ef'.repeat(32)}.tar.xz`;
const DERIVED = [`base-0123456789abcdef-${'ab'.repeat(32)}.tar`, '.123-456', 'notes.txt'];

beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), 'accord-rebuild-inputs-'));
  await mkdir(join(cache, 'inputs'));
  for (const name of [DEB, NODE, SOURCE, ...DERIVED]) await writeFile(join(cache, 'inputs', name), name);
  for (const name of ['toolchain', 'base', 'engines', 'kernel']) await mkdir(join(cache, name));
  await writeFile(join(cache, 'kernel', 'bzImage'), 'kernel');
});
afterEach(() => rm(cache, { recursive: true }));

test('downloads, kernel and init; nothing that was derived', async () => {
  const { folder, close } = await openRebuildInputs(cache, false);
  expect((await readdir(join(folder, 'inputs'))).sort()).toEqual([DEB, NODE, SOURCE].sort());
  expect(await readFile(join(folder, 'inputs', DEB), 'utf8')).toBe(DEB);
  expect((await readdir(folder)).sort()).toEqual(['init', 'inputs', 'kernel']);
  expect(await readFile(join(folder, 'kernel', 'bzImage'), 'utf8')).toBe('kernel');
  await close();
  expect(await readFile(join(cache, 'kernel', 'bzImage'), 'utf8')).toBe('kernel');
});

test('from source: downloads alone', async () => {
  const { folder, close } = await openRebuildInputs(cache, true);
  expect(await readdir(folder)).toEqual(['inputs']);
  await close();
});

test('what it downloads stays, what it makes goes, and what was there is as it was', async () => {
  const { folder, close } = await openRebuildInputs(cache, true);
  const fresh = `${'12'.repeat(32)}.deb`;
  await writeFile(join(folder, 'inputs', fresh), 'fresh');
  await writeFile(join(folder, 'inputs', 'base-1.tar'), 'made');
  await mkdir(join(folder, 'toolchain'));
  await close();
  expect((await readdir(join(cache, 'inputs'))).sort()).toEqual([DEB, NODE, SOURCE, fresh, ...DERIVED].sort());
  expect(await readFile(join(cache, 'inputs', DEB), 'utf8')).toBe(DEB);
  expect((await readdir(cache)).filter((name) => name.startsWith('rebuild-'))).toEqual([]);
});

test('a cache that is not there yet is made', async () => {
  const { folder, close } = await openRebuildInputs(join(cache, 'new', 'cache'), false);
  expect(await readdir(join(folder, 'inputs'))).toEqual([]);
  await close();
});
