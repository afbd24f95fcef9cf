/** Run after run, until something is found or there were enough. */
import type { ViolationCode } from './check.ts';
import { run } from './simulation/run.ts';
import type { Weakening } from './simulation/weakening.ts';
import { WEAKENINGS } from './weakened.ts';

export interface FoundViolation {
  readonly seed: number;
  readonly code: ViolationCode;
  readonly text: string;
}

/** Some runs that follow one another: what one process does at a time. */
export interface Stretch {
  readonly firstSeed: number;
  readonly runs: number;
  /** The plans are bent to what this rule is about … */
  readonly rule?: string;
  /** … and it is switched off. */
  readonly off?: boolean;
}

export interface Sums {
  readonly calls: number;
  readonly answers: number;
  readonly kills: number;
  readonly events: number;
}

export interface Sought extends Sums {
  readonly violations: readonly FoundViolation[];
}

/** With a rule switched off the first violation is enough. */
export async function seek({ firstSeed, runs, rule, off = false }: Stretch): Promise<Sought> {
  const weakening = WEAKENINGS.find(({ name }) => name === rule);
  const bent = off ? weakening : bending(weakening);
  const sums = { calls: 0, answers: 0, kills: 0, events: 0 };
  const violations: FoundViolation[] = [];
  for (let seed = firstSeed; seed < firstSeed + runs; seed += 1) {
    const result = await run(seed, { weakening: bent });
    sums.calls += result.attempts;
    sums.answers += result.answers;
    sums.kills += result.kills;
    sums.events += result.events;
    violations.push(...result.violations.map((violation) => ({ seed, ...violation })));
    if (off && violations.length > 0) break;
  }
  return { ...sums, violations };
}

/** The same plans, with every rule in force. */
function bending(weakening: Weakening | undefined): Weakening | undefined {
  if (weakening?.plan === undefined) return undefined;
  const { name, text, plan } = weakening;
  return { name, text, plan };
}
