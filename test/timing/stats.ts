/**
 * Is the time of one class of calls told apart from another's? As dudect asks it (Reparaz, Balasch, Verbauwhede, 2017):
 * Welch's t over many measurements of both, once over all of them and once each over those below a threshold, since a
 * difference may hide behind the slowest few. The thresholds are fixed beforehand, from measurements that count no more.
 *
 * A test that finds nothing says little where the noise is large; so each comparison also says which difference it would
 * have found (`detectable`).
 */

/** Count, mean and sum of squared deviations, kept up one value at a time (Welford). */
export interface Moments {
  readonly n: number;
  readonly mean: number;
  readonly m2: number;
}

export function momentsOf(values: Iterable<number>): Moments {
  let [n, mean, m2] = [0, 0, 0];
  for (const value of values) {
    const delta = value - mean;
    mean += delta / ++n;
    m2 += delta * (value - mean);
  }
  return { n, mean, m2 };
}

/** Standard error of the difference of two means, by each side's own variance. */
export function standardError(a: Moments, b: Moments): number {
  return Math.sqrt(a.m2 / (a.n - 1) / a.n + b.m2 / (b.n - 1) / b.n);
}

/** Welch's t of `b` against `a`, positive where `b` is slower. 0 where both sides are one and the same constant. */
export function welch(a: Moments, b: Moments): number {
  if (a.n < 2 || b.n < 2) return 0;
  const difference = b.mean - a.mean;
  return difference === 0 ? 0 : difference / standardError(a, b);
}

/** 1 - 2^-k for k = 1 to 10: half of the values, three quarters, … 99.9 %; dudect's own spacing, a tenth of its number. */
export const PERCENTILES: readonly number[] = Array.from({ length: 10 }, (_, k) => 1 - 2 ** -(k + 1));
/** |t| beyond it is a leak. By chance one test in 150,000 goes there; a run has some hundreds, most of them related. */
export const T_LIMIT = 4.5;
/** A normal deviate stays below it with a probability of 90 %. */
const Z_90 = 1.2815515655446004;
/** A test of fewer values on either side is not made: t means little there. */
const LEAST = 100;
/** The same of values that are late: so many of each side on average. */
const LEAST_LATE = 25;
/** Halvings in the search for what is detectable: to a thousandth. */
const STEPS = 12;

export interface Thresholds {
  /** Ascending; a value counts as below where it is less. */
  readonly crops: readonly number[];
  /** What is beyond counts as this: one call that hit a sleeping machine must not drown all others. */
  readonly ceiling: number;
}

/** From calls of all classes together, which are not counted afterwards. */
export function calibrate(values: readonly number[]): Thresholds {
  const sorted = Float64Array.from(values).sort();
  if (sorted.length < LEAST) throw new RangeError(`${sorted.length} values are too few to calibrate with`);
  const at = (index: number): number => sorted[Math.min(sorted.length - 1, index)] ?? 0;
  const crops = PERCENTILES.map((share) => at(Math.floor(share * sorted.length)));
  return { crops: [...new Set(crops)], ceiling: at(sorted.length - 1) };
}

export interface Test {
  /** Which: `all`, `below <threshold>`, `late beyond <threshold>`, `spread`. */
  readonly name: string;
  readonly t: number;
  readonly n: readonly [number, number];
}

export interface Verdict {
  readonly n: readonly [number, number];
  readonly mean: readonly [number, number];
  /** Standard deviations. */
  readonly deviation: readonly [number, number];
  /** All tests that were made, and of them the one with the largest |t|. */
  readonly tests: readonly Test[];
  readonly worst: Test;
  readonly leaks: boolean;
  /**
   * The smallest shift of all values of one class that would have been found with a probability of 90 %; infinite where one
   * class has no two values.
   */
  readonly detectable: number;
}

/**
 * Every test on two classes of values, of one unit with the thresholds. It leaks where any |t| is beyond `T_LIMIT`:
 *
 *     all        the means, values beyond the ceiling counted as it
 *     below      the means of what is below each threshold
 *     late       the shares of what is not
 *     spread     the squared distances from the class's mean, of what is below the highest threshold (second order)
 */
export function compare(a: readonly number[], b: readonly number[], thresholds: Thresholds): Verdict {
  const bounded = (side: readonly number[]): readonly number[] =>
    side.map((value) => Math.min(value, thresholds.ceiling));
  const sides: Sides = [sorted(bounded(a)), sorted(bounded(b))];
  const [one, two] = [sides[0].below(Infinity, 0), sides[1].below(Infinity, 0)];
  const tests = testsOf(sides, thresholds, 0);
  const worst = tests.reduce((most, test) => (Math.abs(test.t) > Math.abs(most.t) ? test : most));
  return {
    n: [a.length, b.length],
    mean: [one.mean, two.mean],
    deviation: [deviationOf(one), deviationOf(two)],
    tests,
    worst,
    leaks: Math.abs(worst.t) > T_LIMIT,
    detectable: detectable(sides, thresholds),
  };
}

const deviationOf = ({ n, m2 }: Moments): number => Math.sqrt(m2 / (n - 1));

type Sides = readonly [Sorted, Sorted];

/** `shift` is added to the second side, as if it had been slower by so much. */
function testsOf([a, b]: Sides, { crops }: Thresholds, shift: number): readonly Test[] {
  const test = (name: string, left: Moments, right: Moments): Test => ({
    name,
    t: welch(left, right),
    n: [left.n, right.n],
  });
  const tests = [test('all', a.below(Infinity, 0), b.below(Infinity, shift))];
  for (const crop of crops) {
    const [left, right] = [a.below(crop, 0), b.below(crop, shift)];
    if (Math.min(left.n, right.n) >= LEAST) tests.push(test(`below ${shown(crop)}`, left, right));
    const late = (a.length - left.n + b.length - right.n) / (a.length + b.length);
    if (late * Math.min(a.length, b.length) < LEAST_LATE) continue;
    tests.push(test(`late beyond ${shown(crop)}`, shareOf(a.length, left.n), shareOf(b.length, right.n)));
  }
  const highest = crops.at(-1) ?? Infinity;
  tests.push(test('spread', a.squares(highest, 0), b.squares(highest, shift)));
  return tests;
}

const shown = (value: number): string => value.toFixed(3);

/** Of n values, 0 for each of those below and 1 for each other. */
function shareOf(n: number, below: number): Moments {
  const mean = (n - below) / n;
  return { n, mean, m2: n * mean * (1 - mean) };
}

/** Values in their order with the sums of their powers, so that any threshold is one search. */
interface Sorted {
  readonly length: number;
  /** Moments of what is below `limit` once `shift` is added to every value. */
  below(limit: number, shift: number): Moments;
  /** The same of the squared distances from the mean of what is below. */
  squares(limit: number, shift: number): Moments;
}

function sorted(values: readonly number[]): Sorted {
  const order = Float64Array.from(values).sort();
  // Powers are taken from near the middle, or little would be left of their differences.
  const middle = order[order.length >> 1] ?? 0;
  const sums = [1, 2, 3, 4].map((power) => {
    const sum = new Float64Array(order.length + 1);
    for (const [index, value] of order.entries()) sum[index + 1] = (sum[index] ?? 0) + (value - middle) ** power;
    return sum;
  });
  const countBelow = (limit: number): number => {
    let [low, high] = [0, order.length];
    while (low < high) {
      const half = (low + high) >> 1;
      if ((order[half] ?? 0) < limit) low = half + 1;
      else high = half;
    }
    return low;
  };
  /** Mean of the first n values' powers. */
  const raw = (n: number): readonly number[] => sums.map((sum) => (n === 0 ? 0 : (sum[n] ?? 0) / n));
  return {
    length: order.length,
    below(limit, shift) {
      const n = countBelow(limit - shift);
      const [first = 0, second = 0] = raw(n);
      return { n, mean: middle + first + shift, m2: Math.max(0, n * (second - first ** 2)) };
    },
    squares(limit, shift) {
      const n = countBelow(limit - shift);
      const [first = 0, second = 0, third = 0, fourth = 0] = raw(n);
      const mean = second - first ** 2;
      const central = fourth - 4 * first * third + 6 * first ** 2 * second - 3 * first ** 4;
      return { n, mean, m2: Math.max(0, n * (central - mean ** 2)) };
    },
  };
}

/**
 * Shifts one side until some test moves as far as the limit and the chance beyond it, each way, and takes the larger. What
 * difference there is already takes no part: only by how much t moves.
 */
function detectable(sides: Sides, thresholds: Thresholds): number {
  if (Math.min(...sides.map(({ length }) => length)) < 2) return Infinity;
  const still = new Map(testsOf(sides, thresholds, 0).map(({ name, t }) => [name, t]));
  const enough = T_LIMIT + Z_90;
  const moves = (shift: number): boolean =>
    testsOf(sides, thresholds, shift).some(({ name, t }) => Math.abs(t - (still.get(name) ?? t)) >= enough);
  const start = standardError(sides[0].below(Infinity, 0), sides[1].below(Infinity, 0));
  if (!(start > 0)) return 0;
  const least = (sign: 1 | -1): number => {
    let high = start;
    while (!moves(sign * high)) high *= 2;
    let low = 0;
    for (let step = 0; step < STEPS; step++) {
      const middle = (low + high) / 2;
      if (moves(sign * middle)) high = middle;
      else low = middle;
    }
    return high;
  };
  return Math.max(least(1), least(-1));
}
