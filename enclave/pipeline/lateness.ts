/**
 * The time of a call, counted from the last byte of its request. A little before its answer is due it is decided what the
 * answer is: what is settled by then, or that it was not done in time. The rest of the time is for sealing it, which is
 * the same work in the same moment for all that can come of a call: where the gate is held up, every answer is.
 */
import { controllerForMany } from '../deadline.ts';
import type { Schedule } from './schedule.ts';

/** For sealing an answer of the largest size, in turn with one of each other party that is due then too. Milliseconds. */
export const MARGIN_MS = 3;

export interface CallTime {
  /** When the answer leaves, by the schedule's clock; undefined: as soon as it is there. */
  readonly due: number | undefined;
  /** What `work` comes to, or `instead` where that is not settled `MARGIN_MS` before `due`; then, and no sooner. */
  decided<T>(work: Promise<T>, instead: T): Promise<T>;
  /** Aborted by `stop`. */
  readonly late: AbortSignal;
  /** Ends what is still at work: it is too late for it. */
  stop(): void;
  /** Resolves with `over`. */
  readonly left: Promise<void>;
  /** The answer has left. */
  over(): void;
}

/** `arrival`: when the request's last byte was read. `afterMs` 0: the answer leaves when it is there. */
export function callTime(schedule: Schedule, party: string, arrival: number, afterMs: number): CallTime {
  const controller = controllerForMany();
  const [left, over] = settable();
  const due = afterMs === 0 ? undefined : arrival + afterMs;
  const passed =
    due === undefined ? undefined : new Promise<void>((resolve) => schedule.at(due - MARGIN_MS, resolve, party));
  return {
    due,
    async decided(work, instead) {
      if (passed === undefined) return work;
      let settled = instead;
      work.then(
        (outcome) => (settled = outcome),
        () => {},
      );
      await passed;
      return settled;
    },
    late: controller.signal,
    stop: () => controller.abort(new Error('the time of the call is over')),
    left,
    over,
  };
}

function settable(): readonly [promise: Promise<void>, settle: () => void] {
  let settle = (): void => {};
  const promise = new Promise<void>((resolve) => {
    settle = resolve;
  });
  return [promise, settle];
}
