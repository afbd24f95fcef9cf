/** An anchor in a folder: whole entries, never replaced, and every way in which a folder can fail. */
import * as fs from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Failure } from '../../../policies/failure.ts';
import type { Anchor } from '../../../enclave/claims/anchor.ts';
import type { FolderFiles } from '../../../enclave/claims/folder-anchor.ts';
import { createFolderAnchor } from '../../../enclave/claims/folder-anchor.ts';

const { signal } = new AbortController();
const NAME = 'tickets/d/classify/alice';
const entry = (fill: number): Uint8Array => new Uint8Array(101).fill(fill);

let folder: string;
const open = (files: Partial<FolderFiles> = {}): Anchor =>
  createFolderAnchor({ owner: 'alice', folder, files: { ...fs, ...files }, random: (n) => randomBytes(n) });
const failing = (code: string) => (): Promise<never> => Promise.reject(Object.assign(new Error(code), { code }));

const codeOf = async (work: () => Promise<unknown>): Promise<string> => {
  try {
    await work();
  } catch (error) {
    if (error instanceof Failure) return error.code;
    throw error;
  }
  return 'accepted';
};

beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'anchor-'));
});
afterEach(() => fs.rm(folder, { recursive: true, force: true }));

describe('entries', () => {
  test('stand where the comment says, for good, and nothing is left on the way', async () => {
    const anchor = open();
    await anchor.check(signal);
    expect(await anchor.claim(NAME, 0, entry(1), signal)).toEqual(entry(1));
    expect(await anchor.claim(NAME, 0, entry(2), signal)).toEqual(entry(1));
    expect(await open().claim(NAME, 0, entry(2), signal)).toEqual(entry(1));
    expect(await anchor.holder(NAME, 0, signal)).toEqual(entry(1));
    expect(await anchor.holder(NAME, 1, signal)).toBeUndefined();
    expect(new Uint8Array(await fs.readFile(join(folder, NAME, '0')))).toEqual(entry(1));
    expect(await fs.readdir(join(folder, '.incoming'))).toEqual([]);
    expect(await fs.readdir(join(folder, NAME))).toEqual(['0']);
  });

  test('of many at once exactly one holds, and all are told the same', async () => {
    const anchors = [open(), open()];
    const claims = Array.from({ length: 40 }, async (_, i) => anchors[i % 2]?.claim(NAME, 7, entry(i), signal));
    const told = await Promise.all(claims);
    expect(new Set(told.map((bytes) => bytes?.[0])).size).toBe(1);
    expect(await open().holder(NAME, 7, signal)).toEqual(told[0]);
  });

  test.each(['../outside', 'a//b', 'a/../b', '.incoming/x', '/a'])('a name %s is no place', async (name) => {
    expect(
      await open()
        .claim(name, 0, entry(1), signal)
        .catch((error: unknown) => error),
    ).toBeInstanceOf(RangeError);
  });
});

describe('what is no entry', () => {
  test.each([
    ['empty', ''],
    ['short', 'x'.repeat(100)],
    ['long', 'x'.repeat(102)],
  ])('%s: tampered, whether it is read or claimed', async (_, content) => {
    await fs.mkdir(join(folder, NAME), { recursive: true });
    await fs.writeFile(join(folder, NAME, '3'), content);
    expect(await codeOf(() => open().holder(NAME, 3, signal))).toBe('anchor/tampered');
    expect(await codeOf(() => open().claim(NAME, 3, entry(1), signal))).toBe('anchor/tampered');
  });

  test('a folder in its place: tampered', async () => {
    await fs.mkdir(join(folder, NAME, '3'), { recursive: true });
    expect(await codeOf(() => open().claim(NAME, 3, entry(1), signal))).toBe('anchor/tampered');
    expect(await codeOf(() => open().holder(NAME, 3, signal))).toBe('anchor/tampered');
  });
});

describe('a folder that fails', () => {
  test('one that is missing: misconfigured, and it is not made', async () => {
    folder = join(folder, 'none');
    for (const work of [
      () => open().check(signal),
      () => open().claim(NAME, 0, entry(1), signal),
      () => open().holder(NAME, 0, signal),
    ])
      expect(await codeOf(work)).toBe('anchor/misconfigured');
    await expect(fs.stat(folder)).rejects.toThrow('ENOENT');
  });

  test('a file instead of it: misconfigured', async () => {
    folder = join(folder, 'file');
    await fs.writeFile(folder, '');
    expect(await codeOf(() => open().check(signal))).toBe('anchor/misconfigured');
  });

  test.each([
    ['ENOSPC', 'anchor/full'],
    ['EDQUOT', 'anchor/full'],
    ['EACCES', 'anchor/refused'],
    ['EROFS', 'anchor/refused'],
    ['ENOTSUP', 'anchor/misconfigured'],
    ['EIO', 'anchor/unavailable'],
    ['EMFILE', 'anchor/unavailable'],
  ])('%s: %s, whichever step it is', async (errno, code) => {
    for (const step of ['open', 'mkdir', 'link'] as const) {
      const anchor = open({ [step]: failing(errno) });
      expect(await codeOf(() => anchor.claim(NAME, 0, entry(1), signal))).toBe(code);
      expect(await codeOf(() => anchor.check(signal))).toBe(code);
    }
  });

  test('a disk that fills up while an entry is written leaves no half of it, and the entry is written later', async () => {
    const full = open({
      open: async (path, flags, mode) => {
        const handle = await fs.open(path, flags, mode);
        if (flags !== 'wx') return handle;
        return Object.assign(handle, {
          writeFile: async () => {
            await handle.write(entry(1).subarray(0, 50));
            throw Object.assign(new Error('full'), { code: 'ENOSPC' });
          },
        });
      },
    });
    expect(await codeOf(() => full.claim(NAME, 0, entry(1), signal))).toBe('anchor/full');
    expect(await open().holder(NAME, 0, signal)).toBeUndefined();
    expect(await fs.readdir(join(folder, '.incoming'))).toEqual([]);
    expect(await open().claim(NAME, 0, entry(2), signal)).toEqual(entry(2));
  });

  test('an acknowledgement that is lost after the entry was written: asking again finds it', async () => {
    let lost = false;
    const anchor = open({
      link: async (from, to) => {
        await fs.link(from, to);
        if (lost) return;
        lost = true;
        throw Object.assign(new Error('lost'), { code: 'EIO' });
      },
    });
    expect(await codeOf(() => anchor.claim(NAME, 0, entry(1), signal))).toBe('anchor/unavailable');
    expect(await anchor.claim(NAME, 0, entry(1), signal)).toEqual(entry(1));
  });

  test('nothing is begun after the time is over', async () => {
    const over = AbortSignal.abort(new Error('over'));
    await expect(open().claim(NAME, 0, entry(1), over)).rejects.toThrow('over');
    expect(await fs.readdir(folder)).toEqual([]);
  });
});
