/** Which calls are made, how many of each class, in which order, and how long that will take. */
import type { Prng } from '../faults/simulation/prng.ts';
import { PAIRS } from './kinds.ts';
import type { KindName, Kinds, PairName, Shares } from './kinds.ts';

export interface Step {
  readonly kind: KindName;
  /** To be computed; otherwise the last answer of this class is asked for again. */
  readonly isNew: boolean;
}

export interface Plan {
  readonly pairs: readonly PairName[];
  /** Not counted: they warm up, and the thresholds come from them. */
  readonly before: readonly Step[];
  readonly counted: readonly Step[];
}

export interface PlanOptions {
  /** Counted calls of all classes, if all pairs are asked for. */
  readonly calls: number;
  readonly pairs: readonly PairName[];
  /** Share of the calls that jails compute where the enclave would also give the last answer again. */
  readonly fresh: number;
  readonly kinds: Kinds;
  readonly shares: Shares;
  readonly random: Prng;
}

const BEFORE_SHARE = 0.06;
const BEFORE_LEAST = 500;

export function planOf(options: PlanOptions): Plan {
  const { calls, pairs, shares } = options;
  const wanted = [...new Set(pairs.flatMap((pair) => PAIRS[pair]))];
  const total = wanted.reduce((sum, kind) => sum + shares[kind], 0);
  const before = Math.max(BEFORE_LEAST, Math.round(BEFORE_SHARE * calls * (total / 1000)));
  return {
    pairs,
    before: steps(options, wanted, (kind) => (before * shares[kind]) / total),
    counted: steps(options, wanted, (kind) => (calls * shares[kind]) / 1000),
  };
}

function steps(
  { kinds, fresh, random }: PlanOptions,
  wanted: readonly KindName[],
  countOf: (kind: KindName) => number,
): readonly Step[] {
  const all = wanted.flatMap((kind) => {
    const count = Math.max(2, Math.round(countOf(kind)));
    // Evenly among the calls of the class in the order in which they were drawn.
    const newOnes = kinds[kind].kept ? Math.max(1, Math.round(count * fresh)) : count;
    return Array.from({ length: count }, (_, index) => ({ kind, isNew: index < newOnes }));
  });
  return shuffled(all, random);
}

function shuffled<T>(values: readonly T[], random: Prng): readonly T[] {
  const keyed = values.map((value) => [random.next(), value] as const);
  return keyed.sort(([a], [b]) => a - b).map(([, value]) => value);
}

export const needsJails = ({ kind, isNew }: Step, kinds: Kinds): boolean => isNew && kinds[kind].jails;
