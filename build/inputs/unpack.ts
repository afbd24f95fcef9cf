/**
 * Debian packages into a folder, as `dpkg-deb -x` would, but for anybody (no owners, no setuid) and for nobody's harm: every
 * path, through whatever links the packages made, stays below the folder.
 */
import { chmod, link, lstat, mkdir, readlink, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Entry, Headers } from 'tar-stream';
import { diskFailure, errorCode } from '../disk.ts';
import { parentOf, pathFault } from '../image/entry-path.ts';
import { archiveFailure, readDeb } from './deb.ts';

export interface UnpackOptions {
  /** Paths without leading slash; folders are made where something in them is kept. Default: all. */
  readonly keep?: (path: string) => boolean;
  /** After each package. */
  readonly onPackage?: (done: number) => void;
  readonly signal?: AbortSignal;
}

/** Debian's merged /usr: old paths lead into it. */
const MERGED = ['bin', 'lib', 'lib64', 'sbin'] as const;
const MAX_LINKS = 40;

/** `root` must be a folder; it may hold what was unpacked before. A later package replaces what an earlier one wrote. */
export async function unpackDebs(paths: readonly string[], root: string, options: UnpackOptions = {}): Promise<void> {
  try {
    for (const name of MERGED) {
      await makeFolders(root, `usr/${name}`);
      await symlink(`usr/${name}`, join(root, name)).catch(ignoreExisting);
    }
    for (const [index, path] of paths.entries()) {
      const visit = async (entry: Entry): Promise<void> => {
        const name = entryPath(path, entry.header.name);
        if (name !== '' && (options.keep?.(name) ?? true)) await unpackEntry(path, root, name, entry);
      };
      await readDeb(path, visit, options.signal);
      options.onPackage?.(index + 1);
    }
  } catch (error) {
    throw diskFailure(error, root, 'unpacking');
  }
}

/** `./usr/bin/` → `usr/bin`; '' for the root itself. */
export function entryPath(deb: string, name: string): string {
  const path = name.replace(/^(\.\/)+|^\.$/, '').replace(/\/+$/, '');
  const fault = path === '' ? undefined : pathFault(path);
  if (fault !== undefined) throw archiveFailure(deb, `the path ${JSON.stringify(name)} may not be unpacked: ${fault}`);
  return path;
}

async function unpackEntry(deb: string, root: string, name: string, entry: Entry): Promise<void> {
  const { header } = entry;
  const folder = await resolveBelow(deb, root, parentOf(name));
  await makeFolders(root, folder);
  const target = join(root, folder, name.slice(name.lastIndexOf('/') + 1));
  const kind = header.type ?? 'unknown';
  switch (kind) {
    case 'directory': {
      if (await isLink(target)) return; // as dpkg does: /lib stays a link into /usr
      await mkdir(target).catch(ignoreExisting);
      return chmod(target, permissions(header) | 0o700);
    }
    case 'file': {
      await rm(target, { force: true });
      // Read by iteration: Node's pipeline waits for ever where the archive stopped short before it began.
      await writeFile(target, entry, { flag: 'wx', mode: 0o600 });
      await chmod(target, permissions(header));
      const time = header.mtime ?? new Date(0);
      return utimes(target, time, time);
    }
    case 'symlink': {
      await rm(target, { force: true });
      return symlink(header.linkname ?? '', target);
    }
    case 'link': {
      const other = entryPath(deb, header.linkname ?? '');
      const from = join(root, await resolveBelow(deb, root, parentOf(other)), other.slice(other.lastIndexOf('/') + 1));
      await rm(target, { force: true });
      return link(from, target);
    }
    case 'unknown':
    case 'block-device':
    case 'character-device':
    case 'contiguous-file':
    case 'fifo':
    case 'gnu-long-link-path':
    case 'gnu-long-path':
    case 'pax-global-header':
    case 'pax-header':
      throw archiveFailure(deb, `${name} is of the kind ${kind}, which no package needs`);
  }
}

/** Without setuid, setgid and sticky bits. */
const permissions = (header: Headers): number => (header.mode ?? 0o644) & 0o777;

/**
 * The folder `path`, with every link on the way followed as a process with `root` as its root would. The result has no link
 * in it; what does not exist yet stands as it is.
 */
async function resolveBelow(deb: string, root: string, path: string): Promise<string> {
  const todo = path.split('/');
  const done: string[] = [];
  for (let links = 0; todo.length > 0;) {
    const part = todo.shift();
    if (part === undefined || part === '' || part === '.') continue;
    if (part === '..') {
      done.pop(); // the parent of the root is the root
      continue;
    }
    const here = join(root, ...done, part);
    if (!(await isLink(here))) {
      done.push(part);
      continue;
    }
    if (++links > MAX_LINKS) throw archiveFailure(deb, `the links on the way to ${path} lead in a circle`);
    const to = await readlink(here);
    if (to.startsWith('/')) done.length = 0;
    todo.unshift(...to.split('/'));
  }
  return done.join('/');
}

/** Folders that no package names, with the usual mode whatever the umask. */
async function makeFolders(root: string, path: string): Promise<void> {
  const parts = path.split('/').filter((part) => part !== '');
  for (let depth = 1; depth <= parts.length; depth++) {
    const folder = join(root, ...parts.slice(0, depth));
    try {
      await mkdir(folder);
      await chmod(folder, 0o755);
    } catch (error) {
      ignoreExisting(error);
    }
  }
}

async function isLink(path: string): Promise<boolean> {
  return lstat(path).then(
    (found) => found.isSymbolicLink(),
    () => false,
  );
}

function ignoreExisting(error: unknown): void {
  if (errorCode(error) !== 'EEXIST') throw error;
}
