/** The statistics by themselves: against numbers that others published, and against noise of which everything is known. */
import { array, assert, double, property } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createPrng } from '../faults/simulation/prng.ts';
import { usableProcessors } from './processors.ts';
import { PERCENTILES, T_LIMIT, calibrate, compare, momentsOf, standardError, welch } from './stats.ts';

/** Well-known examples of Welch's test, of one size and of two; t by Python's `statistics`. */
const EQUAL = [
  [27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19.0, 21.7, 21.4],
  [27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9, 20.5, 24.4],
] as const;
const UNEQUAL = [
  [17.2, 20.9, 22.6, 18.1, 21.7, 21.4, 23.5, 24.2, 14.7, 21.8],
  [21.5, 22.8, 21.0, 23.0, 21.6, 23.6, 22.5, 20.7, 23.4, 21.8, 20.7, 21.7, 21.5, 22.5, 23.6, 21.5, 22.5, 23.5, 21.5, 21.8],
] as const; // prettier-ignore

/** Normal, by Box and Muller; a `late`th of the values is 3 ms later, as where the machine did something else. */
function noise(seed: number, count: number, { mean = 10, deviation = 0.2, late = 0 } = {}): readonly number[] {
  const random = createPrng(seed);
  return Array.from({ length: count }, () => {
    const normal = Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
    return mean + deviation * normal + (random.next() < late ? 3 + random.next() : 0);
  });
}

const SEEDS = Array.from({ length: 40 }, (_, index) => index + 1);
const thresholdsOf = (late = 0) => calibrate(noise(9_999, 2_000, { late }));

describe("Welch's t", () => {
  test.each([
    ['of samples of one size', EQUAL, 2.4553563983],
    ['of samples of two sizes', UNEQUAL, 1.5654335236],
  ])('%s is what another program has', (_, [a, b], t) => {
    expect(welch(momentsOf(a), momentsOf(b))).toBeCloseTo(t, 9);
    expect(welch(momentsOf(b), momentsOf(a))).toBeCloseTo(-t, 9);
  });

  test('of two values a side, reckoned by hand: (6 - 2) / sqrt(2/2 + 8/2)', () => {
    expect(welch(momentsOf([1, 3]), momentsOf([4, 8]))).toBeCloseTo(4 / Math.sqrt(5), 12);
  });

  test('is none where nothing varies and nothing differs, and endless where something does', () => {
    expect(welch(momentsOf([5, 5, 5]), momentsOf([5, 5]))).toBe(0);
    expect(welch(momentsOf([5, 5, 5]), momentsOf([6, 6]))).toBe(Infinity);
  });

  test('moments are exact also far from zero', () => {
    const number = double({ min: 1e6, max: 1e6 + 10, noNaN: true });
    assert(
      property(array(number, { minLength: 2, maxLength: 50 }), (values) => {
        const { n, mean, m2 } = momentsOf(values);
        const exact = values.reduce((sum, value) => sum + (value - 1e6), 0) / values.length;
        const squares = values.reduce((sum, value) => sum + (value - 1e6 - exact) ** 2, 0);
        expect(n).toBe(values.length);
        expect(mean - 1e6).toBeCloseTo(exact, 6);
        expect(m2).toBeCloseTo(squares, 5);
      }),
    );
  });
});

test('tests by sums of powers are those by one value after the other', () => {
  const [a, b] = [noise(1, 900, { late: 0.05 }), noise(2, 1_100, { late: 0.05, deviation: 0.3 })];
  const thresholds = thresholdsOf(0.05);
  const { tests } = compare(a, b, thresholds);
  const named = (name: string) => tests.find((test) => test.name === name)?.t;
  const cut = (side: readonly number[], limit: number) => side.filter((value) => value < limit);
  for (const crop of thresholds.crops) {
    expect(named(`below ${crop.toFixed(3)}`)).toBeCloseTo(welch(momentsOf(cut(a, crop)), momentsOf(cut(b, crop))), 6);
  }
  const squares = (side: readonly number[]) => {
    const kept = cut(side, thresholds.crops.at(-1) ?? 0);
    const { mean } = momentsOf(kept);
    return momentsOf(kept.map((value) => (value - mean) ** 2));
  };
  expect(named('spread')).toBeCloseTo(welch(squares(a), squares(b)), 6);
  const late = (side: readonly number[]) =>
    momentsOf(side.map((value) => (value < (thresholds.crops[0] ?? 0) ? 0 : 1)));
  expect(named(`late beyond ${thresholds.crops[0]?.toFixed(3)}`)).toBeCloseTo(welch(late(a), late(b)), 1);
});

describe('the thresholds', () => {
  test('are those below which half of the values are, three quarters, and so on', () => {
    const thousand = Array.from({ length: 1_024 }, (_, index) => index);
    const { crops, ceiling } = calibrate(thousand.toReversed());
    expect(crops).toStrictEqual([512, 768, 896, 960, 992, 1_008, 1_016, 1_020, 1_022, 1_023]);
    expect(ceiling).toBe(1_023);
    expect(PERCENTILES).toHaveLength(10);
  });

  test('are not made of a handful of values', () => {
    expect(() => calibrate(noise(1, 99))).toThrow(RangeError);
  });
});

test.each([0, 1])('of %i values nothing would have been found', (n) => {
  const [few, many] = [noise(1, n), noise(2, 1_000)];
  expect(compare(few, many, thresholdsOf(0)).detectable).toBe(Infinity);
  expect(compare(many, few, thresholdsOf(0)).detectable).toBe(Infinity);
});

describe('where there is no difference', () => {
  test.each([
    ['as many of each', 2_000, 0],
    ['a few against many', 300, 0],
    ['with values that are late now and then', 2_000, 0.01],
    ['a few against many, with late ones', 300, 0.01],
  ])('none is found: %s', (_, few, late) => {
    const thresholds = thresholdsOf(late);
    const found = SEEDS.map((seed) =>
      compare(noise(seed, 2_000, { late }), noise(seed + 1_000, few, { late }), thresholds),
    );
    expect(found.filter(({ leaks }) => leaks)).toStrictEqual([]);
    // And they look: by chance alone the worst of so many tests is not always near zero.
    expect(Math.max(...found.map(({ worst }) => Math.abs(worst.t)))).toBeGreaterThan(2);
  });
});

describe('a difference', () => {
  test.each([0, 0.01])('of three times what is said to be detectable is always found (late: %d)', (late) => {
    const thresholds = thresholdsOf(late);
    for (const seed of SEEDS) {
      const [a, b] = [noise(seed, 2_000, { late }), noise(seed + 1_000, 1_000, { late })];
      const { detectable } = compare(a, b, thresholds);
      for (const shift of [3 * detectable, -3 * detectable]) {
        expect(
          compare(
            a,
            b.map((value) => value + shift),
            thresholds,
          ).leaks,
        ).toBe(true);
      }
    }
  });

  test('of just what is said to be detectable is found nine times in ten or oftener, of half of it hardly ever', () => {
    const thresholds = thresholdsOf();
    const foundAt = (share: number): number =>
      SEEDS.filter((seed) => {
        const [a, b] = [noise(seed, 2_000), noise(seed + 1_000, 2_000)];
        const shift = share * compare(a, b, thresholds).detectable;
        return compare(
          a,
          b.map((value) => value + shift),
          thresholds,
        ).leaks;
      }).length;
    expect(foundAt(1)).toBeGreaterThanOrEqual(0.75 * SEEDS.length);
    expect(foundAt(0.5)).toBeLessThanOrEqual(0.25 * SEEDS.length);
  });

  test('what is detectable follows from noise and number: 5.78 standard errors where nothing is late', () => {
    const [a, b] = [noise(1, 2_000), noise(2, 2_000)];
    const { detectable } = compare(a, b, thresholdsOf());
    const plain = (T_LIMIT + 1.2816) * standardError(momentsOf(a), momentsOf(b));
    expect(detectable).toBeLessThanOrEqual(1.05 * plain);
    expect(detectable).toBeGreaterThan(0.6 * plain);
    expect(plain).toBeCloseTo(5.7816 * 0.2 * Math.sqrt(2 / 2_000), 2);
  });

  test('of 50 microseconds in 0.2 ms of noise is found in 4,000 calls', () => {
    const thresholds = thresholdsOf(0.005);
    const found = SEEDS.filter((seed) => {
      const late = 0.005;
      return compare(noise(seed, 2_000, { late }), noise(seed + 1_000, 2_000, { late, mean: 10.05 }), thresholds).leaks;
    });
    expect(found).toStrictEqual(SEEDS);
  });

  test('that only the slowest few show is found', () => {
    const thresholds = thresholdsOf(0.01);
    const verdict = compare(noise(1, 2_000, { late: 0.01 }), noise(2, 2_000, { late: 0.06 }), thresholds);
    expect(verdict.leaks).toBe(true);
  });

  test('in scatter alone is found', () => {
    const verdict = compare(noise(1, 2_000), noise(2, 2_000, { deviation: 0.15 }), thresholdsOf());
    expect(verdict.leaks).toBe(true);
  });
});

test('processors are read as the kernel lists them', () => {
  expect(usableProcessors('Name:\tnode\nCpus_allowed_list:\t0-2,5\nMems_allowed_list:\t0\n')).toEqual([0, 1, 2, 5]);
  expect(usableProcessors('Cpus_allowed_list:\t3\n')).toEqual([3]);
});
