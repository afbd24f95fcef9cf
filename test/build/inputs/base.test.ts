/** The archive of the C library: what is in it, that it is enough, and that it is always the same. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { extract } from 'tar-stream';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { BUBBLEWRAP_OBJECTS, SHARED_OBJECTS, baseTar } from '../../../build/inputs/base.ts';
import type { BaseTar } from '../../../build/inputs/base.ts';
import { EXTERNAL_PACKAGES, SOURCES } from '../../../build/bundle.ts';
import { neededLibraries } from '../../../build/elf.ts';
import { findPackages, packageEntries } from '../../../build/packages.ts';
import { debOf, lockedAs, openMirror, serving } from './made-up.ts';
import type { Member, Mirror } from './made-up.ts';

const LIBRARIES = './usr/lib/x86_64-linux-gnu';
const members = (): readonly Member[] => [
  ...SHARED_OBJECTS.filter((name) => name !== 'libstdc++.so.6').map((name) => ({
    name: `${LIBRARIES}/${name}`,
    body: name,
    mode: name.startsWith('ld-') ? 0o4755 : 0o644,
    mtime: new Date(),
    uid: 7,
  })),
  { name: `${LIBRARIES}/libstdc++.so.6.0.33`, body: 'stdc++' },
  { name: `${LIBRARIES}/libstdc++.so.6`, type: 'symlink', linkname: 'libstdc++.so.6.0.33' },
  { name: `${LIBRARIES}/libmemusage.so`, body: 'not wanted' },
  { name: './usr/bin/bwrap', body: 'bubblewrap', mode: 0o4755 },
  { name: './usr/bin/sh', body: 'not wanted', mode: 0o755 },
  { name: './usr/share/doc/bubblewrap/copyright', body: 'LGPL' },
  { name: './usr/share/doc/bubblewrap/examples/flatpak.bpf', body: 'not wanted' },
  { name: './usr/share/doc/libc6/copyright', body: 'LGPL' },
  { name: './usr/share/doc/libc6/changelog.gz', body: 'not wanted' },
  { name: './usr/share/doc/libgcc-s1', type: 'symlink', linkname: 'gcc-14-base' },
];

let cacheDir: string;
let mirror: Mirror;
const served = new Map<string, Uint8Array>();
beforeEach(async () => {
  cacheDir = mkdtempSync(join(tmpdir(), 'accord-base-'));
  mirror = await openMirror(serving(served));
});
afterEach(async () => {
  await mirror.close();
  rmSync(cacheDir, { recursive: true });
});

async function make(content: readonly Member[], into = cacheDir): Promise<BaseTar> {
  const deb = await debOf(content);
  const pkg = lockedAs(deb, 'libc6');
  served.set(pkg.path, deb);
  return baseTar({ cacheDir: into, mirrors: [mirror.url], packages: [pkg] });
}

async function listing(path: string): Promise<readonly string[]> {
  const tar = extract();
  tar.end(readFileSync(path));
  const found: string[] = [];
  for await (const entry of tar) {
    const { name, mode = 0, uid, gid, mtime, linkname } = entry.header;
    expect([uid, gid, mtime?.getTime()], name).toEqual([0, 0, 0]);
    found.push(`${mode.toString(8)} ${name}${typeof linkname === 'string' ? ` -> ${linkname}` : ''}`);
    entry.resume();
  }
  return found;
}

test('the shared objects, their licences, and nothing else', async () => {
  const { path, sha256 } = await make(members());
  expect(sha256).toBe(createHash('sha256').update(readFileSync(path)).digest('hex'));
  expect(await listing(path)).toMatchInlineSnapshot(`
    [
      "777 lib64 -> usr/lib64",
      "755 usr",
      "755 usr/bin",
      "755 usr/bin/bwrap",
      "755 usr/lib",
      "755 usr/lib/x86_64-linux-gnu",
      "755 usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
      "644 usr/lib/x86_64-linux-gnu/libc.so.6",
      "644 usr/lib/x86_64-linux-gnu/libcap.so.2",
      "644 usr/lib/x86_64-linux-gnu/libdl.so.2",
      "644 usr/lib/x86_64-linux-gnu/libgcc_s.so.1",
      "644 usr/lib/x86_64-linux-gnu/libm.so.6",
      "644 usr/lib/x86_64-linux-gnu/libpcre2-8.so.0",
      "644 usr/lib/x86_64-linux-gnu/libpthread.so.0",
      "644 usr/lib/x86_64-linux-gnu/libresolv.so.2",
      "644 usr/lib/x86_64-linux-gnu/librt.so.1",
      "644 usr/lib/x86_64-linux-gnu/libselinux.so.1",
      "777 usr/lib/x86_64-linux-gnu/libstdc++.so.6 -> libstdc++.so.6.0.33",
      "644 usr/lib/x86_64-linux-gnu/libstdc++.so.6.0.33",
      "755 usr/lib64",
      "777 usr/lib64/ld-linux-x86-64.so.2 -> ../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
      "755 usr/share",
      "755 usr/share/doc",
      "755 usr/share/doc/bubblewrap",
      "644 usr/share/doc/bubblewrap/copyright",
      "755 usr/share/doc/libc6",
      "644 usr/share/doc/libc6/copyright",
      "777 usr/share/doc/libgcc-s1 -> gcc-14-base",
    ]
  `);
});

test('the same bytes whatever the umask, the time zone and the place', async () => {
  const content = members();
  const first = await make(content);
  const elsewhere = mkdtempSync(join(tmpdir(), 'accord-base-'));
  const [umask, zone] = [process.umask(0o077), process.env['TZ']];
  process.env['TZ'] = 'Asia/Tokyo';
  try {
    const second = await make(content, elsewhere);
    expect(second.sha256).toBe(first.sha256);
    expect(basename(second.path)).toBe(basename(first.path));
  } finally {
    process.umask(umask);
    if (zone === undefined) delete process.env['TZ'];
    else process.env['TZ'] = zone;
    rmSync(elsewhere, { recursive: true });
  }
});

test('it is kept, and made again when it was damaged', async () => {
  const content = members();
  const { path, sha256 } = await make(content);
  expect(await make(content)).toEqual({ path, sha256 });
  expect(mirror.asked).toHaveLength(1);
  writeFileSync(path, 'damaged');
  expect(await make(content)).toEqual({ path, sha256 });
  expect(createHash('sha256').update(readFileSync(path)).digest('hex')).toBe(sha256);
  expect(readdirSync(join(cacheDir, 'inputs'))).toHaveLength(2);
});

test.each(['libm.so.6', 'bin/bwrap'])('packages that lack %s are told', async (lacking) => {
  await expect(make(members().filter(({ name }) => !name.endsWith(lacking)))).rejects.toMatchObject({
    kind: 'malformed',
    code: 'inputs/archive',
    message: expect.stringContaining(lacking),
  });
});

test('it has all that Node and the native packages load, and beside bubblewrap and its objects no more', () => {
  const platform = { os: 'linux', cpu: 'x64' } as const;
  const packages = findPackages(EXTERNAL_PACKAGES, join(SOURCES, 'package.json'), platform);
  const files = packageEntries(packages, 'node_modules', platform).flatMap((entry) =>
    entry.kind === 'file' && !(entry.content instanceof Uint8Array) ? [entry.content.file] : [],
  );
  const own = new Set(files.map((file) => basename(file)));
  const needed = [process.execPath, ...files].flatMap((file) => neededLibraries(file)).filter((name) => !own.has(name));
  expect([...new Set(needed)].sort()).toEqual(SHARED_OBJECTS.filter((name) => !BUBBLEWRAP_OBJECTS.includes(name)));
});
