/**
 * One process a data folder. The lock is a file with the holder's pid and start time, made by an atomic link; a lock whose
 * holder is gone (killed, or its pid now belongs to another process) is taken over.
 */
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure } from '../../policies/failure.ts';

export type LockCode = 'local-aws/in-use';

export interface FolderLock {
  release(): Promise<void>;
}

/** Throws `local-aws/in-use` with the pid and path of the holder. */
export async function lockFolder(folder: string): Promise<FolderLock> {
  const path = join(folder, 'lock');
  const mine = JSON.stringify({
    pid: process.pid,
    started: await startOf(process.pid),
    nonce: `${process.hrtime.bigint()}`,
  });
  const draft = `${path}.${process.pid}.${process.hrtime.bigint()}`;
  await writeFile(draft, mine, { mode: 0o600 });
  try {
    for (let attempt = 0; attempt < 10; attempt++) {
      if (await linked(draft, path)) {
        return {
          release: async () => {
            if ((await read(path)) === mine) await rm(path, { force: true });
          },
        };
      }
      const held = await read(path);
      if (held === undefined) continue;
      const pid = await holder(held);
      if (pid !== undefined) throw inUse(pid, path);
      await removeStale(path, held);
    }
    throw inUse(0, path);
  } finally {
    await rm(draft, { force: true });
  }
}

function inUse(pid: number, path: string): Failure<LockCode> {
  return new Failure('environment', 'local-aws/in-use', `the data folder is in use by process ${pid}`, {
    where: path,
    hint: `stop that process (kill ${pid}), or use another --data folder`,
  });
}

/** Moves the lock aside before removing it, so that of two processes that found it stale only one removes this very lock. */
async function removeStale(path: string, held: string): Promise<void> {
  const aside = `${path}.stale.${process.pid}`;
  try {
    await rename(path, aside);
  } catch {
    return;
  }
  if ((await read(aside)) !== held) await linked(aside, path);
  await rm(aside, { force: true });
}

async function holder(held: string): Promise<number | undefined> {
  try {
    const { pid, started }: { pid?: unknown; started?: unknown } = JSON.parse(held);
    if (typeof pid !== 'number') return undefined;
    process.kill(pid, 0);
    return (await startOf(pid)) === started ? pid : undefined;
  } catch (cause) {
    return isSystemError(cause) && cause.code === 'EPERM' ? 0 : undefined;
  }
}

/** The start time of a process in clock ticks (field 22 of /proc/PID/stat), where the system tells it. */
async function startOf(pid: number): Promise<string> {
  const stat = await read(`/proc/${pid}/stat`);
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? 'unknown';
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (cause) {
    if (isSystemError(cause) && cause.code === 'EEXIST') return false;
    throw cause;
  }
}

async function read(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return undefined;
  }
}

function isSystemError(cause: unknown): cause is NodeJS.ErrnoException {
  return cause instanceof Error && 'code' in cause;
}
