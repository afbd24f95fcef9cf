/** Bits that answers carry: never fewer than there are answers, and exact where a schema is plain. */
import { Ajv2020 } from 'ajv/dist/2020.js';
import * as fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { rebuildLabels } from '../../enclave/functions/image-classification/answer.ts';
import { rebuildObjects } from '../../enclave/functions/object-detection/answer.ts';
import { REFUSALS } from '../../enclave/protocol/refusal.ts';
import { answerSchema, MOST_LABELS } from '../../policies/answer-schema.ts';
import { answerBudget, budgetObjection, budgetOf, REFUSALS_AT_MOST } from '../../policies/budget.ts';
import { bitsInWords, schemaBits, timesBits, type Bits } from '../../policies/information.ts';
import type { CounterPolicy, FunctionPolicy, PicturePolicy } from '../../policies/model.ts';
import type { JsonSchema } from '../../policies/reading/shape.ts';

const text = (maxLength: number): JsonSchema => ({ type: 'string', maxLength });
const whole = (minimum: number, maximum: number): JsonSchema => ({ type: 'integer', minimum, maximum });
const closed = (properties: Record<string, JsonSchema>, required: string[] = Object.keys(properties)): JsonSchema => ({
  type: 'object',
  additionalProperties: false,
  required,
  properties,
});
const hundredths = (values: number): number => Math.ceil(Math.log2(values) * 100 - 1e-6) / 100;

describe('bits of a schema', () => {
  test.each<[string, JsonSchema | boolean, Bits]>([
    ['a constant', { const: 'yes' }, 0],
    ['an enumeration', { enum: ['a', 'b', 'c', 'd'] }, 2],
    ['one with a value twice', { enum: ['a', 'a', 'b'] }, 1],
    ['a boolean', { type: 'boolean' }, 1],
    ['a boolean or nothing', { type: ['boolean', 'null'] }, hundredths(3)],
    ['whole numbers', whole(0, 999), hundredths(1000)],
    ['whole numbers below zero', whole(-8, 7), 4],
    ['even numbers', { ...whole(0, 14), multipleOf: 2 }, 3],
    ['two decimals from 0 to 1', { type: 'number', minimum: 0, maximum: 1, multipleOf: 0.01 }, hundredths(101)],
    [
      'up to 0.29, which is no quotient of 0.01',
      { type: 'number', minimum: 0, maximum: 0.29, multipleOf: 0.01 },
      hundredths(30),
    ],
    ['one float', { type: 'number', minimum: 2, maximum: 2 }, 0],
    ['a list', { type: 'array', items: { type: 'boolean' }, maxItems: 2 }, hundredths(1 + 2 + 4)],
    ['a list of one length', { type: 'array', items: whole(0, 9), minItems: 3, maxItems: 3 }, hundredths(1000)],
    ['a pair', { type: 'array', prefixItems: [whole(0, 3), { type: 'boolean' }], items: false, minItems: 2 }, 3],
    ['a list of nothing', { type: 'array', items: false }, 0],
    ['a record', closed({ a: whole(0, 3), b: { type: 'boolean' } }), 3],
    ['a record with a part that may be absent', closed({ a: whole(0, 2) }, []), 2],
    ['either of two', { oneOf: [whole(0, 2), { const: 'none' }] }, 2],
    ['both of two', { allOf: [whole(0, 1000), { type: 'integer', minimum: 0, maximum: 3 }] }, 2],
    ['a reference', { $defs: { bit: { type: 'boolean' } }, ...closed({ a: { $ref: '#/$defs/bit' } }) }, 1],
    ['a text of a character', { ...text(1), minLength: 1 }, hundredths(1_112_064)],
    ['nothing', false, 0],
  ])('%s', (_, schema, bits) => {
    expect(schemaBits(schema)).toBe(bits);
  });

  test.each<[string, JsonSchema | boolean]>([
    ['anything', true],
    ['no type', { minimum: 0 }],
    ['a text', { type: 'string' }],
    ['a text with a pattern alone', { type: 'string', pattern: '^a*$' }],
    ['a float', { type: 'number', minimum: 0, maximum: 1 }],
    ['whole numbers without end', { type: 'integer', minimum: 0 }],
    ['multiples without end', { type: 'number', multipleOf: 0.1 }],
    ['a list without end', { type: 'array', items: { type: 'boolean' } }],
    ['a list of anything', { type: 'array', maxItems: 2 }],
    ['a record with further keys', { type: 'object', properties: { a: { const: 1 } } }],
    ['a record with keys by pattern', { ...closed({}), patternProperties: { '^a': { const: 1 } } }],
    ['one unbounded part', closed({ a: { type: 'boolean' }, b: { type: 'string' } })],
    ['one unbounded part that may be absent', closed({ b: { type: 'string' } }, [])],
    ['one unbounded branch', { anyOf: [{ const: 1 }, { type: 'string' }] }],
    ['a list of itself', { type: 'array', maxItems: 2, items: { $ref: '#' } }],
    ['itself', { $defs: { a: { type: 'array', maxItems: 1, items: { $ref: '#/$defs/a' } } }, $ref: '#/$defs/a' }],
    ['a reference to nowhere', { $ref: '#/$defs/none' }],
  ])('%s: without bound', (_, schema) => {
    expect(schemaBits(schema)).toBe('unbounded');
  });

  test('long lists and texts have a figure too, and a finite one', () => {
    const long = schemaBits({ type: 'array', items: text(10_000), maxItems: 100_000 });
    expect(long).toBeGreaterThan(100_000 * 10_000 * 20);
    expect(long).toBeLessThan(100_000 * 10_000 * 21);
  });
});

const universe: readonly unknown[] = (() => {
  const plain = [null, true, false, -2, -1, 0, 1, 2, 3, 0.5, 1.5, '', 'a', 'b', 'ab'];
  const few = [null, true, 0, 1, 2, 0.5, 'a'];
  const lists = [[], ...few.map((one) => [one]), ...few.flatMap((one) => few.map((two) => [one, two]))];
  const records = [{}, ...few.flatMap((x) => [{ x }, { y: x }]), ...few.flatMap((x) => few.map((y) => ({ x, y })))];
  return [...plain, ...lists, ...records];
})();

const small = fc.integer({ min: -2, max: 3 });
const leaf: fc.Arbitrary<JsonSchema> = fc.oneof(
  fc.constantFrom<JsonSchema>({ type: 'null' }, { type: 'boolean' }, { type: ['boolean', 'null'] }),
  fc.record({ minimum: small, maximum: small }).map((bounds): JsonSchema => ({ type: 'integer', ...bounds })),
  fc
    .record({ minimum: small, maximum: small, multipleOf: fc.constantFrom(0.5, 1, 1.5, 2) })
    .map((bounds): JsonSchema => ({ type: 'number', ...bounds })),
  fc
    .record({ minimum: small, exclusiveMaximum: small })
    .map((bounds): JsonSchema => ({ type: 'number', multipleOf: 0.5, ...bounds })),
  fc.constantFrom<JsonSchema>({ type: 'string', maxLength: 1 }, { type: 'string', maxLength: 2, minLength: 1 }),
  fc.subarray([null, true, 0, 1, 'a', 'b', 0.5], { minLength: 1 }).map((values): JsonSchema => ({ enum: values })),
  fc.constantFrom('a', 1).map((value): JsonSchema => ({ const: value })),
);
const anySchema: fc.Arbitrary<JsonSchema> = fc.letrec<{ any: JsonSchema }>((tie) => ({
  any: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf,
    fc
      .record({ items: tie('any'), minItems: fc.nat({ max: 2 }), maxItems: fc.nat({ max: 2 }) })
      .map((list) => ({ type: 'array', ...list })),
    fc
      .tuple(tie('any'), tie('any'), fc.nat({ max: 2 }))
      .map(([one, two, minItems]) => ({ type: 'array', prefixItems: [one, two], items: false, minItems })),
    fc.tuple(tie('any'), tie('any'), fc.subarray(['x', 'y'])).map(([x, y, required]) => closed({ x, y }, required)),
    fc
      .tuple(fc.constantFrom('anyOf', 'oneOf', 'allOf'), tie('any'), tie('any'))
      .map(([all, a, b]) => ({ [all]: [a, b] })),
  ),
})).any;

test('a schema never admits more values than its bits can tell apart', () => {
  const ajv = new Ajv2020({ strict: false });
  let told = 0;
  fc.assert(
    fc.property(anySchema, (schema) => {
      const valid = ajv.compile(schema);
      const admitted = universe.filter((value) => valid(value)).length;
      const bits = schemaBits(schema);
      ajv.removeSchema();
      if (admitted > 1) told += 1;
      expect(bits === 'unbounded' || 2 ** bits >= admitted, `${admitted} values, ${bits} bits`).toBe(true);
    }),
    { numRuns: 1_000 },
  );
  expect(told).toBeGreaterThan(100);
});

const TERMS = {
  calls: { alice: 3, bob: 2 },
  input: { maxBytes: 1000, buckets: [1000] },
  release: { afterMs: 0, padTo: 1024 },
};
const classify = (output: PicturePolicy['output']): PicturePolicy => ({
  ...TERMS,
  uses: 'image-classification',
  model: { from: 'bob' },
  output,
});
const detect = (output: PicturePolicy['output']): PicturePolicy => ({
  ...classify(output),
  uses: 'object-detection',
});
const COUNTER: CounterPolicy = { ...TERMS, uses: 'counter' };

describe("the functions' own answers", () => {
  const published = (kind: FunctionPolicy['uses']): object =>
    JSON.parse(readFileSync(join(import.meta.dirname, '../../enclave/functions', kind, 'output.schema.json'), 'utf8'));
  // A rounded number is the double next to a multiple, not one to the last bit.
  const ajv = new Ajv2020({ multipleOfPrecision: 6 });
  const output = fc.record({
    topK: fc.integer({ min: 1, max: 5 }),
    decimals: fc.integer({ min: 0, max: 6 }),
    labels: fc.integer({ min: 1, max: 6 }),
  });
  const score = fc.double({ min: 0, max: 1, noNaN: true });
  /** As the schema of the account has it: an index in place of each label. */
  const indexed = (value: unknown, labels: readonly string[]): unknown =>
    JSON.parse(JSON.stringify(value), (key, item: unknown) =>
      key === 'label' && typeof item === 'string' ? labels.indexOf(item) : item,
    );
  const names = (amount: number): string[] => Array.from({ length: amount }, (_, index) => `label ${index}`);

  test('whatever the gate writes as a classification is accounted for', () => {
    const publishedValid = ajv.compile(published('image-classification'));
    fc.assert(
      fc.property(output, fc.array(score, { minLength: 6, maxLength: 6 }), (limits, scores) => {
        const labels = names(limits.labels);
        const candidates = scores
          .slice(0, Math.min(limits.topK, labels.length))
          .map((one, label) => ({ label, score: one }));
        const answer = rebuildLabels(candidates, labels, limits);
        expect(publishedValid(answer)).toBe(true);
        expect(ajv.validate(answerSchema(classify(limits)), indexed(answer, labels)), ajv.errorsText()).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  test('whatever the gate writes as a detection is accounted for', () => {
    const publishedValid = ajv.compile(published('object-detection'));
    const box = fc.tuple(score, score, score, score);
    fc.assert(
      fc.property(output, fc.array(fc.tuple(score, box), { maxLength: 5 }), (limits, found) => {
        const labels = names(limits.labels);
        const candidates = found.slice(0, limits.topK).map(([one, [a, b, c, d]], index) => ({
          label: index % labels.length,
          score: one,
          box: [Math.min(a, b), Math.min(c, d), Math.max(a, b), Math.max(c, d)] as const,
        }));
        const answer = rebuildObjects(candidates, labels, limits, (x, y) => [x, y]);
        expect(publishedValid(answer)).toBe(true);
        expect(ajv.validate(answerSchema(detect(limits)), indexed(answer, labels)), ajv.errorsText()).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  test("a counter's schema is the published one", () => {
    const { type, additionalProperties, required, properties } = answerSchema(COUNTER);
    expect(published('counter')).toMatchObject({ type, additionalProperties, required, properties });
  });

  test('a model without a bound of the policy has no more labels than its manifest may', () => {
    const manifest: { readonly properties: { readonly labels: { readonly maxItems: number } } } = JSON.parse(
      readFileSync(join(import.meta.dirname, '../../enclave/functions/model-manifest.schema.json'), 'utf8'),
    );
    expect(manifest.properties.labels.maxItems).toBe(MOST_LABELS);
  });
});

describe('the budget of a party', () => {
  test('counts refusals too, of which there are no more than it says', () => {
    expect(Object.keys(REFUSALS).length).toBeLessThanOrEqual(REFUSALS_AT_MOST);
    const { bitsPerCall } = answerBudget(classify({ topK: 1, decimals: 2, labels: 7 }));
    expect(bitsPerCall).toBeCloseTo(Math.log2(7 * 101 + REFUSALS_AT_MOST), 1);
  });

  test('is that of all calls, and nothing for whom has none', () => {
    const one = { ...classify({ topK: 1, decimals: 2 }), calls: { alice: 3, bob: 0 } };
    const { bitsPerCall, parties } = answerBudget(one);
    expect(parties).toEqual({ alice: { calls: 3, bits: timesBits(3, bitsPerCall) } });
  });

  test('that is exceeded, or that nothing can keep, is an objection', () => {
    const one = classify({ topK: 1, decimals: 2, labels: 7 });
    const { parties } = answerBudget(one);
    const needed = parties['alice']?.bits;
    if (typeof needed !== 'number') throw new Error('no figure');
    expect(budgetObjection(answerBudget({ ...one, answerBits: Math.ceil(needed) }))).toBeUndefined();
    const over = budgetObjection(answerBudget({ ...one, answerBits: Math.ceil(needed) - 1 }));
    expect(over).toMatchObject({ code: 'policy/too-many-bits', message: expect.stringContaining('3 calls of alice') });
    const unbounded = budgetObjection(budgetOf({ ...one, answerBits: 1_000_000 }, 'unbounded'));
    expect(unbounded).toMatchObject({ code: 'policy/unbounded-answers' });
    expect(budgetObjection(budgetOf(one, 'unbounded'))).toBeUndefined();
  });

  test('in words', () => {
    expect(([0, 1, 9.46, 123.4, 'unbounded'] satisfies Bits[]).map(bitsInWords)).toEqual([
      'at most 0 bits',
      'at most 1 bit',
      'at most 9.46 bits',
      'at most 124 bits',
      'bits without bound',
    ]);
  });
});
