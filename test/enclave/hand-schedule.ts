/** A schedule that a test moves on: what is due happens at its very moment, one after the other. */
import type { Schedule } from '../../enclave/pipeline/schedule.ts';

export interface HandSchedule extends Schedule {
  /** Moments that are waited for. */
  pending(): number;
  /** Lets time pass to so little before the next of them. Default: to it, and it happens. */
  toNext(before?: number): void;
  /** Lets time pass in which nothing could happen, as where the event loop is held up. */
  holdUp(milliseconds: number): void;
}

interface Entry {
  readonly time: number;
  readonly run: () => void;
}

export function createHandSchedule(): HandSchedule {
  const waiting = new Set<Entry>();
  let time = 5_000.125;
  const next = (): Entry => {
    const [first] = [...waiting].toSorted((a, b) => a.time - b.time);
    if (first === undefined) throw new Error('nothing is waited for');
    return first;
  };
  return {
    now: () => time,
    at(due, run) {
      waiting.add({ time: due, run });
    },
    breathe: () => new Promise((resolve) => void setImmediate(resolve)),
    pending: () => waiting.size,
    holdUp(milliseconds) {
      time += milliseconds;
    },
    toNext(before = 0) {
      const entry = next();
      time = Math.max(time, entry.time - before);
      if (before > 0) return;
      waiting.delete(entry);
      entry.run();
    },
  };
}
