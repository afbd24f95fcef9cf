/** Nothing waits for ever: every step that another machine must take has a limit, and Ctrl-C ends each at once. */
import { Failure } from '../../policies/failure.ts';

export type PatienceCode = 'session/timeout';

/**
 * Runs one step under a time limit and the caller's signal. `doing` completes "… took longer than 30 s". The step gets a
 * signal that it must obey; should it not, this rejects nevertheless.
 */
export async function withPatience<T>(
  doing: string,
  milliseconds: number,
  signal: AbortSignal | undefined,
  step: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new Failure<PatienceCode>(
    'environment',
    'session/timeout',
    `${doing} took longer than ${say(milliseconds)}`,
    {
      hint: 'the same command again costs nothing; if it keeps happening, ask whoever runs the host',
    },
  );
  return inTime(milliseconds, late, signal, step);
}

/**
 * Likewise, with a failure of its own. The signal is one that nothing but this holds: those of `AbortSignal.any` and `.timeout`
 * are forgotten by Node's fetch once an answer's head is there, and a body that drips would have no end.
 */
export async function inTime<T>(
  milliseconds: number,
  late: Failure,
  signal: AbortSignal | undefined,
  step: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(late), milliseconds);
  const follow = (): void => controller.abort(signal?.reason);
  signal?.addEventListener('abort', follow, { once: true });
  try {
    const aborted = new Promise<never>((_, reject) => {
      controller.signal.addEventListener('abort', () => reject(controller.signal.reason), { once: true });
    });
    const result = step(controller.signal);
    // Whichever of the two is not waited for may still fail; that is then nobody's concern.
    result.catch(() => {});
    return await Promise.race([result, aborted]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', follow);
  }
}

function say(milliseconds: number): string {
  return milliseconds < 1000 ? `${milliseconds} ms` : `${Math.round(milliseconds / 1000)} s`;
}
