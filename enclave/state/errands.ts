/**
 * What is done in the background, at most once at a time under each name: errands that fail leave their reason, errands
 * under way can be waited for. Nothing they throw is lost, and none goes on for longer than its limit.
 */
import { Failure } from '../../policies/failure.ts';
import type { Timers } from '../deadline.ts';
import { controllerForMany, within } from '../deadline.ts';

export interface ErrandTerms {
  /** Ends it. Whoever lent the credentials is gone: that is no failure, and the next one begins anew. */
  readonly outer?: AbortSignal;
  readonly limitMs?: number;
}

export interface Errands {
  /** One of this name under way is run once more afterwards, unless it was begun for the same `outer`. */
  run(name: string, work: (signal: AbortSignal) => Promise<void>, terms?: ErrandTerms): void;
  isUnderWay(name?: string): boolean;
  /** Resolves at the next change: something ended. */
  change(signal: AbortSignal): Promise<void>;
  /** Why the last errand of each name failed, oldest first. */
  readonly failures: ReadonlyMap<string, Failure>;
  /** Ends all. */
  close(): void;
}

export interface ErrandParts {
  readonly timers: Timers;
  /** Told once of each new reason. */
  readonly failed: (failure: Failure) => void;
  /** For an error of our own, which is no `Failure`. */
  readonly fault: (error: unknown) => void;
}

interface Errand {
  readonly outer: AbortSignal | undefined;
  again: (() => void) | undefined;
}

/** Longer than KMS and an anchor may take together, retries included. */
const LIMIT_MS = 90_000;

export function createErrands({ timers, failed, fault }: ErrandParts): Errands {
  const ended = controllerForMany();
  const underWay = new Map<string, Errand>();
  const failures = new Map<string, Failure>();
  const wake: (() => void)[] = [];

  const changed = (): void => {
    for (const go of wake.splice(0)) go();
  };

  async function settle(
    name: string,
    work: (signal: AbortSignal) => Promise<void>,
    { outer, limitMs = LIMIT_MS }: ErrandTerms,
  ): Promise<void> {
    const signal = outer === undefined ? ended.signal : AbortSignal.any([ended.signal, outer]);
    try {
      await within(timers, limitMs, name, work, signal);
      failures.delete(name);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Failure)) return fault(error);
      const known = failures.get(name)?.code === error.code;
      failures.delete(name);
      failures.set(name, error);
      if (!known) failed(error);
    }
  }

  const run: Errands['run'] = (name, work, terms = {}) => {
    if (ended.signal.aborted || terms.outer?.aborted === true) return;
    const running = underWay.get(name);
    if (running !== undefined) {
      if (terms.outer === undefined || terms.outer !== running.outer) running.again = () => run(name, work, terms);
      return;
    }
    const errand: Errand = { outer: terms.outer, again: undefined };
    underWay.set(name, errand);
    void settle(name, work, terms).finally(() => {
      underWay.delete(name);
      errand.again?.();
      changed();
    });
  };

  return {
    run,
    failures,
    isUnderWay: (name) => (name === undefined ? underWay.size > 0 : underWay.has(name)),
    change: (signal) =>
      new Promise((resolve) => {
        if (signal.aborted) return resolve();
        const go = (): void => {
          signal.removeEventListener('abort', go);
          resolve();
        };
        wake.push(go);
        signal.addEventListener('abort', go, { once: true });
      }),
    close() {
      ended.abort(new Error('the enclave ends'));
      changed();
    },
  };
}
