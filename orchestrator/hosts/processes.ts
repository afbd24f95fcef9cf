/**
 * Which processes run out of a folder. An enclave on the local host runs the Node binary that was unpacked into its
 * own folder, so the binary's path says whose process it is: no process id is written down that could be another's by
 * the time it is used. Linux only, like the local host itself.
 */
import { readdir, readlink } from 'node:fs/promises';
import { sep } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Process ids, without zombies (which have no binary any more). `folder` must be a real path. */
export async function processesOf(folder: string): Promise<readonly number[]> {
  const found: number[] = [];
  for (const name of await readdir('/proc').catch(() => [])) {
    if (!/^\d+$/.test(name)) continue;
    const binary = await readlink(`/proc/${name}/exe`).catch(() => undefined);
    if (binary?.startsWith(folder + sep) === true) found.push(Number(name));
  }
  return found;
}

/** Kills whatever runs out of the folder, until nothing does. False where something stayed alive for `ms`. */
export async function killProcessesOf(folder: string, ms: number): Promise<boolean> {
  const deadline = performance.now() + ms;
  for (;;) {
    const alive = await processesOf(folder);
    if (alive.length === 0) return true;
    for (const pid of alive) sendSignal(pid, 'SIGKILL');
    if (performance.now() > deadline) return false;
    await sleep(10);
  }
}

/** A negative id names a process group. Whoever is gone already needs no signal. */
export function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // gone
  }
}
