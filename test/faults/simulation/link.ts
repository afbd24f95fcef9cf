/**
 * The way from a program to a service and back. A request may be lost on its way, or the answer be, or the service fail
 * before or after it did what was asked, or do it long after everybody gave up waiting.
 */
import type { Simulation } from './clock.ts';
import type { Prng } from './prng.ts';
import type { Process } from './process.ts';

/** Probabilities of what becomes of a request; what is left of 1 goes well. */
export interface Fates {
  readonly lostBefore: number;
  readonly lostAfter: number;
  readonly errorBefore: number;
  /** The answer is a 500, and the service did it. */
  readonly errorAfter: number;
  /** The one who asked gives up; then it happens. */
  readonly late: number;
  /** Of an answer or request to take ten to a thousand times as long. */
  readonly slow: number;
}

export const NO_FAULTS: Fates = { lostBefore: 0, lostAfter: 0, errorBefore: 0, errorAfter: 0, late: 0, slow: 0 };

export interface Link {
  /** Replaced as the weather changes. */
  fates: Fates;
  /** Nothing comes through, nothing comes back. */
  down: boolean;
  /** Other ways to be down: of the service itself, of whoever relays. */
  readonly isCut: (() => boolean)[];
  request<T>(asks: Request<T>): Promise<T>;
}

export interface Request<T> {
  readonly from: Process;
  readonly what: () => string;
  readonly signal: AbortSignal;
  /** What happens at the service. Its errors come back as they are. */
  readonly effect: () => T;
  /** What the one who asks sees where no answer came. */
  readonly failed: (why: 'timeout' | 'error') => unknown;
}

/** As the SDK's: a request that is not answered by then is over. */
const TIMEOUT_MS = 8_000;

type Fate = 'well' | keyof Omit<Fates, 'slow'>;

export function createLink(simulation: Simulation, random: Prng, name: string): Link {
  const latency = (fates: Fates): number => {
    const usual = 0.5 + 8 * random.next();
    return random.chance(fates.slow) ? usual * 10 ** (1 + 2 * random.next()) : usual;
  };
  const fateOf = (link: Link): Fate => {
    if (link.down || link.isCut.some((cut) => cut())) return random.chance(0.5) ? 'errorBefore' : 'lostBefore';
    let left = random.next();
    for (const fate of ['lostBefore', 'lostAfter', 'errorBefore', 'errorAfter', 'late'] as const) {
      left -= link.fates[fate];
      if (left < 0) return fate;
    }
    return 'well';
  };

  const link: Link = {
    fates: NO_FAULTS,
    down: false,
    isCut: [],
    request: ({ from, what, signal, effect, failed }) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) {
          reject(signal.reason);
          return;
        }
        const fate = fateOf(link);
        const [go, back] = [latency(link.fates), latency(link.fates)];
        simulation.trace(() => `${from.name} asks ${name} ${what()}${fate === 'well' ? '' : `, which ends ${fate}`}`);
        let stopTimeout = (): void => {};
        let settled = false;
        const settle = (end: () => void): void => {
          if (settled || !from.alive) return;
          settled = true;
          stopTimeout();
          signal.removeEventListener('abort', abort);
          end();
        };
        const abort = (): void => settle(() => reject(signal.reason));
        signal.addEventListener('abort', abort);
        const fail = (why: 'timeout' | 'error') => (): void => settle(() => reject(failed(why)));
        const happen = (then: (end: () => void) => void): void => {
          try {
            const result = effect();
            then(() => resolve(result));
          } catch (error) {
            then(() => reject(error));
          }
        };
        stopTimeout = simulation.after(TIMEOUT_MS, fail('timeout'));
        switch (fate) {
          case 'well':
            simulation.after(go, () => happen((end) => simulation.after(back, () => settle(end))));
            break;
          case 'lostBefore':
            break;
          case 'lostAfter':
            simulation.after(go, () => happen(() => {}));
            break;
          case 'errorBefore':
            simulation.after(go + back, fail('error'));
            break;
          case 'errorAfter':
            simulation.after(go, () => happen(() => simulation.after(back, fail('error'))));
            break;
          case 'late':
            simulation.after(go, fail('error'));
            simulation.after(go + 20_000 * random.next() ** 3, () => happen(() => {}));
            break;
        }
      }),
  };
  return link;
}
