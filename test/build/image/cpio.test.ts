import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createCpioReader } from '../../../build/image/cpio-read.ts';
import type { CpioLimits, CpioSink } from '../../../build/image/cpio-read.ts';
import { encodeCpio, planCpio, writeCpio } from '../../../build/image/cpio.ts';
import type { CpioEntry } from '../../../build/image/cpio.ts';
import { noise, text } from '../eif/samples.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'accord-cpio-'));
});
afterAll(() => rm(folder, { recursive: true }));

const ENTRIES: readonly (CpioEntry & { readonly content?: Uint8Array })[] = [
  { kind: 'directory', path: 'usr', mode: 0o755 },
  { kind: 'directory', path: 'usr/bin', mode: 0o700 },
  { kind: 'file', path: 'usr/bin/node', mode: 0o755, content: noise(1001) },
  { kind: 'hardlink', path: 'usr/bin/nodejs', to: 'usr/bin/node' },
  { kind: 'hardlink', path: 'usr/bin/a-node', to: 'usr/bin/node' },
  { kind: 'symlink', path: 'bin', target: 'usr/bin' },
  { kind: 'file', path: 'usr-local', mode: 0o600, content: text('hyphens sort before slashes') },
  { kind: 'file', path: 'empty', mode: 0o444, content: new Uint8Array() },
  { kind: 'file', path: 'usr/ünïcødé ☃', mode: 0o644, content: text('é') },
];

/** What a reader makes of an archive that comes in pieces of `size`. */
async function readBack(
  archive: Uint8Array,
  size: number,
  limits: CpioLimits = { entries: 100, bytes: 1e6 },
): Promise<readonly object[]> {
  const seen: { [key: string]: unknown; content?: number[] }[] = [];
  const note = (entry: object) => async (): Promise<void> => void seen.push({ ...entry });
  const sink: CpioSink = {
    directory: (header) => note(header)(),
    symlink: (header, target) => note({ ...header, target })(),
    file: (header) => note({ ...header, content: [] })(),
    content: async (piece) => void seen.at(-1)?.content?.push(...piece),
    end: async () => {},
  };
  const reader = createCpioReader(sink, limits, 'ramdisk');
  for (let at = 0; at < archive.length; at += size) await reader.push(archive.subarray(at, at + size));
  reader.finish();
  return seen;
}

describe('a ramdisk', () => {
  test('has the same bytes whatever order its entries are given in', () => {
    const archive = encodeCpio(ENTRIES);
    fc.assert(
      fc.property(fc.shuffledSubarray([...ENTRIES], { minLength: ENTRIES.length }), (shuffled) => {
        expect(Buffer.compare(encodeCpio(shuffled), archive)).toBe(0);
      }),
      { numRuns: 30 },
    );
  });

  test('names no time, no owner, no device, and counts inodes from 1', () => {
    const bytes = Buffer.from(encodeCpio(ENTRIES));
    const field = (at: number, i: number): number =>
      Number.parseInt(bytes.toString('latin1', at + 6 + 8 * i, at + 14 + 8 * i), 16);
    const headers = [...bytes.toString('latin1').matchAll(/070701[0-9A-F]{104}/g)].map(({ index }) => index);
    expect(headers.length).toBe(ENTRIES.length + 1);
    for (const at of headers) for (const i of [2, 3, 5, 7, 8, 9, 10, 12]) expect(field(at, i)).toBe(0);
    // bin, empty, usr, usr-local, usr/bin, usr/bin/{a-node, node, nodejs}: one file of three names, then the trailer
    expect(headers.map((at) => field(at, 0))).toEqual([1, 2, 3, 4, 5, 6, 6, 6, 7, 0]);
    expect(headers.map((at) => field(at, 4))).toEqual([1, 1, 1, 1, 1, 3, 3, 3, 1, 1]);
    // The content comes once, with the last name.
    expect(headers.slice(5, 8).map((at) => field(at, 6))).toEqual([0, 0, 1001]);
  });

  test('ends aligned, so that archives can be joined', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), (content) => {
        expect(encodeCpio([{ kind: 'file', path: 'x', mode: 0o644, content }]).length % 512).toBe(0);
      }),
    );
  });

  test('reads back as what was written, in pieces of any size', async () => {
    const archive = encodeCpio(ENTRIES);
    const whole = await readBack(archive, archive.length);
    expect(whole).toMatchObject([
      { kind: 'symlink', path: 'bin', target: 'usr/bin' },
      { kind: 'file', path: 'empty', mode: 0o444, content: [] },
      { kind: 'directory', path: 'usr', mode: 0o755, parent: '' },
      { kind: 'file', path: 'usr-local', mode: 0o600 },
      { kind: 'directory', path: 'usr/bin', mode: 0o700, parent: 'usr' },
      { path: 'usr/bin/a-node', content: [] },
      { path: 'usr/bin/node', content: [] },
      { path: 'usr/bin/nodejs', mode: 0o755, content: [...noise(1001)] },
      { path: 'usr/ünïcødé ☃', content: [...text('é')] },
    ]);
    for (const size of [1, 2, 3, 7, 110, 512, 1000]) expect(await readBack(archive, size)).toEqual(whole);
  });

  test('is streamed from files with the bytes it has in memory', async () => {
    const file = join(folder, 'big');
    await writeFile(file, noise(9_000_001));
    const plan = planCpio([{ kind: 'file', path: 'big', mode: 0o644, content: { file, bytes: 9_000_001 } }]);
    const pieces: Uint8Array[] = [];
    for await (const piece of writeCpio(plan)) pieces.push(Uint8Array.from(piece));
    const inMemory = encodeCpio([{ kind: 'file', path: 'big', mode: 0o644, content: noise(9_000_001) }]);
    expect(Buffer.concat(pieces).equals(inMemory)).toBe(true);
    expect(plan.bytes).toBe(inMemory.length);
  });

  test.each([9_000_000, 9_000_002])('is not made of a file that is not as long as it was (%i)', async (bytes) => {
    const file = join(folder, 'big');
    await writeFile(file, noise(9_000_001));
    const plan = planCpio([{ kind: 'file', path: 'big', mode: 0o644, content: { file, bytes } }]);
    const write = async (): Promise<number> => {
      let written = 0;
      for await (const piece of writeCpio(plan)) written += piece.length;
      return written;
    };
    await expect(write()).rejects.toMatchObject({ code: 'cpio/changed', kind: 'environment', where: file });
  });

  test.each<readonly [string, readonly CpioEntry[], string]>([
    ['absolute', [{ kind: 'directory', path: '/etc', mode: 0o755 }], 'cpio/path'],
    ['..', [{ kind: 'directory', path: '..', mode: 0o755 }], 'cpio/path'],
    ['. inside', [{ kind: 'directory', path: 'a/./b', mode: 0o755 }], 'cpio/path'],
    [
      'twice',
      [
        { kind: 'directory', path: 'a', mode: 0o755 },
        { kind: 'symlink', path: 'a', target: 'b' },
      ],
      'cpio/duplicate',
    ],
    ['no folder', [{ kind: 'file', path: 'a/b', mode: 0o644, content: text('') }], 'cpio/parent-missing'],
    [
      'in a link',
      [
        { kind: 'symlink', path: 'a', target: 'b' },
        { kind: 'symlink', path: 'a/b', target: 'b' },
      ],
      'cpio/parent-missing',
    ],
    ['a link to nothing', [{ kind: 'hardlink', path: 'a', to: 'b' }], 'cpio/link'],
    ['a link out', [{ kind: 'symlink', path: 'a', target: '../b' }], 'cpio/link'],
    ['the trailer', [{ kind: 'file', path: 'TRAILER!!!', mode: 0o644, content: text('') }], 'cpio/path'],
  ])('is not made with an entry that is %s', (_name, entries, code) => {
    expect(() => planCpio(entries)).toThrow(expect.objectContaining({ code }));
  });

  test('is refused when it has more entries or more content than the reader allows', async () => {
    const archive = encodeCpio(ENTRIES);
    await expect(readBack(archive, 100, { entries: 8, bytes: 1e6 })).rejects.toMatchObject({ code: 'cpio/too-many' });
    await expect(readBack(archive, 100, { entries: 9, bytes: 1000 })).rejects.toMatchObject({ code: 'cpio/too-large' });
    await expect(readBack(archive, 100, { entries: 9, bytes: 1e6 })).resolves.toHaveLength(9);
  });

  const cpio = spawnSync('cpio', ['--version']).error === undefined;
  if (!cpio) process.stderr.write('skipped: ramdisks read by cpio: the cpio program is not installed\n');
  test.skipIf(!cpio)('is read by the cpio program', async () => {
    const target = join(folder, 'unpacked');
    execFileSync('sh', ['-c', `mkdir ${target} && cd ${target} && cpio -idm --quiet`], { input: encodeCpio(ENTRIES) });
    expect((await readdir(join(target, 'usr/bin'))).sort()).toEqual(['a-node', 'node', 'nodejs']);
    expect((await readFile(join(target, 'usr/bin/a-node'))).equals(noise(1001))).toBe(true);
    expect((await stat(join(target, 'usr/bin/node'))).nlink).toBe(3);
    expect(await readFile(join(target, 'usr/ünïcødé ☃'), 'utf8')).toBe('é');
  });
  if (!cpio) process.stderr.write('skipped: a ramdisk is read by the cpio program: cpio is not installed\n');
});
