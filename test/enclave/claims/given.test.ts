/** Answers that are given again: to whom, for what, and how many are kept. */
import { expect, test } from 'vitest';
import { MAX_COMPUTATIONS, createGivenAnswers, type GivenRequest } from '../../../enclave/claims/given.ts';

const request = (id: number, changes: Partial<GivenRequest> = {}): GivenRequest => ({
  function: 'classify',
  party: 'alice',
  requestId: new Uint8Array(32).fill(id),
  inputDigest: new Uint8Array(32).fill(9),
  ...changes,
});

test('the same request finds its answer, and the first answer is the answer', () => {
  const given = createGivenAnswers<string>();
  expect(given.find(request(1))).toBeUndefined();
  given.keep(request(1), 'first', 10);
  given.keep(request(1), 'second', 10);
  expect(given.find(request(1))).toBe('first');
});

test.each([
  ['another party', { party: 'bob' }],
  ['another function', { function: 'detect' }],
  ['another input', { inputDigest: new Uint8Array(32) }],
  ['another id', { requestId: new Uint8Array(32) }],
])('%s finds nothing', (_, changes) => {
  const given = createGivenAnswers<string>();
  given.keep(request(1), 'mine', 10);
  expect(given.find(request(1, changes))).toBeUndefined();
});

test('the oldest of a party make room, those of others stay', () => {
  const given = createGivenAnswers<number>(4 * (512 + 100));
  given.keep(request(0, { party: 'bob' }), -1, 100);
  for (let id = 0; id < 6; id += 1) given.keep(request(id), id, 100);
  expect([0, 1, 2, 3, 4, 5].map((id) => given.find(request(id)))).toEqual([undefined, undefined, 2, 3, 4, 5]);
  expect(given.find(request(0, { party: 'bob' }))).toBe(-1);
});

test('a request may be computed so often, each by itself', () => {
  const given = createGivenAnswers<string>();
  const begun = (id: number): boolean[] => Array.from({ length: MAX_COMPUTATIONS + 2 }, () => given.begin(request(id)));
  const expected = [...Array.from({ length: MAX_COMPUTATIONS }, () => true), false, false];
  expect(begun(1)).toEqual(expected);
  expect(begun(2)).toEqual(expected);
  expect(given.begin(request(1, { party: 'bob' }))).toBe(true);
});
