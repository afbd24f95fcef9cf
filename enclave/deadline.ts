/** Time limits on what an outsider can delay, and waits between two attempts. Timers are an argument, so that a simulation can own them. */
import { setMaxListeners } from 'node:events';
import { Failure } from '../policies/failure.ts';

export type DeadlineCode = 'deadline/passed';

/** Runs `run` after so many milliseconds, unless the returned function is called first. */
export type Timers = (milliseconds: number, run: () => void) => () => void;

export interface Deadline {
  readonly signal: AbortSignal;
  /** No longer needed: frees the timer. */
  cancel(): void;
}

/** A controller to whose signal any number of things may listen: no leak, of which Node would warn. */
export function controllerForMany(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return controller;
}

/** A signal that is aborted when the time is over, or with `outer`. `what` completes "... took too long". */
export function deadline(timers: Timers, milliseconds: number, what: string, outer?: AbortSignal): Deadline {
  const controller = controllerForMany();
  const stop = timers(milliseconds, () =>
    controller.abort(
      new Failure<DeadlineCode>('environment', 'deadline/passed', `${what} took longer than ${milliseconds} ms`),
    ),
  );
  const follow = (): void => controller.abort(outer?.reason);
  if (outer?.aborted === true) follow();
  else outer?.addEventListener('abort', follow, { once: true });
  return {
    signal: controller.signal,
    cancel() {
      stop();
      outer?.removeEventListener('abort', follow);
    },
  };
}

/** Runs `work` under a deadline of its own. The work must heed the signal: it is not abandoned. */
export async function within<Result>(
  timers: Timers,
  milliseconds: number,
  what: string,
  work: (signal: AbortSignal) => Promise<Result>,
  outer?: AbortSignal,
): Promise<Result> {
  const limit = deadline(timers, milliseconds, what, outer);
  try {
    return await work(limit.signal);
  } finally {
    limit.cancel();
  }
}

/** Resolves after so many milliseconds, or when `signal` is aborted. */
export function pause(timers: Timers, milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = (): void => {
      stop();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const stop = timers(milliseconds, done);
    signal.addEventListener('abort', done, { once: true });
  });
}

/** The promise's outcome, or the signal's reason as soon as it is aborted. */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  let abort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
