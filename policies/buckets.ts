/** Sizes of inputs as the host sees them: each input is padded to the smallest bucket that holds it. */

/** 64 KiB. */
const SMALLEST = 65_536;

/** Powers of two from 64 KiB on that are less than `maxBytes`, and `maxBytes`. */
export function standardBuckets(maxBytes: number): readonly number[] {
  const buckets: number[] = [];
  for (let bytes = SMALLEST; bytes < maxBytes; bytes *= 2) buckets.push(bytes);
  return [...buckets, maxBytes];
}

/** The smallest that holds so many bytes; undefined where none does. `buckets` ascend. */
export function bucketOf(buckets: readonly number[], bytes: number): number | undefined {
  return buckets.find((bucket) => bytes <= bucket);
}
