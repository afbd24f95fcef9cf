import { expect, test } from 'vitest';
import { createMemoryAnchor } from '../../../enclave/claims/memory-anchor.ts';

const { signal } = new AbortController();
const entry = (fill: number): Uint8Array => new Uint8Array(101).fill(fill);

test('who comes second learns who was first', async () => {
  const anchor = createMemoryAnchor();
  expect(await anchor.claim('a', 0, entry(1), signal)).toEqual(entry(1));
  expect(await anchor.claim('a', 0, entry(2), signal)).toEqual(entry(1));
  expect(await anchor.claim('a', 0, entry(1), signal)).toEqual(entry(1));
  expect(await anchor.claim('a', 1, entry(2), signal)).toEqual(entry(2));
  expect(await anchor.claim('b', 0, entry(2), signal)).toEqual(entry(2));
});

test('of many at once exactly one holds', async () => {
  const anchor = createMemoryAnchor();
  const held = await Promise.all(Array.from({ length: 50 }, (_, i) => anchor.claim('a', 7, entry(i), signal)));
  expect(held.filter((bytes, i) => bytes[0] === i)).toHaveLength(1);
});

test('an entry does not change with the bytes it was made of or read as', async () => {
  const anchor = createMemoryAnchor();
  const mine = entry(1);
  const there = await anchor.claim('a', 0, mine, signal);
  mine.fill(9);
  there.fill(9);
  (await anchor.holder('a', 0, signal))?.fill(9);
  expect(await anchor.holder('a', 0, signal)).toEqual(entry(1));
});

test('looking writes nothing', async () => {
  const anchor = createMemoryAnchor();
  expect(await anchor.holder('a', 0, signal)).toBeUndefined();
  expect(await anchor.claim('a', 0, entry(1), signal)).toEqual(entry(1));
});
