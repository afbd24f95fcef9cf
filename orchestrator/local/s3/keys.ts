/** Keys in the order in which S3 lists them: that of their UTF-8 bytes. */

export function compareKeys(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** Puts the key at its place; the list stays sorted. */
export function insertKey(keys: string[], key: string): void {
  keys.splice(firstAtOrAfter(keys, key), 0, key);
}

/** Index of the first key that is not before `key`; the length of the list where there is none. */
export function firstAtOrAfter(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareKeys(keys[middle] ?? '', key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
