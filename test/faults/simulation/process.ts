/** A program that may be killed between any two of its steps: what it waited for then never comes. */
import type { Timers } from '../../../enclave/deadline.ts';
import type { Simulation } from './clock.ts';

export interface Process {
  readonly name: string;
  readonly alive: boolean;
  /** For good. What it asked of others may still happen there. */
  kill(): void;
  /** Its timers die with it. */
  readonly timers: Timers;
  /** Told once, when it is killed. */
  onKill(told: () => void): void;
}

export function createProcess(simulation: Simulation, name: string): Process {
  let alive = true;
  const told: (() => void)[] = [];
  return {
    name,
    get alive() {
      return alive;
    },
    kill() {
      if (!alive) return;
      alive = false;
      simulation.trace(() => `${name} is killed`);
      for (const tell of told) tell();
    },
    timers: (milliseconds, run) =>
      simulation.after(milliseconds, () => {
        if (alive) run();
      }),
    onKill: (tell) => void told.push(tell),
  };
}
