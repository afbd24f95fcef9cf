import { describe, expect, test } from 'vitest';
import { claim, kinship } from '../../../enclave/claims/claim.ts';
import { createMemoryAnchor } from '../../../enclave/claims/memory-anchor.ts';

const tag = (byte: number): { request: Uint8Array; context: Uint8Array } => ({
  request: new Uint8Array(32).fill(byte),
  context: new Uint8Array(32).fill(byte),
});

describe('the one primitive', () => {
  test('the first holds, everybody after it learns who does', async () => {
    const anchor = createMemoryAnchor();
    expect(await claim(anchor, 'a', 0, tag(1))).toEqual({ outcome: 'held' });
    expect(await claim(anchor, 'a', 0, tag(2))).toEqual({ outcome: 'taken', by: tag(1) });
    expect(await claim(anchor, 'a', 0, tag(1))).toEqual({ outcome: 'taken', by: tag(1) });
    expect(await claim(anchor, 'a', 1, tag(2))).toEqual({ outcome: 'held' });
    expect(await claim(anchor, 'b', 0, tag(2))).toEqual({ outcome: 'held' });
  });

  test('of many at once exactly one holds', async () => {
    const anchor = createMemoryAnchor();
    const claims = await Promise.all(Array.from({ length: 50 }, (_, i) => claim(anchor, 'a', 7, tag(i))));
    expect(claims.filter(({ outcome }) => outcome === 'held')).toHaveLength(1);
  });

  test('an entry does not change with the bytes it was made of', async () => {
    const anchor = createMemoryAnchor();
    const mine = tag(1);
    await claim(anchor, 'a', 0, mine);
    mine.request.fill(9);
    expect(await anchor.holder('a', 0)).toEqual(tag(1));
  });

  test('looking writes nothing', async () => {
    const anchor = createMemoryAnchor();
    expect(await anchor.holder('a', 0)).toBeUndefined();
    expect(await claim(anchor, 'a', 0, tag(1))).toEqual({ outcome: 'held' });
  });

  test.each([
    ['', 0],
    ['with space', 0],
    ['line\n', 0],
    ['ü', 0],
    ['a'.repeat(513), 0],
    ['a', -1],
    ['a', 0.5],
    ['a', 2 ** 32],
  ])('there is no entry %j %d', (name, k) => {
    expect(() => claim(createMemoryAnchor(), name, k, tag(1))).toThrow(RangeError);
  });

  test('a tag has two halves of 32 bytes', () => {
    const short = { ...tag(1), request: new Uint8Array(31) };
    expect(() => claim(createMemoryAnchor(), 'a', 0, short)).toThrow(RangeError);
  });
});

test('kinship tells another request, another input and another context apart', () => {
  const mine = tag(1);
  const otherInput = mine.context.map((byte, i) => (i === 15 ? 9 : byte));
  const otherReads = mine.context.map((byte, i) => (i === 16 ? 9 : byte));
  expect(kinship(mine, tag(1))).toBe('same');
  expect(kinship(mine, { ...mine, request: tag(2).request })).toBe('other-request');
  expect(kinship(mine, { ...mine, context: otherInput })).toBe('other-input');
  expect(kinship(mine, { ...mine, context: otherReads })).toBe('other-context');
  expect(kinship(mine, { ...mine, context: tag(2).context })).toBe('other-input');
});
