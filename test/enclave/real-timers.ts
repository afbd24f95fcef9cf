/** Timers and schedule as `main.ts` has them. */
import type { Timers } from '../../enclave/deadline.ts';
import type { Schedule } from '../../enclave/pipeline/schedule.ts';
import { createSchedule } from '../../enclave/pipeline/schedule.ts';

export const realTimers: Timers = (milliseconds, run) => {
  const timer = setTimeout(run, milliseconds);
  return () => clearTimeout(timer);
};

export const realSchedule = (): Schedule =>
  createSchedule({ now: () => performance.now(), timers: realTimers, coarseMs: 2, immediate: setImmediate, nap });

const nobody = new Int32Array(new SharedArrayBuffer(4));
const nap = (milliseconds: number): void => void Atomics.wait(nobody, 0, 0, milliseconds);
