/** Run after run, until something is found or there were enough. */
import type { ViolationCode } from './check.ts';
import { run } from './simulation/run.ts';
import type { Weakening } from './simulation/weakening.ts';

export interface FoundViolation {
  readonly seed: number;
  readonly code: ViolationCode;
  readonly text: string;
}

export interface Total {
  readonly firstSeed: number;
  readonly runs: number;
  /** Runs in which something was violated. */
  readonly violating: number;
  readonly calls: number;
  readonly answers: number;
  readonly kills: number;
  readonly events: number;
  readonly seconds: number;
  readonly runsPerSecond: number;
}

const TELL_EVERY = 500;

export async function seek(
  firstSeed: number,
  runs: number,
  tell: (violation: FoundViolation) => void,
  progress: (done: number) => void,
): Promise<Total> {
  const start = performance.now();
  const total = { violating: 0, calls: 0, answers: 0, kills: 0, events: 0 };
  for (let seed = firstSeed; seed < firstSeed + runs; seed += 1) {
    const result = await run(seed);
    total.calls += result.attempts;
    total.answers += result.answers;
    total.kills += result.kills;
    total.events += result.events;
    if (result.violations.length > 0) total.violating += 1;
    for (const violation of result.violations) tell({ seed, ...violation });
    const done = seed - firstSeed + 1;
    if (done % TELL_EVERY === 0) progress(done);
  }
  const seconds = (performance.now() - start) / 1000;
  const rounded = (value: number): number => Math.round(10 * value) / 10;
  return { firstSeed, runs, ...total, seconds: rounded(seconds), runsPerSecond: rounded(runs / seconds) };
}

export interface FoundOut {
  /** How many runs it took, or were in vain. */
  readonly runs: number;
  readonly seed?: number;
  readonly code?: ViolationCode;
  readonly text?: string;
}

/** Runs with a rule switched off until a violation is found. */
export async function findOut(weakening: Weakening, firstSeed: number, runs: number): Promise<FoundOut> {
  for (let i = 0; i < runs; i += 1) {
    const { violations } = await run(firstSeed + i, { weakening });
    const [found] = violations;
    if (found !== undefined) return { runs: i + 1, seed: firstSeed + i, ...found };
  }
  return { runs };
}
