/**
 * Waits until the enclave has nothing left to do for calls before: the processes that served them are gone, their successors
 * are warm. Read from the kernel, as a host may; nothing inside is asked.
 */
import { readFile, readdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Quiet {
  /** Remembers how many processes there are when nothing is to be done. Resolves once that was so for a while. */
  learn(): Promise<void>;
  /** Resolves once there are as many again, and none of them has run for a moment. */
  reached(): Promise<void>;
}

/** Between two looks. */
const LOOK_MS = 10;
/** A process that ran no longer than this since the last look was idle: timers of its own fire now and then. */
const IDLE_NS = 300_000;
const LEARN_MS = 2_000;
const MOST_MS = 30_000;

/** Of the processes below this one: the gate, what it started, and what that started. */
export function createQuiet(): Quiet {
  let usual = 0;
  const look = async (): Promise<ReadonlyMap<number, number>> => {
    const pids = await processesBelow(process.pid);
    return new Map(await Promise.all(pids.map(async (pid) => [pid, await ranFor(pid)] as const)));
  };
  const isIdle = (before: ReadonlyMap<number, number>, now: ReadonlyMap<number, number>): boolean =>
    before.size === now.size && [...now].every(([pid, ran]) => ran - (before.get(pid) ?? -Infinity) < IDLE_NS);
  const idleFor = async (milliseconds: number, enough: (processes: number) => boolean): Promise<number> => {
    const deadline = performance.now() + MOST_MS;
    let before = await look();
    let since = performance.now();
    for (;;) {
      await sleep(LOOK_MS);
      const now = await look();
      const at = performance.now();
      if (!isIdle(before, now) || !enough(now.size)) since = at;
      if (at - since >= milliseconds) return now.size;
      if (at > deadline)
        throw new Error(`${now.size} processes of the enclave are not idle; usually there are ${usual}`);
      before = now;
    }
  };
  return {
    async learn() {
      usual = await idleFor(LEARN_MS, () => true);
    },
    async reached() {
      await idleFor(LOOK_MS, (processes) => processes >= usual);
    },
  };
}

/** Its children, and theirs. */
export async function processesBelow(pid: number): Promise<readonly number[]> {
  const threads = await readdir(`/proc/${pid}/task`).catch(() => []);
  const texts = await Promise.all(
    threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/children`, 'utf8').catch(() => '')),
  );
  const children = texts.flatMap((text) => text.split(' ').filter(Boolean).map(Number));
  return [...children, ...(await Promise.all(children.map(processesBelow))).flat()];
}

/** Nanoseconds that its main thread has run; a process that is gone counts as one that runs. */
async function ranFor(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/schedstat`, 'utf8').catch(() => 'Infinity');
  return Number(text.split(' ')[0]);
}
