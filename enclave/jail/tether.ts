/**
 * Ties a jail to its gate. A jail that waits sees its pipe close; one that is busy in native code looks every half
 * second whether it still has the parent it was born to, and ends itself where it has not.
 */
import { writeFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';

const PERIOD_MS = 500;

/** Where memory runs out, the kernel takes the jail and not the gate. Does nothing where the kernel does not allow it. */
export function volunteerForTheOomKiller(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '1000');
  } catch {
    // No /proc in here: then somebody else has bounded this process's memory.
  }
}

/** Runs `run` again and again, after so many milliseconds each, until the returned function is called. */
export type Ticks = (milliseconds: number, run: () => void) => () => void;

/** For native code that leaves the event loop running. */
export async function whileTethered<T>(ticks: Ticks, work: () => Promise<T>): Promise<T> {
  const parent = process.ppid;
  const stop = ticks(PERIOD_MS, () => {
    if (process.ppid !== parent) process.exit(0);
  });
  try {
    return await work();
  } finally {
    stop();
  }
}

/** For native code that holds the main thread: a second thread looks. It costs 8 MB. */
export function tether(): void {
  const watch = `
    const parent = process.ppid;
    const never = new Int32Array(new SharedArrayBuffer(4));
    for (;;) {
      Atomics.wait(never, 0, 0, ${PERIOD_MS});
      if (process.ppid !== parent) process.kill(process.pid, 'SIGKILL');
    }`;
  new Worker(watch, { eval: true, env: {}, stdin: false }).unref();
}
