/** Timers that go off when a test says that time has passed, and not before. */
import type { Timers } from '../../enclave/deadline.ts';

export interface HandTimers {
  readonly timers: Timers;
  /** Timers that wait now. */
  pending(): number;
  /** Lets so much time pass: what is due goes off, in its order. */
  elapse(milliseconds: number): void;
}

export function createHandTimers(): HandTimers {
  interface Timer {
    readonly due: number;
    readonly run: () => void;
  }
  const waiting = new Set<Timer>();
  let now = 0;
  return {
    timers: (milliseconds, run) => {
      const timer = { due: now + milliseconds, run };
      waiting.add(timer);
      return () => void waiting.delete(timer);
    },
    pending: () => waiting.size,
    elapse(milliseconds) {
      now += milliseconds;
      for (const timer of [...waiting].toSorted((a, b) => a.due - b.due)) {
        if (timer.due > now || !waiting.delete(timer)) continue;
        timer.run();
      }
    },
  };
}
