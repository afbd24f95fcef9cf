/** Packages, sound and hostile, into a folder. */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { unpackDebs } from '../../../build/inputs/unpack.ts';
import type { UnpackOptions } from '../../../build/inputs/unpack.ts';
import { arOf, debOf, tarOf, xz } from './made-up.ts';
import type { Member } from './made-up.ts';

let folder: string;
let root: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'accord-unpack-'));
  root = join(folder, 'root');
  mkdirSync(root);
});
afterEach(() => rmSync(folder, { recursive: true }));

let made = 0;
function unpackBytes(bytes: Uint8Array, options?: UnpackOptions): Promise<void> {
  const deb = join(folder, `${made++}.deb`);
  writeFileSync(deb, bytes);
  return unpackDebs([deb], root, options);
}
const unpack = async (members: readonly Member[], options?: UnpackOptions): Promise<void> =>
  unpackBytes(await debOf(members), options);
const mode = (path: string): number => statSync(join(root, path)).mode & 0o7777;

test('files, folders and links, with their modes and times whatever the umask', async () => {
  const before = process.umask(0o077);
  try {
    await unpack([
      { name: './', type: 'directory', mode: 0o755 },
      { name: './usr/share/', type: 'directory', mode: 0o755 },
      { name: './usr/share/text', body: 'words', mode: 0o644, mtime: new Date(1_000_000_000_000) },
      { name: './usr/bin/tool', body: '#!', mode: 0o755 },
      { name: './usr/bin/again', type: 'link', linkname: './usr/bin/tool' },
      { name: './usr/bin/alias', type: 'symlink', linkname: 'tool' },
    ]);
  } finally {
    process.umask(before);
  }
  expect([mode('usr'), mode('usr/share'), mode('usr/share/text'), mode('usr/bin/tool')]).toEqual([
    0o755, 0o755, 0o644, 0o755,
  ]);
  expect(readFileSync(join(root, 'usr/share/text'), 'utf8')).toBe('words');
  expect(statSync(join(root, 'usr/share/text')).mtimeMs).toBe(1_000_000_000_000);
  expect(statSync(join(root, 'usr/bin/again')).ino).toBe(statSync(join(root, 'usr/bin/tool')).ino);
  expect(readlinkSync(join(root, 'usr/bin/alias'))).toBe('tool');
});

test('old paths lead into /usr, also where a package has them as folders', async () => {
  await unpack([
    { name: './lib/', type: 'directory', mode: 0o755 },
    { name: './lib/x/libc.so', body: 'c' },
    { name: './bin/sh', body: 'sh' },
  ]);
  expect(readlinkSync(join(root, 'lib'))).toBe('usr/lib');
  expect(readFileSync(join(root, 'usr/lib/x/libc.so'), 'utf8')).toBe('c');
  expect(readFileSync(join(root, 'usr/bin/sh'), 'utf8')).toBe('sh');
});

test('a later package replaces what an earlier one wrote, links included', async () => {
  await unpack([
    { name: './a', body: 'one' },
    { name: './b', type: 'symlink', linkname: 'a' },
  ]);
  await unpack([{ name: './b', body: 'two' }]);
  expect(readFileSync(join(root, 'a'), 'utf8')).toBe('one');
  expect(lstatSync(join(root, 'b')).isFile()).toBe(true);
});

test('no setuid, setgid or sticky bit survives', async () => {
  await unpack([
    { name: './usr/bin/su', body: 'su', mode: 0o6755 },
    { name: './tmp/', type: 'directory', mode: 0o1777 },
  ]);
  expect([mode('usr/bin/su'), mode('tmp')]).toEqual([0o755, 0o777]);
});

test('only what is wanted is unpacked', async () => {
  const keep = (path: string): boolean => path.startsWith('usr/include/');
  await unpack(
    [
      { name: './usr/include/a.h', body: '' },
      { name: './usr/share/doc/a', body: '' },
    ],
    { keep },
  );
  expect(existsSync(join(root, 'usr/include/a.h'))).toBe(true);
  expect(existsSync(join(root, 'usr/share'))).toBe(false);
});

test.each<readonly [string, readonly Member[]]>([
  ['a path that climbs', [{ name: './../outside', body: 'x' }]],
  ['a path that climbs later', [{ name: './usr/../../outside', body: 'x' }]],
  ['an absolute path', [{ name: '/tmp/accord-outside', body: 'x' }]],
  ['a hard link to a path that climbs', [{ name: './a', type: 'link', linkname: '../outside' }]],
  ['a hard link to an absolute path', [{ name: './a', type: 'link', linkname: '/etc/passwd' }]],
  ['a device', [{ name: './dev/null', type: 'character-device', devmajor: 1, devminor: 3 }]],
  ['a pipe', [{ name: './p', type: 'fifo' }]],
])('%s is refused', async (_, members) => {
  await expect(unpack(members)).rejects.toMatchObject({
    kind: 'malformed',
    code: 'inputs/archive',
    where: expect.stringMatching(/\.deb$/),
  });
  expect(existsSync(join(folder, 'outside'))).toBe(false);
  expect(existsSync('/tmp/accord-outside')).toBe(false);
});

test.each([
  ['absolute', (outside: string) => outside],
  ['climbing', () => '../../../../../../../../../..'],
])('a file behind an %s link lands below the root, not where the link leads here', async (_, target) => {
  const outside = join(folder, 'outside');
  mkdirSync(outside);
  const linkname = target(outside);
  await unpack([
    { name: './trap', type: 'symlink', linkname },
    { name: './trap/file', body: 'x' },
    { name: './trap/below/', type: 'directory', mode: 0o755 },
  ]);
  expect(existsSync(join(outside, 'file'))).toBe(false);
  const inside = linkname.startsWith('/') ? join(root, outside) : root;
  expect(readFileSync(join(inside, 'file'), 'utf8')).toBe('x');
});

test('links in a circle are refused', async () => {
  await expect(
    unpack([
      { name: './a', type: 'symlink', linkname: 'b' },
      { name: './b', type: 'symlink', linkname: 'a' },
      { name: './a/file', body: 'x' },
    ]),
  ).rejects.toMatchObject({ code: 'inputs/archive', message: expect.stringContaining('circle') });
});

test('a package that stops short is refused, wherever it stops', async () => {
  const whole = await debOf([{ name: './a', body: 'content '.repeat(1000) }]);
  for (const bytes of [0, 7, 8, 40, 68, 100, whole.length - 200, whole.length - 1]) {
    await expect(unpackBytes(whole.subarray(0, bytes)), `${bytes} bytes`).rejects.toMatchObject({
      kind: 'malformed',
      code: 'inputs/archive',
    });
  }
});

test('damaged contents are refused, in the words of whoever found out', async () => {
  const tar = await tarOf([{ name: './a', body: 'content '.repeat(1000) }]);
  const packed = xz(tar);
  packed[packed.length >> 1] = (packed[packed.length >> 1] ?? 0) ^ 0xff;
  await expect(unpackBytes(arOf([['data.tar.xz', packed]]))).rejects.toMatchObject({
    code: 'inputs/archive',
    message: expect.stringContaining('corrupt'),
  });
  await expect(unpackBytes(arOf([['data.tar.xz', xz(tar.subarray(0, 2000))]]))).rejects.toMatchObject({
    code: 'inputs/archive',
    message: expect.stringMatching(/end of data/),
  });
  await expect(unpackBytes(arOf([['data.tar.zst', tar]]))).rejects.toMatchObject({
    message: expect.stringContaining('only xz is read'),
  });
  await expect(unpackBytes(arOf([['control.tar.xz', packed]]))).rejects.toMatchObject({
    message: expect.stringContaining('no data.tar.xz'),
  });
});

test('without xz it says what to install', async () => {
  const path = process.env['PATH'];
  const bytes = await debOf([{ name: './a', body: 'x' }]);
  process.env['PATH'] = folder;
  try {
    await expect(unpackBytes(bytes)).rejects.toMatchObject({
      kind: 'environment',
      code: 'inputs/tool-missing',
      hint: expect.stringContaining('xz-utils'),
    });
  } finally {
    process.env['PATH'] = path;
  }
});
