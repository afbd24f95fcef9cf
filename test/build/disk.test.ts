/** Folders, made where they can be made, and refused where they cannot, without waiting for ever. */
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeFolder } from '../../build/disk.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'accord-disk-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

test('makes what is absent, with its mode, says what that was, and leaves what is there', async () => {
  const path = join(folder, 'a', 'b', 'c');
  expect(await makeFolder(path, 0o700)).toEqual([join(folder, 'a'), join(folder, 'a', 'b'), path]);
  expect(await makeFolder(path, 0o755)).toEqual([]);
  expect(statSync(path).mode & 0o777).toBe(0o700);
});

test('a file in the way is told', async () => {
  const path = join(folder, 'file');
  writeFileSync(path, '');
  await expect(makeFolder(path, 0o700)).rejects.toMatchObject({ code: 'EEXIST' });
  await expect(makeFolder(join(path, 'below'), 0o700)).rejects.toMatchObject({ code: 'ENOTDIR' });
});

test('a system that makes no folder where its parent stands is told, not asked for ever', async () => {
  await expect(makeFolder('/proc/accord/below', 0o700)).rejects.toMatchObject({ code: 'ENOENT' });
});
