import { chmod, mkdir, mkdtemp, readFile, readdir, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CPIO_MAGIC, encodeCpio } from '../../../build/image/cpio.ts';
import type { CpioEntry } from '../../../build/image/cpio.ts';
import { collaborationRamdisk, parseCommand, parseEnvironment } from '../../../build/image/ramdisk.ts';
import { unpackEif } from '../../../build/image/unpack.ts';
import { encodeEif } from '../eif/encode-eif.ts';
import { measureEif } from '../../../build/measure/pcr.ts';
import { FIELDS, SECTIONS, edit, noise, text } from '../eif/samples.ts';

let folder = '';
const image = (): string => join(folder, 'image.eif');
const target = (): string => join(folder, 'root');
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'accord-unpack-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

type InMemory = CpioEntry & { readonly content?: Uint8Array };

const BASE: readonly InMemory[] = [
  { kind: 'directory', path: 'rootfs', mode: 0o755 },
  { kind: 'directory', path: 'rootfs/accord', mode: 0o755 },
  { kind: 'directory', path: 'rootfs/usr', mode: 0o555 },
  { kind: 'file', path: 'rootfs/usr/node', mode: 0o755, content: noise(3_000_000) },
  { kind: 'hardlink', path: 'rootfs/usr/nodejs', to: 'rootfs/usr/node' },
  { kind: 'file', path: 'rootfs/usr/secret', mode: 0o400, content: text('x') },
  { kind: 'symlink', path: 'rootfs/bin', target: 'usr' },
  { kind: 'symlink', path: 'rootfs/usr/up', target: '../accord' },
];
const last = (): Uint8Array =>
  collaborationRamdisk({
    policy: '{"a":"b=c\u2028"}',
    transport: 'local',
    command: ['rootfs/usr/node', '-e', '1 + 1'],
  });

const eifOf = (...ramdisks: readonly Uint8Array[]): Uint8Array =>
  encodeEif(FIELDS, [...SECTIONS.slice(0, 3), ...ramdisks.map((content) => ({ kind: 'ramdisk' as const, content }))]);
const init = (): Uint8Array => encodeCpio([{ kind: 'file', path: 'init', mode: 0o644, content: text('none') }]);
const good = (): Uint8Array => eifOf(init(), encodeCpio(BASE), last());

/** One entry as a hostile author would write it: any field, any name. */
interface RawEntry {
  readonly name: string | Uint8Array;
  readonly mode: number;
  readonly content?: Uint8Array;
  readonly ino?: number;
  readonly nlink?: number;
  readonly filesize?: number;
  readonly magic?: string;
  readonly rdev?: number;
}

function raw(entries: readonly RawEntry[], trailer = true): Uint8Array {
  const pad = (bytes: Uint8Array): Uint8Array => Buffer.concat([bytes, new Uint8Array((4 - (bytes.length % 4)) % 4)]);
  const all: readonly RawEntry[] = trailer ? [...entries, { name: 'TRAILER!!!', mode: 0, nlink: 1 }] : entries;
  return Buffer.concat(
    all.flatMap(
      ({
        name,
        mode,
        content = new Uint8Array(),
        ino = 1,
        nlink = 1,
        filesize = content.length,
        magic = CPIO_MAGIC,
        rdev = 0,
      }) => {
        const bytes = Buffer.concat([typeof name === 'string' ? text(name) : name, Uint8Array.of(0)]);
        const fields = [ino, mode, 0, 0, nlink, 0, filesize, 0, 0, rdev, rdev, bytes.length, 0];
        const head = magic + fields.map((field) => field.toString(16).padStart(8, '0')).join('');
        return [pad(Buffer.concat([text(head), bytes])), pad(content)];
      },
    ),
  );
}

const unpacking = async (bytes: Uint8Array): Promise<unknown> => {
  await writeFile(image(), bytes);
  return unpackEif(image(), target());
};

/** Everything in the test's folder but the image: what a refused image must not leave, inside or outside. */
const leftovers = async (): Promise<readonly string[]> =>
  (await readdir(folder, { recursive: true })).filter((name) => name !== 'image.eif').sort();

describe('unpacking an image', () => {
  test('gives its files with their modes, its command, its environment, and the PCRs of its bytes', async () => {
    await writeFile(image(), good());
    const { cmd, env, pcrs } = await unpackEif(image(), target());
    expect(cmd).toEqual(['rootfs/usr/node', '-e', '1 + 1']);
    expect(env).toEqual({ ACCORD_POLICY: '{"a":"b=c\u2028"}' });
    expect(pcrs).toEqual(await measureEif(image()));
    const root = target();
    expect((await readFile(join(root, 'rootfs/usr/node'))).equals(noise(3_000_000))).toBe(true);
    expect((await stat(join(root, 'rootfs/usr/nodejs'))).ino).toBe((await stat(join(root, 'rootfs/usr/node'))).ino);
    expect(await readlink(join(root, 'rootfs/bin'))).toBe('usr');
    expect(await readFile(join(root, 'rootfs/accord/transport'), 'utf8')).toBe('local\n');
    const mode = async (path: string): Promise<number> => (await stat(join(root, path))).mode & 0o7777;
    expect(await mode('rootfs/usr/node')).toBe(0o755);
    expect(await mode('rootfs/usr')).toBe(0o555);
    expect(await mode('rootfs/usr/secret')).toBe(0o400);
    expect(await mode('cmd')).toBe(0o644);
    await chmod(join(root, 'rootfs/usr'), 0o755);
  });

  test('accepts an empty folder and refuses one with something in it', async () => {
    await mkdir(target());
    await unpacking(good());
    await expect(unpackEif(image(), target())).rejects.toMatchObject({
      code: 'unpack/folder-not-fresh',
      kind: 'environment',
    });
    expect(await readdir(target())).toContain('cmd');
    await chmod(join(target(), 'rootfs/usr'), 0o755);
  });

  test('measures what it unpacks, even if the file is swapped by name meanwhile', async () => {
    await writeFile(image(), good());
    const expected = await measureEif(image());
    let swapped = false;
    const { pcrs } = await unpackEif(image(), target(), {
      onProgress: () => {
        if (swapped) return;
        swapped = true;
        void rm(image()).then(() => writeFile(image(), eifOf(init(), encodeCpio(BASE.slice(0, 2)), last())));
      },
    });
    expect(pcrs).toEqual(expected);
    expect((await readFile(join(target(), 'rootfs/usr/node'))).equals(noise(3_000_000))).toBe(true);
    await chmod(join(target(), 'rootfs/usr'), 0o755);
  });

  test('stops when it is told to, and leaves nothing', async () => {
    await writeFile(image(), good());
    const stop = new AbortController();
    const unpacked = unpackEif(image(), target(), {
      signal: stop.signal,
      onProgress: () => stop.abort(new Error('enough')),
    });
    await expect(unpacked).rejects.toThrow('enough');
    expect(await leftovers()).toEqual([]);
  });

  test('refuses an image without command or environment', async () => {
    await expect(unpacking(eifOf(init(), encodeCpio(BASE)))).rejects.toMatchObject({ code: 'unpack/no-command' });
    const onlyCommand = encodeCpio([{ kind: 'file', path: 'cmd', mode: 0o644, content: text('a') }]);
    await expect(unpacking(eifOf(init(), onlyCommand))).rejects.toMatchObject({ code: 'unpack/no-environment' });
    expect(await leftovers()).toEqual([]);
  });

  test('refuses a damaged image after the fact, and leaves nothing', async () => {
    const bytes = edit(good(), (copy) => copy.fill(0xff, 2_000_000, 2_000_001));
    await expect(unpacking(bytes)).rejects.toMatchObject({ code: 'eif/crc-mismatch' });
    expect(await leftovers()).toEqual([]);
  });

  test('says what the disk said', async () => {
    await writeFile(image(), good());
    const inFile = join(image(), 'root');
    await expect(unpackEif(image(), inFile)).rejects.toMatchObject({
      code: 'disk/failed',
      kind: 'environment',
      where: inFile,
    });
    await expect(unpackEif(join(folder, 'none'), target())).rejects.toMatchObject({ code: 'file/unreadable' });
    expect(await leftovers()).toEqual([]);
  });
});

const DIR = 0o040755;
const FILE = 0o100644;
const LINK = 0o120777;

describe('a hostile ramdisk is refused and leaves nothing, inside or outside', () => {
  const x = text('x');
  test.each<readonly [string, Uint8Array, string]>([
    ['a path with ..', raw([{ name: '../escaped', mode: FILE, content: x }]), 'cpio/path'],
    [
      'a path with .. inside',
      raw([
        { name: 'a', mode: DIR },
        { name: 'a/../../escaped', mode: FILE, content: x },
      ]),
      'cpio/path',
    ],
    ['an absolute path', raw([{ name: '/tmp/escaped', mode: FILE, content: x }]), 'cpio/path'],
    ['a path with ./', raw([{ name: './a', mode: FILE, content: x }]), 'cpio/path'],
    ['an empty path', raw([{ name: '', mode: FILE, content: x }]), 'cpio/path'],
    [
      'a doubled slash',
      raw([
        { name: 'a', mode: DIR },
        { name: 'a//b', mode: FILE, content: x },
      ]),
      'cpio/path',
    ],
    ['a trailing slash', raw([{ name: 'a/', mode: DIR }]), 'cpio/path'],
    ['a name with a zero inside', raw([{ name: 'a\0b', mode: FILE, content: x }]), 'cpio/path'],
    ['a name with a line break', raw([{ name: 'a\nb', mode: FILE, content: x }]), 'cpio/path'],
    ['a name that is not UTF-8', raw([{ name: Uint8Array.of(0xff, 0xfe), mode: FILE, content: x }]), 'cpio/path'],
    ['a name of 5000 bytes', raw([{ name: 'a'.repeat(5000), mode: FILE, content: x }]), 'cpio/path'],
    ['a part of 256 bytes', raw([{ name: 'a'.repeat(256), mode: FILE, content: x }]), 'cpio/path'],
    ['an absolute link', raw([{ name: 'a', mode: LINK, content: text('/etc/passwd') }]), 'cpio/link'],
    ['a link that climbs out', raw([{ name: 'a', mode: LINK, content: text('..') }]), 'cpio/link'],
    [
      'a link that climbs out from below',
      raw([
        { name: 'd', mode: DIR },
        { name: 'd/a', mode: LINK, content: text('../../x') },
      ]),
      'cpio/link',
    ],
    [
      'a link that climbs after it descended',
      raw([
        { name: 'd', mode: DIR },
        { name: 'd/a', mode: LINK, content: text('b/../../..') },
      ]),
      'cpio/link',
    ],
    ['a link without target', raw([{ name: 'a', mode: LINK }]), 'cpio/link'],
    ['a link of 5000 bytes', raw([{ name: 'a', mode: LINK, content: noise(5000) }]), 'cpio/link'],
    [
      'a file through a link',
      raw([
        { name: 'd', mode: DIR },
        { name: 'a', mode: LINK, content: text('d') },
        { name: 'a/b', mode: FILE, content: x },
      ]),
      'cpio/parent-missing',
    ],
    [
      'a file in a file',
      raw([
        { name: 'a', mode: FILE, content: x },
        { name: 'a/b', mode: FILE, content: x },
      ]),
      'cpio/parent-missing',
    ],
    ['a file without its folder', raw([{ name: 'a/b', mode: FILE, content: x }]), 'cpio/parent-missing'],
    [
      'one path twice',
      raw([
        { name: 'a', mode: FILE, content: x },
        { name: 'a', mode: FILE, content: x },
      ]),
      'cpio/duplicate',
    ],
    [
      'a folder over a link',
      raw([
        { name: 'd', mode: DIR },
        { name: 'a', mode: LINK, content: text('d') },
        { name: 'a', mode: DIR },
      ]),
      'cpio/duplicate',
    ],
    [
      'a folder twice with other modes',
      raw([
        { name: 'a', mode: DIR },
        { name: 'a', mode: 0o040777 },
      ]),
      'cpio/duplicate',
    ],
    ['a character device', raw([{ name: 'null', mode: 0o020666, rdev: 1 }]), 'cpio/device'],
    ['a block device', raw([{ name: 'sda', mode: 0o060666, rdev: 8 }]), 'cpio/device'],
    ['a pipe', raw([{ name: 'pipe', mode: 0o010666 }]), 'cpio/device'],
    ['a socket', raw([{ name: 'socket', mode: 0o140666 }]), 'cpio/device'],
    ['no type at all', raw([{ name: 'a', mode: 0o644 }]), 'cpio/device'],
    ['a setuid program', raw([{ name: 'su', mode: 0o104755, content: x }]), 'cpio/setuid'],
    ['a setgid program', raw([{ name: 'su', mode: 0o102755, content: x }]), 'cpio/setuid'],
    [
      'two contents for one inode',
      raw([
        { name: 'a', mode: FILE, nlink: 2, ino: 7, content: x },
        { name: 'b', mode: FILE, nlink: 2, ino: 7, content: text('y') },
      ]),
      'cpio/link',
    ],
    ['a folder with a content', raw([{ name: 'a', mode: DIR, content: x }]), 'cpio/format'],
    [
      'a content that claims 4 GiB',
      raw([{ name: 'a', mode: FILE, content: x, filesize: 0xffff_ffff }]),
      'cpio/truncated',
    ],
    [
      'contents that claim more than 4 GiB',
      raw([
        { name: 'a', mode: FILE, content: x },
        { name: 'b', mode: FILE, filesize: 0xffff_ffff },
      ]),
      'cpio/truncated',
    ],
    ['no trailer', raw([{ name: 'a', mode: FILE, content: x }], false), 'cpio/truncated'],
    ['a trailer with a content', raw([{ name: 'TRAILER!!!', mode: 0, content: x }]), 'cpio/format'],
    [
      'a second archive behind the first',
      Buffer.concat([raw([{ name: 'a', mode: DIR }]), raw([{ name: 'b', mode: DIR }])]),
      'cpio/padding',
    ],
    ['bytes behind the trailer', Buffer.concat([raw([]), new Uint8Array(512), x]), 'cpio/padding'],
    ['bytes in the padding of a name', edit(raw([{ name: 'ab', mode: DIR }]), (b) => (b[113] = 1)), 'cpio/padding'],
    [
      'bytes in the padding of a content',
      edit(raw([{ name: 'a', mode: FILE, content: x }]), (b) => (b[113] = 1)),
      'cpio/padding',
    ],
    ['the variant with checksums', raw([{ name: 'a', mode: FILE, content: x, magic: '070702' }]), 'cpio/format'],
    ['the old ASCII variant', text('0707070000000000000000000000000000'.padEnd(200, '0')), 'cpio/format'],
    ['a number that is none', edit(raw([{ name: 'a', mode: FILE }]), (b) => (b[8] = 0x67)), 'cpio/format'],
    ['gzip', Buffer.concat([Uint8Array.of(0x1f, 0x8b), noise(200)]), 'cpio/compressed'],
    ['zstd', Buffer.concat([Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd), noise(200)]), 'cpio/compressed'],
    ['nothing', new Uint8Array(), 'cpio/truncated'],
    ['zeros', new Uint8Array(1024), 'cpio/format'],
  ])('%s', async (_name, ramdisk, code) => {
    await expect(unpacking(eifOf(init(), ramdisk, last()))).rejects.toMatchObject({ code, kind: 'malformed' });
    expect(await leftovers()).toEqual([]);
    await expect(stat('/tmp/escaped')).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('a later ramdisk that replaces a file of an earlier one', async () => {
    const other = raw([
      { name: 'rootfs', mode: DIR },
      { name: 'rootfs/usr', mode: 0o040555 },
      { name: 'rootfs/usr/node', mode: FILE, content: x },
    ]);
    await expect(unpacking(eifOf(init(), encodeCpio(BASE), other, last()))).rejects.toMatchObject({
      code: 'cpio/duplicate',
    });
    expect(await leftovers()).toEqual([]);
  });

  test('inode numbers mean nothing across ramdisks', async () => {
    const linked = (name: string, content: string): Uint8Array =>
      raw([{ name, mode: FILE, nlink: 2, ino: 7, content: text(content) }]);
    await unpacking(eifOf(init(), linked('a', 'one'), linked('b', 'two'), last()));
    expect(await readFile(join(target(), 'a'), 'utf8')).toBe('one');
    expect(await readFile(join(target(), 'b'), 'utf8')).toBe('two');
  });

  test('a link in the place of the folder to unpack to is refused', async () => {
    await mkdir(join(folder, 'elsewhere'));
    await writeFile(join(folder, 'elsewhere/mine'), 'mine');
    await symlink('elsewhere', target());
    await expect(unpacking(good())).rejects.toMatchObject({ code: 'unpack/folder-not-fresh' });
    expect(await readdir(join(folder, 'elsewhere'))).toEqual(['mine']);
  });

  test('any change of a ramdisk gives a sound image or our own refusal, and never a file outside', async () => {
    const base = encodeCpio(
      BASE.map((entry) => (entry.path.endsWith('/node') ? { ...entry, content: noise(300) } : entry)),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(base.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        async (changes) => {
          const bytes = edit(base, (copy) => changes.forEach(([at, value]) => (copy[at] = value)));
          try {
            await unpacking(eifOf(init(), bytes, last()));
          } catch (error) {
            expect(error).toMatchObject({ name: 'Failure', kind: 'malformed' });
            expect(await leftovers()).toEqual([]);
          }
          await rm(target(), { recursive: true, force: true });
          expect(await leftovers()).toEqual([]);
        },
      ),
      { numRuns: 150 },
    );
  });
});

describe('/cmd and /env', () => {
  test('read back as they were written, for any policy and command', async () => {
    const line = fc.string({ unit: 'grapheme', minLength: 1 }).filter((s) => !/[\0\r\n]/.test(s));
    const argument = fc.string({ unit: 'grapheme' }).filter((s) => !/[\0\r\n]/.test(s));
    await fc.assert(
      fc.asyncProperty(line, line, fc.array(argument, { maxLength: 4 }), async (policy, program, more) => {
        const command = [program, ...more];
        const ramdisk = collaborationRamdisk({ policy, transport: 'nitro', command });
        await writeFile(image(), eifOf(init(), encodeCpio(BASE.slice(0, 2)), ramdisk));
        const { cmd, env } = await unpackEif(image(), target());
        expect(cmd).toEqual(command);
        expect(env).toEqual({ ACCORD_POLICY: policy });
        await rm(target(), { recursive: true });
      }),
      { numRuns: 50 },
    );
  });

  test('refuse what could be read in two ways', () => {
    const of =
      (policy: string, ...command: readonly string[]) =>
      (): unknown =>
        collaborationRamdisk({ policy, transport: 'local', command });
    expect(of('{}', 'a\nb')).toThrow(/line break/);
    expect(of('{}')).toThrow(/no program/);
    expect(of('{}', '')).toThrow(/no program/);
    expect(of('a\nb', 'a')).toThrow(/not NAME=value/);
    expect(of('a\nX=b', 'a')).not.toThrow(); // not canonical JSON; the policy's own reader never makes it
    expect(() => parseEnvironment(text('A=1\nA=2'))).toThrow(/set twice/);
    expect(() => parseEnvironment(text('=1'))).toThrow(/NAME=value/);
    expect(() => parseEnvironment(text('1A=1'))).toThrow(/NAME=value/);
    expect(() => parseEnvironment(text('A=\0'))).toThrow(/zero/);
    expect(() => parseCommand(text('a\rb'))).toThrow(/carriage return/);
    expect(() => parseCommand(Uint8Array.of(0xff))).toThrow(/UTF-8/);
    expect(() => parseCommand(text(''))).toThrow(/no program/);
    expect(parseEnvironment(text('__proto__=1'))).toEqual(Object.fromEntries([['__proto__', '1']]));
    expect(parseEnvironment(new Uint8Array())).toEqual({});
  });

  test('carry a policy of 131,008 bytes and no larger', () => {
    const of = (bytes: number): Uint8Array =>
      collaborationRamdisk({ policy: 'x'.repeat(bytes), transport: 'local', command: ['a'] });
    expect(of(131_008).length).toBeGreaterThan(131_008);
    expect(() => of(131_009)).toThrow(expect.objectContaining({ code: 'image/policy-too-large', kind: 'malformed' }));
    expect(() => collaborationRamdisk({ policy: '€'.repeat(43_670), transport: 'local', command: ['a'] })).toThrow(
      /131010 bytes/,
    );
  });
});
