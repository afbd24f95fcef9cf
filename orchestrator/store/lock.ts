/**
 * The exclusive lock on a data folder. Two processes that open one PGlite folder lose data without a word, so the
 * second one must be turned away, and the lock of a process that was killed must never have to be removed by hand.
 *
 * The lock is a listening unix socket in the folder: the kernel itself says whether its owner lives (a connection to
 * a dead owner's socket is refused), through containers' borders, and whatever became of its process id. Sockets are
 * numbered, and a number is never used twice:
 *
 *   1. whoever wants the lock looks at every `lock.<n>.sock`; if one answers, the lock is taken;
 *   2. else it puts its own, already listening, socket under the next number (a hard link: exactly one can win);
 *   3. it looks again: a higher number that answers is the owner's. Dead sockets below its own it removes.
 *
 * An owner leaves its own socket behind when it goes. That is what makes step 3 enough: a number can only become free
 * again after a higher one exists.
 */
import { randomBytes } from 'node:crypto';
import { link, readFile, readdir, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import type { Server } from 'node:net';
import { dirname, join } from 'node:path';
import { makeFolder } from '../../build/disk.ts';
import { Failure } from '../../policies/failure.ts';
import { openSocketFolder } from '../hosts/socket-folder.ts';
import type { SocketFolder } from '../hosts/socket-folder.ts';

export type LockCode = 'store/locked' | 'store/folder-unusable';

export interface DataLock {
  release(): Promise<void>;
  /** Releases; and where taking the lock made the folder, removes it with all that is in it. One that was there stays. */
  discard(): Promise<void>;
}

const OWNER = 'owner.json';

/** Takes the lock on `folder`, making the folder where it is missing. Throws `store/locked` with the owner's pid. */
export async function lockDataFolder(folder: string, pid: number = process.pid): Promise<DataLock> {
  const made = await makeDataFolder(folder);
  const sockets = await openSocketFolder(folder, newName());
  try {
    const server = await takeLock(folder, sockets);
    await writeOwner(folder, pid);
    const release = async (): Promise<void> => {
      await stopListening(server);
      await sockets.close();
    };
    return {
      release,
      discard: async () => {
        if (made.includes(folder)) await removeFolder(folder);
        await removeEmpty(made.filter((each) => each !== folder)); // another process may have it anew
        await release();
      },
    };
  } catch (error) {
    await sockets.close();
    await removeEmpty(made);
    throw error;
  }
}

async function takeLock(folder: string, sockets: SocketFolder): Promise<Server> {
  const name = newName();
  const server = await listen(sockets.path(name), folder);
  try {
    for (;;) {
      const numbers = await lockNumbers(folder);
      await demandAllDead(folder, sockets, numbers);
      const mine = (numbers.at(-1) ?? 0) + 1;
      if (!(await linkExclusively(sockets.path(name), sockets.path(lockName(mine)), folder))) continue;
      const now = await lockNumbers(folder);
      await demandAllDead(
        folder,
        sockets,
        now.filter((number) => number > mine),
      );
      for (const number of now.filter((number) => number < mine)) {
        if (!(await answers(sockets.path(lockName(number))))) await rm(join(folder, lockName(number)), { force: true });
      }
      return server;
    }
  } catch (error) {
    await stopListening(server);
    throw error;
  } finally {
    await rm(join(folder, name), { force: true });
  }
}

function newName(): string {
  return `lock.new-${randomBytes(6).toString('hex')}.sock`;
}

function lockName(number: number): string {
  return `lock.${number}.sock`;
}

async function lockNumbers(folder: string): Promise<readonly number[]> {
  const numbers: number[] = [];
  for (const entry of await readdir(folder)) {
    const digits = /^lock\.(\d{1,8})\.sock$/.exec(entry)?.[1];
    if (digits !== undefined) numbers.push(Number(digits));
  }
  return numbers.sort((a, b) => a - b);
}

async function demandAllDead(folder: string, sockets: SocketFolder, numbers: readonly number[]): Promise<void> {
  for (const number of numbers) {
    if (await answers(sockets.path(lockName(number)))) {
      const pid = await readOwner(folder);
      throw new Failure<LockCode>(
        'environment',
        'store/locked',
        `the data folder is in use by another process${pid === undefined ? '' : ` (pid ${pid})`}`,
        { where: folder, hint: 'stop that process, or give this one a folder of its own with --data DIR' },
      );
    }
  }
}

/** Whether a process listens there. Only a refusal or a missing file says no; every doubt says yes. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT');
    });
  });
}

function listen(path: string, folder: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((connection) => connection.destroy());
    server.once('error', (error) => reject(unusable(folder, error)));
    server.listen(path, () => {
      server.unref();
      resolve(server);
    });
  });
}

function stopListening(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

async function linkExclusively(from: string, to: string, folder: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false;
    throw unusable(folder, error);
  }
}

/** For people and for the message alone: the lock itself is the socket. */
async function writeOwner(folder: string, pid: number): Promise<void> {
  const temporary = join(folder, `${OWNER}.new`);
  try {
    await writeFile(temporary, `${JSON.stringify({ pid })}\n`);
    await rename(temporary, join(folder, OWNER));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw unusable(folder, error);
  }
}

async function readOwner(folder: string): Promise<number | undefined> {
  try {
    const owner: unknown = JSON.parse(await readFile(join(folder, OWNER), 'utf8'));
    if (typeof owner === 'object' && owner !== null && 'pid' in owner && typeof owner.pid === 'number') {
      return owner.pid;
    }
  } catch {
    // Written a moment after the lock is taken; the message does without.
  }
  return undefined;
}

/** Returns the folders it made, outermost first. */
async function makeDataFolder(folder: string): Promise<readonly string[]> {
  try {
    return await makeFolder(folder, 0o700);
  } catch (error) {
    throw unusable(folder, error);
  }
}

/**
 * While the lock is held, and out of the way in one step: whoever comes now makes a new folder, and never finds this one
 * with the numbers of its locks free again. What cannot be removed stays: why there is nothing to keep is told, not this.
 */
async function removeFolder(folder: string): Promise<void> {
  const gone = join(dirname(folder), `.accord-gone-${randomBytes(6).toString('hex')}`);
  await rename(folder, gone)
    .then(() => rm(gone, { recursive: true, force: true }))
    .catch(() => {});
}

/** Those of them that nobody uses. */
async function removeEmpty(folders: readonly string[]): Promise<void> {
  for (const folder of folders.toReversed()) await rmdir(folder).catch(() => {});
}

function unusable(folder: string, cause: unknown): Failure<LockCode> {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new Failure('environment', 'store/folder-unusable', `the data folder cannot be used: ${message}`, {
    where: folder,
    hint: 'choose a folder on a local file system that you may write to, with --data DIR',
    cause,
  });
}

function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
