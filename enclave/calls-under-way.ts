/**
 * Calls at work. What a call has begun at anchors and records goes on when the time of its answer has come, and when its
 * connection is gone; it ends in its own limits, and with the enclave.
 */
import type { Timers } from './deadline.ts';
import { controllerForMany, within } from './deadline.ts';

export interface CallsUnderWay {
  /** Runs `work` to its end. The signal is aborted when that takes too long, or the enclave ends. */
  run<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T>;
  /** Aborts all. Resolves when none is left. */
  close(): Promise<void>;
}

/** Longer than any answer may be told to wait. */
const WORK_MS = 900_000;

export function createCallsUnderWay(timers: Timers): CallsUnderWay {
  const ended = controllerForMany();
  const underWay = new Set<Promise<unknown>>();
  return {
    run(work) {
      const result = within(timers, WORK_MS, 'a call', work, ended.signal);
      underWay.add(result);
      const forget = (): void => void underWay.delete(result);
      result.then(forget, forget);
      return result;
    },
    async close() {
      ended.abort(new Error('the enclave ends'));
      await Promise.allSettled(underWay);
    },
  };
}
