/** Time that passes when a test says so: timers that come too early or too late, and turns of an event loop. */
import type { Timers } from '../../enclave/deadline.ts';

export interface VirtualTime {
  readonly now: () => number;
  readonly timers: Timers;
  readonly immediate: (run: () => void) => void;
  /** Passes the time of whoever naps: two and a half times as much as was asked for. */
  readonly nap: (milliseconds: number) => void;
  /** Lets so many milliseconds pass. */
  pass(milliseconds: number): void;
  /** Timers that wait now. */
  pending(): number;
  /** Turns of the event loop that somebody asked for so far. */
  turns(): number;
}

export interface VirtualTimeOptions {
  /** What a turn of the event loop takes. */
  readonly turnMs?: number;
  /** How much too late the n-th timer comes; negative: too early. */
  readonly wrongMs?: (n: number) => number;
}

interface Timer {
  readonly due: number;
  readonly run: () => void;
}

export function createVirtualTime({ turnMs = 0, wrongMs = () => 0 }: VirtualTimeOptions = {}): VirtualTime {
  const waiting = new Set<Timer>();
  let immediates: (() => void)[] = [];
  let time = 0;
  let made = 0;
  let turns = 0;
  const earliest = (): Timer | undefined =>
    [...waiting].reduce<Timer | undefined>((least, timer) => (least === undefined || timer.due < least.due ? timer : least), undefined); // prettier-ignore
  return {
    now: () => time,
    timers(milliseconds, run) {
      const timer = { due: Math.max(time, time + milliseconds + wrongMs(made++)), run };
      waiting.add(timer);
      return () => void waiting.delete(timer);
    },
    immediate: (run) => void immediates.push(run),
    nap: (milliseconds) => void (time += 2.5 * milliseconds),
    pass(milliseconds) {
      const end = time + milliseconds;
      for (;;) {
        const next = earliest();
        const isDue = next !== undefined && next.due <= time;
        if (!isDue && immediates.length > 0 && time + turnMs <= end) {
          const now = immediates;
          immediates = [];
          turns += 1;
          time += turnMs;
          for (const run of now) run();
        } else if (next !== undefined && next.due <= end && (isDue || immediates.length === 0)) {
          waiting.delete(next);
          time = Math.max(time, next.due);
          next.run();
        } else {
          time = Math.max(time, end);
          return;
        }
      }
    },
    pending: () => waiting.size,
    turns: () => turns,
  };
}
