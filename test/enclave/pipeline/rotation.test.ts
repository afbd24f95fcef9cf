/** Whose turn it is. */
import { expect, test } from 'vitest';
import { createRotation } from '../../../enclave/pipeline/rotation.ts';

test('parties take turns, each with its own in the order in which it came', () => {
  const rotation = createRotation<number>();
  for (const item of [1, 2, 3]) rotation.add('alice', item);
  rotation.add('bob', 10);
  expect([rotation.next(), rotation.next(), rotation.next()]).toEqual([1, 10, 2]);
  rotation.add('bob', 11);
  rotation.add('__proto__', 20);
  expect([rotation.next(), rotation.next(), rotation.next(), rotation.next()]).toEqual([3, 11, 20, undefined]);
});

test('is empty where nothing is left, and begins anew', () => {
  const rotation = createRotation<string>();
  expect(rotation.isEmpty()).toBe(true);
  rotation.add('alice', 'a');
  expect(rotation.isEmpty()).toBe(false);
  rotation.next();
  expect(rotation.isEmpty()).toBe(true);
  rotation.add('alice', 'b');
  expect(rotation.next()).toBe('b');
});
