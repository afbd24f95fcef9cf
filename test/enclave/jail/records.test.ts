/** Records as callers write them: what is taken, what is refused, and in which words. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RECORD_REFUSALS, explainRecord } from '../../../enclave/jail/record-refusal.ts';
import { readRecord } from '../../../enclave/jail/record-vector.ts';
import { recordFault } from '../../../parties/record-fault.ts';

const FEATURES = ['age', 'fever', 'name with "quotes"'] as const;
const PLAN = { features: FEATURES, width: 5, maxBytes: 4_096 };
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The numbers, or the words that a caller reads. */
function read(input: string | Uint8Array): readonly number[] | string | undefined {
  const result = readRecord(typeof input === 'string' ? encode(input) : input, PLAN);
  return result instanceof Uint8Array
    ? Array.from(new Float32Array(result.buffer))
    : explainRecord(RECORD_REFUSALS[result.reason], result.place, FEATURES);
}

test('numbers stand in the order of the model, padded to its bound', () => {
  const record = '{"features":{"fever":true,"name with \\"quotes\\"":-1.5e2,"age":0.1}}';
  expect(read(record)).toEqual([Math.fround(0.1), 1, -150, 0, 0]);
  expect(read(` \r\n${record}\t`)).toEqual([Math.fround(0.1), 1, -150, 0, 0]);
  expect(recordFault(encode(record))).toBeUndefined();
});

const rest = '"fever":0,"name with \\"quotes\\"":0';
const REFUSED: readonly (readonly [name: string, input: string | Uint8Array, words: string])[] = [
  ['bytes that are no text', Uint8Array.of(0x7b, 0xff), 'the record is not UTF-8 text'],
  ['half a record', '{"features":', 'the record is not JSON: what stands at byte 12 does not belong there'],
  ['text after it', '{"features":{}} x', 'the record is not JSON: what stands at byte 16 does not belong there'],
  ['NaN', `{"features":{"age":NaN,${rest}}}`, 'the record is not JSON: what stands at byte 19 does not belong there'],
  [
    'a name twice',
    `{"features":{"age":1,"age":2,${rest}}}`,
    'the record is not taken: the name that ends at byte 26 stands twice',
  ],
  [
    'a name twice, once escaped',
    `{"features":{"age":1,"\\u0061ge":2}}`,
    'the record is not taken: the name that ends at byte 31 stands twice',
  ],
  ['a list', '[1,2,3]', 'a record is {"features": {"name": number, ...}} and nothing else'],
  [
    'more than features',
    `{"features":{"age":1,${rest}},"more":1}`,
    'a record is {"features": {"name": number, ...}} and nothing else',
  ],
  [
    'a name that the model has not',
    `{"features":{"age":1,"wage":2,${rest}}}`,
    "the model has no feature by the name of the record's feature 2",
  ],
  [
    'a name that objects have',
    `{"features":{"age":1,"__proto__":2,${rest}}}`,
    "the model has no feature by the name of the record's feature 2",
  ],
  [
    'a name that is a number, after another',
    `{"features":{"age":1,"7":2,${rest}}}`,
    "the model has no feature by the name of the record's feature 2",
  ],
  [
    'a byte order mark',
    `\ufeff{"features":{"age":1,${rest}}}`,
    'the record is not JSON: what stands at byte 0 does not belong there',
  ],
  ['a feature missing', '{"features":{"age":1,"fever":2}}', 'the record lacks the feature "name with \\"quotes\\""'],
  ['a text', `{"features":{"age":"1",${rest}}}`, 'the feature "age" is neither a number nor true or false'],
  ['null', `{"features":{"age":null,${rest}}}`, 'the feature "age" is neither a number nor true or false'],
  ['a number beyond float32', `{"features":{"age":1e39,${rest}}}`, 'the feature "age" is beyond what a float32 holds'],
  ['a number beyond float64', `{"features":{"age":1e999,${rest}}}`, 'the feature "age" is beyond what a float32 holds'],
  [
    'nesting',
    `{"features":{"age":[1],${rest}}}`,
    'a record is {"features": {"name": number, ...}}: nothing is nested deeper',
  ],
];

describe('is refused', () => {
  test.each(REFUSED)('%s', (_, input, words) => {
    expect(read(input)).toBe(words);
    // Whatever can be known without the model is said before it costs a call.
    if (!/feature [0-9"]|lacks/.test(words))
      expect(recordFault(typeof input === 'string' ? encode(input) : input)).toBeDefined();
    expect(words.length).toBeLessThanOrEqual(200);
  });
});

test('the longest name of a feature fits a refusal', () => {
  expect(explainRecord(RECORD_REFUSALS.notNumber, 0, ['\u{1f9ea}'.repeat(32)])?.length).toBeLessThanOrEqual(200);
});

test('any bytes give a vector or a reason that has words', () => {
  const near = fc.string({
    unit: fc.constantFrom('{', '}', '"features"', '"age"', ':', ',', '1', '-', '[', '\\u00', ' '),
  });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array(), near.map(encode)), (bytes) => {
      expect(read(bytes)).toBeDefined();
    }),
  );
});
