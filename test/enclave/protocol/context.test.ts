import { expect, test } from 'vitest';
import {
  anchorContext,
  inputContext,
  modelContext,
  sameContext,
  sessionContext,
  stateContext,
} from '../../../enclave/protocol/context.ts';
import { policyDigest } from '../../../policies/digest.ts';

const digest = await policyDigest('{}');
const of = { policyDigest: digest, party: 'alice', function: 'classify', sessionId: new Uint8Array(16).fill(0xab) };

test('a session’s, with its id in hex', () => {
  expect(sessionContext(of)).toEqual({
    'accord:policy': digest,
    'accord:party': 'alice',
    'accord:purpose': 'session',
    'accord:session': 'ab'.repeat(16),
  });
});

test('a model’s and an input’s differ in purpose alone, and that is enough', () => {
  expect(modelContext(of)).toEqual({ ...inputContext(of), 'accord:purpose': 'model' });
  expect(sameContext(modelContext(of), inputContext(of))).toBe(false);
});

test('the state’s and the anchor’s are of a party, not of a function', () => {
  const bound = { 'accord:policy': digest, 'accord:party': 'alice' };
  expect(stateContext(of)).toEqual({ ...bound, 'accord:purpose': 'state' });
  expect(anchorContext(of)).toEqual({ ...bound, 'accord:purpose': 'anchor' });
});

test('equality takes every key and no other', () => {
  const context = modelContext(of);
  expect(sameContext(context, Object.fromEntries(Object.entries(context).toReversed()))).toBe(true);
  const { 'accord:function': _, ...less } = context;
  expect(sameContext(context, less)).toBe(false);
  expect(sameContext(less, context)).toBe(false);
  expect(sameContext({ ...less, toString: 'x' }, context)).toBe(false);
  expect(sameContext(context, { ...less, toString: 'x' })).toBe(false);
});
