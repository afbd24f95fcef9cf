/**
 * One question to one anchor, and the patience for it. An outcome that leaves open whether something was written (a
 * time-out, a lost acknowledgement, a 5xx) is followed by the same question with the same bytes: an anchor then says what
 * is there now.
 */
import { Failure } from '../../policies/failure.ts';
import type { Timers } from '../deadline.ts';
import { pause, within } from '../deadline.ts';
import type { AnchorCode } from './anchor.ts';

export interface Patience {
  /** How often one question is put. */
  readonly attempts: number;
  readonly attemptMs: number;
  /** Before the second attempt; doubled before each further one. */
  readonly pauseMs: number;
  /** How long those that have not answered are waited for, once a quorum has. */
  readonly graceMs: number;
}

export const PATIENCE: Patience = { attempts: 3, attemptMs: 6_000, pauseMs: 200, graceMs: 300 };

/** For an anchor that others can stand in for. */
export function brief(patience: Patience = PATIENCE): Patience {
  return { ...patience, attempts: Math.min(2, patience.attempts), attemptMs: Math.min(3_000, patience.attemptMs) };
}

export interface Waiting {
  readonly timers: Timers;
  readonly signal: AbortSignal;
  readonly patience?: Patience;
}

export type Answered<T> =
  { readonly answered: true; readonly value: T } | { readonly answered: false; readonly code: AnchorCode };

/** Resolves whatever happens; the work is left alone when it does not heed its signal. */
export async function ask<T>(waiting: Waiting, work: (signal: AbortSignal) => Promise<T>): Promise<Answered<T>> {
  const { timers, signal, patience = PATIENCE } = waiting;
  for (let attempt = 0; ; attempt += 1) {
    try {
      const limited = (limit: AbortSignal): Promise<T> => orAborted(limit, () => work(limit));
      return { answered: true, value: await within(timers, patience.attemptMs, 'an anchor', limited, signal) };
    } catch (error) {
      const code = codeOf(error);
      if (code !== 'anchor/unavailable' || signal.aborted || attempt + 1 >= patience.attempts)
        return { answered: false, code };
    }
    await pause(timers, patience.pauseMs * 2 ** attempt, signal);
  }
}

const CODES = {
  'anchor/waiting': true,
  'anchor/unavailable': true,
  'anchor/refused': true,
  'anchor/misconfigured': true,
  'anchor/tampered': true,
  'anchor/full': true,
} as const satisfies Record<AnchorCode, true>;

/** What an anchor threw that is none of its codes tells nothing either way: like an answer that was lost. */
function codeOf(error: unknown): AnchorCode {
  if (!(error instanceof Failure)) return 'anchor/unavailable';
  const { code }: { readonly code: string } = error;
  return isAnchorCode(code) ? code : 'anchor/unavailable';
}

function isAnchorCode(code: string): code is AnchorCode {
  return Object.hasOwn(CODES, code);
}

async function orAborted<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  let stop = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    stop = () => signal.removeEventListener('abort', abort);
  });
  try {
    return await Promise.race([work(), aborted]);
  } finally {
    stop();
  }
}
