/** The disk: what it answered, in words a person can act on, and how to be sure of what it was given. */
import { mkdir, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Failure } from '../policies/failure.ts';

export type DiskCode = 'disk/full' | 'disk/denied' | 'disk/failed';

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or folder',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  EISDIR: 'it is a folder',
  ENOTDIR: 'part of the path is not a folder',
  ENOSPC: 'the disk is full',
  EDQUOT: "this user's disk quota is used up",
  EFBIG: 'the file would be larger than this process may write',
  EMFILE: 'too many files are open',
  EIO: 'the disk reports an error',
  ELOOP: 'it is a symbolic link',
  EEXIST: 'it exists already',
};

export function errorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** A reason without a stack: `the disk is full (ENOSPC)`. */
export function describeError(error: unknown): string {
  if (typeof error === 'string') return error;
  const code = errorCode(error);
  const reason = code === undefined ? undefined : REASONS[code];
  if (code !== undefined && reason !== undefined) return `${reason} (${code})`;
  return error instanceof Error ? error.message : String(error);
}

/**
 * The failure that work on `at` ended in. Errors that are already ours, and an abort, pass through unchanged.
 */
export function diskFailure(error: unknown, at: string, doing: string): unknown {
  const code = errorCode(error);
  if (error instanceof Failure || code === undefined || code === 'ABORT_ERR') return error;
  // The system names the path where it knows it; it does not for a write to an open file.
  const path = error instanceof Error && 'path' in error && typeof error.path === 'string' ? error.path : at;
  const details = { where: path, cause: error };
  const message = `${doing} failed at ${path}: ${describeError(error)}`;
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG') {
    return new Failure<DiskCode>('environment', 'disk/full', message, {
      ...details,
      hint: 'free some space (an image takes about 200 MB, its cached base as much again) and run the same command again; nothing half-written was left',
    });
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return new Failure<DiskCode>('environment', 'disk/denied', message, {
      ...details,
      hint: 'choose a folder that this user may write to',
    });
  }
  return new Failure<DiskCode>('environment', 'disk/failed', message, {
    ...details,
    hint: 'look at the path, then run the same command again',
  });
}

/**
 * Makes a folder and those above it that are absent; an existing one is left as it is. Returns those it made, outermost
 * first. Node's own recursive mkdir never ends where the system says "no such folder" of a parent that is there, as /proc
 * does.
 */
export async function makeFolder(path: string, mode: number): Promise<readonly string[]> {
  try {
    await mkdir(path, { mode });
    return [path];
  } catch (error) {
    const code = errorCode(error);
    if (code === 'EEXIST' && (await isFolder(path))) return [];
    const parent = dirname(path);
    if (code !== 'ENOENT' || parent === path || (await isFolder(parent))) throw error;
    const above = await makeFolder(parent, mode);
    return [...above, ...(await makeFolder(path, mode))];
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}

/** A file's name survives a power cut only once its folder is flushed too. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
