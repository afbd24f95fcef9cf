/**
 * Shamir's secret sharing over GF(2^8), by `shamir-secret-sharing`: audited by Cure53 and Zellic, no dependencies, 300
 * lines that every party can read, and in the field the one JavaScript library of which both are true. Its tables are
 * looked up by secret bytes, as in every implementation of its kind; nobody outside the enclave sees those times.
 *
 * Only its `combine` is used. Its `split` draws coefficients from Node's generator by itself; here randomness is an
 * argument (the module's mixed with the kernel's). Sharing needs nothing but interpolation: the secret is the point at 0,
 * k - 1 shares are random points, and the others follow from these k. (SLIP-39 makes shares so.) Since x - y is x XOR y in
 * this field, the value at j is the value at 0 of the same points moved by j.
 *
 *     share = value[32] || x:uint8            // x = 1..n: the party's place in the policy's order, counted from 1
 *
 * One share is enough where k = 1: it is the secret itself, as a constant polynomial has it.
 */
import { combine } from 'shamir-secret-sharing';
import { concat } from '../encoding/bytes.ts';
import type { RandomSource } from '../crypto/random.ts';

/** `n` shares of which any `k` give the secret back, and fewer say nothing. 1 ≤ k ≤ n ≤ 255. */
export async function split(
  secret: Uint8Array,
  k: number,
  n: number,
  random: RandomSource,
): Promise<readonly Uint8Array[]> {
  if (!Number.isInteger(k) || !Number.isInteger(n) || k < 1 || k > n || n > 255) {
    throw new RangeError(`${k} of ${n} shares cannot be made`);
  }
  if (k === 1) return Array.from({ length: n }, (_, i) => share(secret, i + 1));
  const points = [share(secret, 0)];
  for (let x = 1; x < k; x += 1) points.push(share(await random(secret.length), x));
  const shares = points.slice(1);
  for (let x = k; x <= n; x += 1) {
    const moved = points.map((point) => movedBy(point, x));
    shares.push(share(await combine(moved), x));
    for (const point of moved) point.fill(0);
  }
  points[0]?.fill(0);
  return shares;
}

/** The secret of `k` shares of different parties. Wrong shares give a wrong secret: their authenticity is not seen here. */
export async function join(shares: readonly Uint8Array[], k: number): Promise<Uint8Array> {
  const used = shares.slice(0, k);
  const only = used[0];
  if (only === undefined || used.length < k) throw new RangeError(`${shares.length} shares where ${k} are needed`);
  if (k === 1) return only.slice(0, -1);
  return combine(used.map((one) => concat(one)));
}

const share = (value: Uint8Array, x: number): Uint8Array => concat(value, Uint8Array.of(x));

function movedBy(point: Uint8Array, x: number): Uint8Array {
  const moved = concat(point);
  const last = moved.length - 1;
  moved[last] = (moved[last] ?? 0) ^ x;
  return moved;
}
