/** What was seen, held against what should not be seen: pair by pair, times and sizes. */
import { PAIRS } from './kinds.ts';
import type { Kinds, PairName } from './kinds.ts';
import type { Seen } from './measure.ts';
import { compare } from './stats.ts';
import type { Thresholds, Verdict } from './stats.ts';

/** A class of which fewer calls ended as they were meant to was not tested. */
const MEANT = 0.8;
/** Milliseconds. A pair in which no smaller difference would have been found was not tested. */
const BLIND_MS = 10;

export interface PairVerdict {
  readonly pair: PairName;
  readonly time: Verdict;
  /** What crossed the wire for every call of each side: `408+16500>1100`; more than one entry where calls differed. */
  readonly sizes: readonly [readonly string[], readonly string[]];
  readonly sizesEqual: boolean;
  /** Share of the calls of each side that ended as they were meant to, and how many were computed anew. */
  readonly meant: readonly [number, number];
  readonly computed: readonly [number, number];
  readonly isShown: boolean;
  readonly passes: boolean;
}

export function judge(pair: PairName, seen: readonly Seen[], thresholds: Thresholds, kinds: Kinds): PairVerdict {
  // What is computed each time is held against what was computed too, not against answers from memory: while jails work the
  // machine works, and where strangers share it, it is slower for a while.
  const isComputed = PAIRS[pair].some((kind) => kinds[kind].jails && !kinds[kind].kept);
  const sides = PAIRS[pair].map((kind) => seen.filter((one) => one.kind === kind && (one.isNew || !isComputed)));
  const [a = [], b = []] = sides;
  const time = compare(a.map(milliseconds), b.map(milliseconds), thresholds);
  const sizes = [sizesOf(a), sizesOf(b)] as const;
  const sizesEqual = sizes[0].length === 1 && sizes[1].length === 1 && sizes[0][0] === sizes[1][0];
  const share = (side: readonly Seen[]): number =>
    side.filter(({ kind, outcome }) => kinds[kind].outcome === outcome).length / Math.max(1, side.length);
  const meant = [share(a), share(b)] as const;
  const isShown = meant.every((one) => one >= MEANT) && time.detectable <= BLIND_MS;
  const anew = (side: readonly Seen[]): number => side.filter(({ isNew }) => isNew).length;
  return {
    pair,
    time,
    sizes,
    sizesEqual,
    meant,
    computed: [anew(a), anew(b)],
    isShown,
    passes: isShown && sizesEqual && !time.leaks,
  };
}

const milliseconds = (one: Seen): number => one.milliseconds;

function sizesOf(side: readonly Seen[]): readonly string[] {
  return [...new Set(side.map(({ sent, received }) => `${sent.join('+')}>${received.join('+')}`))].sort();
}

const us = (value: number): string => (value * 1000).toFixed(1);

/** A line for people. */
export function told({ pair, time, sizes, sizesEqual, meant, computed, isShown }: PairVerdict): string {
  const [a, b] = time.n;
  const parts = [
    `${pair.padEnd(30)} ${time.leaks ? 'LEAKS' : 'no difference'}: |t| ${Math.abs(time.worst.t).toFixed(2)} (${time.worst.name} ms)`,
    `${a} + ${b} calls, ${computed[0]} + ${computed[1]} computed`,
    `means differ by ${us(time.mean[1] - time.mean[0])} us, deviations ${us(time.deviation[0])} and ${us(time.deviation[1])} us`,
    `would have found ${us(time.detectable)} us`,
    sizesEqual
      ? `sizes equal (${sizes[0][0] ?? ''})`
      : `SIZES DIFFER: ${sizes[0].join(' | ')} and ${sizes[1].join(' | ')}`,
  ];
  if (!isShown)
    parts.push(`NOT SHOWN: ${meant.map((share) => `${(100 * share).toFixed(0)} %`).join(' and ')} ended as meant`);
  return parts.join('; ');
}
