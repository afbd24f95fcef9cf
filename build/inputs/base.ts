/**
 * What Node and its native add-ons need of an operating system, as one archive: the loader and the shared objects of
 * Debian's glibc, libgcc and libstdc++; and bubblewrap, which puts jails into namespaces of their own, with what it loads.
 * All with their licences. No other program, no shell. The same bytes whoever makes it: sorted, owned by root, dated 1970.
 *
 * Kept as `CACHE/inputs/base-KEY-SHA256.tar`, where KEY is a digest of what it is made of.
 */
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { pack } from 'tar-stream';
import type { Entry, Headers } from 'tar-stream';
import { diskFailure } from '../disk.ts';
import { parentOf } from '../image/entry-path.ts';
import { archiveFailure, readDeb } from './deb.ts';
import { fetchPackages } from './fetch.ts';
import type { FetchOptions } from './fetch.ts';
import { readInputsLock } from './lock.ts';
import type { LockedPackage } from './lock.ts';
import { entryPath } from './unpack.ts';

export interface BaseTar {
  readonly path: string;
  /** 64 hex digits. */
  readonly sha256: string;
}

export interface BaseTarOptions extends FetchOptions {
  /** Default: those in the lock. */
  readonly packages?: readonly LockedPackage[];
}

const LIBRARIES = 'usr/lib/x86_64-linux-gnu';
/** What bubblewrap, Node 20, onnxruntime, sharp with libvips and koffi load; a test compares it with those files. */
export const SHARED_OBJECTS = [
  'ld-linux-x86-64.so.2',
  'libc.so.6',
  'libcap.so.2',
  'libdl.so.2',
  'libgcc_s.so.1',
  'libm.so.6',
  'libpcre2-8.so.0',
  'libpthread.so.0',
  'libresolv.so.2',
  'librt.so.1',
  'libselinux.so.1',
  'libstdc++.so.6',
] as const;
export const BUBBLEWRAP = 'usr/bin/bwrap';
/** Which of them are there for bubblewrap alone. */
export const BUBBLEWRAP_OBJECTS: readonly string[] = ['libcap.so.2', 'libpcre2-8.so.0', 'libselinux.so.1'];
/** Two of the packages link their folder to a third's. */
const LICENCE =
  /^usr\/share\/doc\/((bubblewrap|gcc-14-base|libc6|libcap2|libpcre2-8-0|libselinux1)\/copyright|libgcc-s1|libstdc\+\+6)$/;
/** Paths by which the packages and the loader's own name lead elsewhere. */
const LINKS = {
  lib64: 'usr/lib64',
  'usr/lib64/ld-linux-x86-64.so.2': '../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2',
} as const;

/** Increase when anything above or below changes the bytes. */
const FORMAT = 2;

interface Member {
  readonly header: Headers & { readonly name: string };
  readonly body: Buffer | undefined;
}

/** Fetches and makes it if it is not there. Failures as of `fetchPackages`, `inputs/archive`, `disk/…`. */
export async function baseTar(options: BaseTarOptions): Promise<BaseTar> {
  const packages = options.packages ?? readInputsLock().debian.base;
  const key = createHash('sha256')
    .update(JSON.stringify(['accord/v1/base-tar', FORMAT, ...packages.map(({ sha256 }) => sha256)]))
    .digest('hex')
    .slice(0, 16);
  const folder = join(options.cacheDir, 'inputs');
  const kept = await findKept(folder, key);
  if (kept !== undefined) return kept;
  const members = await readMembers(await fetchPackages(packages, options), options.signal);
  const temporary = join(folder, `.${process.pid}-${randomBytes(6).toString('hex')}`);
  try {
    const sha256 = await writeTar(members, temporary);
    const path = join(folder, `base-${key}-${sha256}.tar`);
    await rename(temporary, path);
    return { path, sha256 };
  } catch (error) {
    throw diskFailure(error, folder, 'keeping the base of the image');
  } finally {
    await rm(temporary, { force: true }).catch(() => {});
  }
}

/** One whose name says truly what is in it. */
async function findKept(folder: string, key: string): Promise<BaseTar | undefined> {
  for (const name of await readdir(folder).catch(() => [])) {
    const sha256 = new RegExp(`^base-${key}-([0-9a-f]{64})\\.tar$`).exec(name)?.[1];
    if (sha256 === undefined) continue;
    const path = join(folder, name);
    const hash = createHash('sha256');
    await pipeline(createReadStream(path), hash);
    if (hash.digest('hex') === sha256) return { path, sha256 };
    await rm(path, { force: true });
  }
  return undefined;
}

/** Everything that goes in, sorted by path, so that folders come before what is in them. */
async function readMembers(debs: readonly string[], signal: AbortSignal | undefined): Promise<readonly Member[]> {
  const members = new Map<string, Member>();
  const add = (name: string, header: Headers, body?: Buffer): void => {
    for (let folder = parentOf(name); folder !== ''; folder = parentOf(folder)) {
      if (!members.has(folder)) {
        members.set(folder, { header: { name: folder, type: 'directory', mode: 0o755 }, body: undefined });
      }
    }
    members.set(name, { header: { ...header, name }, body });
  };
  for (const deb of debs) {
    const visit = async (entry: Entry): Promise<void> => {
      const name = entryPath(deb, entry.header.name);
      const { type, mode = 0o644, linkname } = entry.header;
      if (isWanted(name) && type === 'symlink') add(name, { name, type, linkname, mode: 0o777 });
      if (isWanted(name) && type === 'file') add(name, { name, type, mode: mode & 0o777 }, await buffer(entry));
    };
    await readDeb(deb, visit, signal);
  }
  for (const path of [BUBBLEWRAP, ...SHARED_OBJECTS.map((name) => `${LIBRARIES}/${name}`)]) {
    if (!members.has(path)) throw archiveFailure(debs.join(', '), `none of them holds ${path}`);
  }
  for (const [name, linkname] of Object.entries(LINKS)) add(name, { name, type: 'symlink', linkname, mode: 0o777 });
  return [...members.values()].sort((a, b) => (a.header.name < b.header.name ? -1 : 1));
}

/** `libstdc++.so.6` is a link to `libstdc++.so.6.0.33`. */
function isWanted(path: string): boolean {
  if (dirname(path) !== LIBRARIES) return path === BUBBLEWRAP || LICENCE.test(path);
  const name = path.slice(LIBRARIES.length + 1);
  return SHARED_OBJECTS.some((one) => name === one || name.startsWith(`${one}.`));
}

async function writeTar(members: readonly Member[], path: string): Promise<string> {
  const tar = pack();
  const hash = createHash('sha256');
  tar.on('data', (piece: Buffer) => hash.update(piece));
  const writing = pipeline(tar, createWriteStream(path, { flags: 'wx', mode: 0o600 }));
  const fixed = { uid: 0, gid: 0, uname: '', gname: '', mtime: new Date(0) };
  for (const { header, body } of members) {
    if (body === undefined) tar.entry({ ...header, ...fixed });
    else tar.entry({ ...header, ...fixed, size: body.length }, body);
  }
  tar.finalize();
  await writing;
  return hash.digest('hex');
}
