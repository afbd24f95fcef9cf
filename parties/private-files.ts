/**
 * Files that are their owner's alone: mode 0600 in folders of mode 0700, replaced as a whole, and on the disk before
 * anybody relies on them.
 */
import { constants, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describeError, errorCode, makeFolder, syncFolder } from '../build/disk.ts';
import { Failure } from '../policies/failure.ts';

export type PrivateFileCode =
  | 'home/too-open' // others may read or write it
  | 'home/not-yours' // somebody else owns it
  | 'home/unwritable'
  | 'home/unreadable';

const OTHERS = 0o077;

/** Makes the folder, and those above it, where they are absent. An existing one must be private. */
export async function makePrivateFolder(path: string): Promise<void> {
  try {
    await makeFolder(path, 0o700);
    await demandPrivate(path);
  } catch (cause) {
    throw failed(cause, 'home/unwritable', path, 'cannot be made');
  }
}

/** Refuses a folder or file that others may look into: it holds what the party trusts and what it has sent. */
export async function demandPrivate(path: string): Promise<void> {
  const { mode, uid } = await stat(path);
  const own = process.getuid?.();
  if (own !== undefined && own !== 0 && uid !== own) {
    throw new Failure<PrivateFileCode>('refused', 'home/not-yours', `${path} belongs to another user`, {
      where: path,
      hint: 'use a home of your own: --home DIR',
    });
  }
  if (process.platform !== 'win32' && (mode & OTHERS) !== 0) {
    const octal = (mode & 0o777).toString(8).padStart(4, '0');
    throw new Failure<PrivateFileCode>('refused', 'home/too-open', `others may look into ${path} (mode ${octal})`, {
      where: path,
      hint: `chmod -R go= '${path}', after making sure that nobody changed what is in it`,
    });
  }
}

/** Writes the whole file or nothing; when this resolves it survives a power cut. */
export async function writePrivateFile(path: string, content: string | Uint8Array): Promise<void> {
  const temporary = `${path}.${process.pid}.${counter++}.new`;
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => {});
    throw failed(cause, 'home/unwritable', path, 'cannot be written');
  }
}

let counter = 0;

/** Undefined where there is no such file. @throws Failure<PrivateFileCode>: also for a pipe, which may never end, and a folder */
export async function readPrivateFile(path: string): Promise<Uint8Array | undefined> {
  try {
    if ((await stat(path)).isDirectory()) throw notAFile(path);
    await demandPrivate(path);
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      if (!(await file.stat()).isFile()) throw notAFile(path);
      return new Uint8Array(await file.readFile());
    } finally {
      await file.close();
    }
  } catch (cause) {
    if (errorCode(cause) === 'ENOENT') return undefined;
    throw failed(cause, 'home/unreadable', path, 'cannot be read');
  }
}

/** Full paths of the files whose names end so, sorted; none where there is no such folder. */
export async function listFiles(folder: string, ending: string): Promise<readonly string[]> {
  try {
    const names = await readdir(folder);
    return names.filter((name) => name.endsWith(ending)).sort().map((name) => join(folder, name)); // prettier-ignore
  } catch (cause) {
    if (errorCode(cause) === 'ENOENT') return [];
    throw failed(cause, 'home/unreadable', folder, 'cannot be read');
  }
}

function notAFile(path: string): Failure {
  return new Failure<PrivateFileCode>('environment', 'home/unreadable', `${path} is no file`, {
    where: path,
    hint: 'find out who put it there, and remove it',
  });
}

function failed(cause: unknown, code: PrivateFileCode, path: string, what: string): Failure {
  if (cause instanceof Failure) return cause;
  const hint =
    errorCode(cause) === 'ENOSPC' ? 'free some space on the disk, then try again' : 'check its owner and its mode';
  return new Failure<PrivateFileCode>('environment', code, `${path} ${what}: ${describeError(cause)}`, {
    where: path,
    hint,
    cause,
  });
}
