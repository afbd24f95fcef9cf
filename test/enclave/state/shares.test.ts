import { randomBytes } from 'node:crypto';
import * as fc from 'fast-check';
import { combine } from 'shamir-secret-sharing';
import { describe, expect, test } from 'vitest';
import { join, split } from '../../../enclave/state/shares.ts';

const random = (bytes: number): Uint8Array => new Uint8Array(randomBytes(bytes));
const plain = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes);
const SECRET = random(32);

/** Every choice of `k` out of `items`. */
function choices<T>(items: readonly T[], k: number): T[][] {
  if (k === 0) return [[]];
  return items.flatMap((item, i) => choices(items.slice(i + 1), k - 1).map((rest) => [item, ...rest]));
}

describe('any k of n give the secret, in any order', () => {
  const SIZES = [1, 2, 3, 5].flatMap((n) => Array.from({ length: n }, (_, i) => [i + 1, n] as const));
  test.each(SIZES)('%i of %i', async (k, n) => {
    const shares = await split(SECRET, k, n, random);
    expect(shares).toHaveLength(n);
    expect(shares.map((share) => share.at(-1))).toEqual(Array.from({ length: n }, (_, i) => i + 1));
    for (const chosen of choices(shares, k)) {
      expect(await join(chosen, k)).toEqual(SECRET);
      expect(await join(chosen.toReversed(), k)).toEqual(SECRET);
    }
  });

  test('so many as there can be', async () => {
    const shares = await split(SECRET, 3, 255, random);
    expect(
      await join(
        [shares[254], shares[7], shares[120]].filter((share) => share !== undefined),
        3,
      ),
    ).toEqual(SECRET);
  });

  test('by property, and the library itself reads them', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ minLength: 1, maxLength: 64 }),
        fc.integer({ min: 2, max: 8 }),
        fc.nat(8),
        async (secret, k, more) => {
          const shares = await split(plain(secret), k, k + more, random);
          const last = shares.slice(-k).map(plain);
          expect(await combine(last)).toEqual(plain(secret));
        },
      ),
    );
  });
});

describe('fewer than k', () => {
  test('are refused', async () => {
    const shares = await split(SECRET, 3, 5, random);
    await expect(join(shares.slice(0, 2), 3)).rejects.toThrow(RangeError);
  });

  test('do not give the secret', async () => {
    const shares = await split(SECRET, 3, 5, random);
    for (const chosen of choices(shares, 2)) expect(await join(chosen, 2)).not.toEqual(SECRET);
  });

  /** With the other share's value given, each secret has exactly one polynomial: one share is compatible with all. */
  test('say nothing: one share of 2-of-3 takes every value, whatever the secret', async () => {
    for (const secret of [0, 1, 255]) {
      const seen = new Set<number>();
      for (let drawn = 0; drawn < 256; drawn += 1) {
        const shares = await split(Uint8Array.of(secret), 2, 3, () => Uint8Array.of(drawn));
        seen.add(shares[2]?.[0] ?? -1);
      }
      expect(seen.size).toBe(256);
    }
  });
});

test.each([
  [0, 3],
  [4, 3],
  [2, 256],
  [1.5, 3],
])('%d of %d cannot be made', async (k, n) => {
  await expect(split(SECRET, k, n, random)).rejects.toThrow(RangeError);
});
