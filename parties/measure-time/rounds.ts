/** Calls as parties make them who never pause: all at once, and again as soon as answers have left. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Computer } from '../../enclave/jail/gate-side.ts';

/** In whole milliseconds, rounded up. */
export interface Times {
  readonly calls: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface RoundsOptions {
  readonly parties: readonly string[];
  readonly rounds: number;
  /** A round begins no sooner than this after the one before: so long an answer takes to leave. */
  readonly periodMs: number;
  readonly signal: AbortSignal;
  readonly onRound: (done: number, total: number) => void;
}

/** Longest time of one call: as long as any policy may wait. */
const CALL_MS = 600_000;

/** How long each call took from its input to its answer, in milliseconds. Rejects with `Failure<JailCode>` where one is not answered. */
export async function timeRounds(computer: Computer, input: Uint8Array, options: RoundsOptions): Promise<number[]> {
  const { parties, rounds, periodMs, signal, onRound } = options;
  const took: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    onRound(round, rounds);
    const began = performance.now();
    const late = AbortSignal.any([signal, AbortSignal.timeout(CALL_MS)]);
    let leave = (): void => {};
    const left = new Promise<void>((resolve) => {
      leave = resolve;
    });
    try {
      await Promise.all(
        parties.map(async (party) => {
          await computer.run([input], { party, signal: late, left });
          took.push(performance.now() - began);
        }),
      );
      await sleep(Math.max(0, began + periodMs - performance.now()), undefined, { signal });
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    } finally {
      leave();
    }
  }
  return took;
}

/** Of at least one. */
export function timesOf(took: readonly number[]): Times {
  const sorted = took.toSorted((a, b) => a - b);
  const at = (share: number): number => Math.ceil(sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0);
  return { calls: sorted.length, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
}

/** Half as much again as the slowest call took, in steps that are easy to read; at least 50. */
export function recommended({ maxMs }: Pick<Times, 'maxMs'>): number {
  const needed = Math.max(50, 1.5 * maxMs + 10);
  const step = needed < 1000 ? 10 : 100;
  return Math.ceil(needed / step) * step;
}
