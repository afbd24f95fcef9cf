/** Timers of a party's own machine. */
import type { Timers } from '../enclave/deadline.ts';

export const realTimers: Timers = (milliseconds, run) => {
  const timer = setTimeout(run, milliseconds);
  return () => clearTimeout(timer);
};
