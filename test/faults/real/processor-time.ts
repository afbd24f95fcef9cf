/** Processor time of this process and of every process below it, also of those that were killed and whose parents were. */
import { readFile, readdir } from 'node:fs/promises';

export interface ProcessorTime {
  /** Seconds until now. What a process did after it was looked at last, and before it was gone, is missing. */
  seconds(): Promise<number>;
  stop(): void;
}

const LOOK_MS = 400;
const TICKS_PER_SECOND = 100;

export function watchProcessorTime(): ProcessorTime {
  const known = new Map<string, number>();
  const look = async (): Promise<void> => {
    const found = (await Promise.all((await numbersIn('/proc')).map(statOf))).filter((stat) => stat !== undefined);
    const alive = new Set([process.pid]);
    for (let before = 0; before < alive.size;) {
      before = alive.size;
      for (const { pid, parent, key } of found) if (alive.has(parent) || known.has(key)) alive.add(pid);
    }
    for (const { pid, key, ticks } of found) if (alive.has(pid)) known.set(key, ticks);
  };
  const timer = setInterval(() => void look().catch(() => {}), LOOK_MS);
  return {
    async seconds() {
      await look();
      return [...known.values()].reduce((sum, ticks) => sum + ticks, 0) / TICKS_PER_SECOND;
    },
    stop: () => clearInterval(timer),
  };
}

interface Stat {
  readonly pid: number;
  readonly parent: number;
  /** A number is given again to another process, which started at another time. */
  readonly key: string;
  readonly ticks: number;
}

async function numbersIn(folder: string): Promise<readonly string[]> {
  return (await readdir(folder)).filter((name) => /^\d+$/.test(name));
}

/** proc(5): after the program's name in parentheses, state, ppid (4), utime (14), stime (15), starttime (22). */
async function statOf(pid: string): Promise<Stat | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => undefined);
  if (text === undefined) return undefined;
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const at = (number: number): number => Number(fields[number - 3]);
  return { pid: Number(pid), parent: at(4), key: `${pid} ${fields[19]}`, ticks: at(14) + at(15) };
}
