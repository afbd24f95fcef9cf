/**
 * A fresh folder for each launch. It must have no `node_modules` in itself or above: Node looks for packages upwards
 * from the file that imports them, and what is measured must be what runs. What an earlier orchestrator left behind
 * when it was killed is found here and removed.
 *
 *     <run folder>/enclave-<pid of its orchestrator>-<that process's start time>-<random>/
 */
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readFile, readdir, realpath, rm, lstat, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeFolder } from '../../build/disk.ts';
import { Failure } from '../../policies/failure.ts';
import { killProcessesOf } from './processes.ts';

export type RunFolderCode = 'host/node-modules-above' | 'host/folder-unusable';

/** The first `node_modules` at or above `folder`. */
export function nodeModulesAbove(folder: string): string | undefined {
  for (let at = folder; ; at = dirname(at)) {
    const candidate = join(at, 'node_modules');
    if (existsSync(candidate)) return candidate;
    if (dirname(at) === at) return undefined;
  }
}

/** Makes the folder for one launch under `runFolder`, open to its owner alone; its real path. */
export async function makeLaunchFolder(runFolder: string): Promise<string> {
  const runs = await prepare(runFolder);
  const found = nodeModulesAbove(runs);
  if (found !== undefined) {
    throw new Failure<RunFolderCode>(
      'environment',
      'host/node-modules-above',
      'the enclave would run below a node_modules folder, from which it could load what is not measured',
      { where: found, hint: 'choose a run folder outside of every package, with --run-dir DIR' },
    );
  }
  const folder = await mkdtemp(join(runs, `enclave-${process.pid}-${await startTime(process.pid)}-`));
  await chmod(folder, 0o700);
  return folder;
}

/** To walk through a folder, for everybody but its owner. */
const WALK = 0o011;

/**
 * Where the orchestrator is root, the enclave's jails are other users, who must reach what was unpacked for them: they may
 * walk through these folders, whose names they know, and list none. What nobody else may touch is shut by itself.
 */
export async function letJailsThrough(launchFolder: string, unpacked: string): Promise<void> {
  if (process.getuid?.() !== 0) return;
  for (const folder of [dirname(launchFolder), launchFolder, unpacked]) {
    const { mode } = await stat(folder);
    if ((mode & WALK) !== WALK) await chmod(folder, (mode & 0o777) | WALK);
  }
}

/** Stops and removes what dead orchestrators left under `runFolder`. What a living one runs is not touched. */
export async function sweepRunFolder(runFolder: string): Promise<void> {
  const runs = await prepare(runFolder);
  for (const name of await readdir(runs)) {
    const match = /^enclave-(\d+)-(\d+)-/.exec(name);
    if (match === null) continue;
    const [, pid, started] = match;
    const isOwnerAlive = (await startTime(Number(pid))) === started;
    if (isOwnerAlive) continue;
    const folder = join(runs, name);
    await killProcessesOf(folder, 2_000);
    await rm(folder, { recursive: true, force: true }).catch(() => {}); // another's folder in a shared place
  }
}

async function prepare(runFolder: string): Promise<string> {
  try {
    await makeFolder(runFolder, 0o700);
    const runs = await realpath(runFolder);
    // In a shared place (/tmp) somebody else may have made it first, or have put a link to one of ours there.
    if ((await lstat(runFolder)).uid !== process.getuid?.()) throw new Error('somebody else made it');
    const { uid, mode } = await stat(runs);
    if (uid !== process.getuid?.() || (mode & 0o022) !== 0) throw new Error('others may write to it');
    return runs;
  } catch (error) {
    throw new Failure<RunFolderCode>(
      'environment',
      'host/folder-unusable',
      `the run folder cannot be used: ${error instanceof Error ? error.message : String(error)}`,
      { where: runFolder, hint: 'choose another with --run-dir DIR', cause: error },
    );
  }
}

/**
 * When a process started, in clock ticks since boot: with the id, it names a process for good within a boot.
 * `0` where there is no such process (or no /proc).
 */
async function startTime(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // Field 22; the command's name (field 2) is in parentheses and may hold spaces and parentheses itself.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '0';
}
