/** Release times, sizes of inputs, and decision trees: as written, as measured, and in words. */
import { describe, expect, test } from 'vitest';
import { BOUNDS } from '../../policies/bounds.ts';
import { bucketOf, standardBuckets } from '../../policies/buckets.ts';
import { canonicalPolicyText, parseCanonicalPolicy, toCanonicalPolicy } from '../../policies/canonical.ts';
import { diffPolicies } from '../../policies/diff.ts';
import { explain } from '../../policies/explain.ts';
import { loadPolicy } from '../../policies/load.ts';
import type { Policy } from '../../policies/model.ts';
import { weakenings } from '../../policies/weakenings.ts';
import { padAnswer } from '../../enclave/protocol/answer.ts';
import { REFUSALS, type RefusalCode } from '../../enclave/protocol/refusal.ts';
import { GOOD, faultsOf, written } from './written.ts';

const policy = (text: string): Policy => loadPolicy(text, { file: 'policy.yaml' });
const terms = (text: string): string => written('    calls:', `    ${text}\n    calls:`);
const classify = (text: string): Policy['functions'][string] => {
  const found = policy(text).functions['classify'];
  if (found === undefined) throw new Error('there is no classify');
  return found;
};
const TREE = written(
  'uses: image-classification',
  'uses: decision-tree\n    tree: { depth: 8, nodes: 255, features: 16 }',
);
const KiB = 1024;
const isRefusal = (code: string): code is RefusalCode => Object.hasOwn(REFUSALS, code);

describe('as written', () => {
  test('without a word: at once, and sizes by powers of two', () => {
    expect(classify(GOOD)).toMatchObject({
      input: { maxBytes: 4096 * KiB, buckets: [64, 128, 256, 512, 1024, 2048, 4096].map((size) => size * KiB) },
      release: { afterMs: 0, padTo: 1024 },
    });
    expect(classify(TREE)).toMatchObject({ input: { maxBytes: 4096, buckets: [4096] }, output: {} });
  });

  test('buckets alone say what the largest input is', () => {
    expect(classify(terms('input: { buckets: [10KB, 1MiB] }')).input).toEqual({
      maxBytes: 1024 * KiB,
      buckets: [10_000, 1024 * KiB],
    });
  });

  test.each([
    ['no time to seal in', 'release: { afterMs: 4 }', 'release.afterMs', /5 to 600000, or 0/],
    ['more than ten minutes', 'release: { afterMs: 600001 }', 'release.afterMs', /from 0 to 600000/],
    ['a half', 'release: { afterMs: 7.5 }', 'release.afterMs', /whole number/],
    ['sizes out of order', 'input: { buckets: [2KiB, 1KiB, 4KiB] }', 'input.buckets', /ascending/],
    ['a size twice', 'input: { buckets: [1KiB, 1KiB] }', 'input.buckets', /ascending/],
    ['a last that is not the largest', 'input: { maxBytes: 4KiB, buckets: [1KiB] }', 'input.buckets', /end the list with 4 KiB/], // prettier-ignore
    ['none', 'input: { buckets: [] }', 'input.buckets', /./],
    ['a tree for pictures', 'tree: { depth: 1, nodes: 3, features: 1 }', 'tree', /of a decision-tree alone/],
  ])('%s', (_, text, path, hint) => {
    const [fault, ...more] = faultsOf(terms(text));
    expect(more).toEqual([]);
    expect(fault).toMatchObject({ path: `functions.classify.${path}` });
    expect(`${fault?.message} ${fault?.hint}`).toMatch(hint);
  });

  test.each([
    ['topK', 'output: { topK: 1 }', /one label/],
    ['a depth of 33', undefined, /1 to 32/],
    ['a padding that a label exceeds', 'release: { padTo: 511 }', /512/],
  ])('a tree with %s', (_, text, hint) => {
    const wrong =
      text === undefined
        ? TREE.replace('depth: 8', 'depth: 33')
        : TREE.replace('    calls:', `    ${text}\n    calls:`);
    expect(faultsOf(wrong).map(({ hint: told }) => told)).toEqual([expect.stringMatching(hint)]);
  });

  test('every refusal fits into the least padding', () => {
    for (const refused of Object.keys(REFUSALS)) {
      if (!isRefusal(refused)) throw new Error(refused);
      const padded = padAnswer({ t: 'refused', refused, detail: 'x'.repeat(1000) }, BOUNDS.padToLeast);
      expect(padded).toHaveLength(BOUNDS.padToLeast);
    }
  });
});

test('the smallest bucket that holds an input', () => {
  const buckets = standardBuckets(100 * KiB);
  expect(buckets).toEqual([64 * KiB, 100 * KiB]);
  expect([0, 1, 64 * KiB, 64 * KiB + 1, 100 * KiB, 100 * KiB + 1].map((bytes) => bucketOf(buckets, bytes))).toEqual([
    64 * KiB,
    64 * KiB,
    64 * KiB,
    100 * KiB,
    100 * KiB,
    undefined,
  ]);
  expect(standardBuckets(64 * KiB)).toEqual([64 * KiB]);
});

describe('as the image carries it', () => {
  const canonical = async (text: string): Promise<string> => canonicalPolicyText(await toCanonicalPolicy(policy(text)));

  test('times, sizes and bounds of trees are always said', async () => {
    const text = await canonical(TREE);
    expect(text).toContain('"input":{"buckets":[4096],"maxBytes":4096}');
    expect(text).toContain('"release":{"afterMs":0,"padTo":1024}');
    expect(text).toContain('"tree":{"depth":8,"features":16,"nodes":255}');
    expect(parseCanonicalPolicy(text)).toEqual(JSON.parse(text));
    for (const part of ['"buckets":[4096],', '"afterMs":0,', '"depth":8,']) {
      expect(() => parseCanonicalPolicy(text.replace(part, ''))).toThrow(/missing/);
    }
  });

  test('sizes out of order are refused there too', async () => {
    const text = await canonical(terms('input: { buckets: [1KiB, 2KiB] }'));
    expect(() => parseCanonicalPolicy(text.replace('[1024,2048]', '[2048,1024]'))).toThrow(/buckets/);
    expect(() => parseCanonicalPolicy(text.replace('[1024,2048]', '[1024,4096]'))).toThrow(/buckets/);
  });
});

describe('in words', () => {
  const said = (text: string): string => explain(policy(text)).sentences.join('\n');

  test('when answers leave, and what sizes show', () => {
    const timed = said(terms('release: { afterMs: 400 }'));
    expect(timed).toMatch(/leaves 400 ms after its request arrived, whatever happened inside/);
    expect(timed).toMatch(/learns which of 7 sizes an input has/);
    expect(timed).not.toMatch(/how long computing took/);
    expect(said(GOOD)).toMatch(/leaves when it is ready/);
    expect(said(GOOD)).toMatch(/how long computing took/);
    expect(said(terms('input: { buckets: [1MiB] }'))).toMatch(/padded to 1 MiB: of its size the host learns nothing/);
  });

  test('functions that look alike, and functions that do not', () => {
    const two = (release: string): string =>
      `${GOOD.replace('anchors: none\n', '')}  again:\n    uses: image-classification\n    model: bob\n    calls: { alice: 1 }\n    release: { afterMs: ${release} }\n`;
    expect(said(two('0'))).toMatch(/none has a release time: the host can tell them apart by how long they compute/);
    const timed = two('400').replace('    calls:', '    release: { afterMs: 400 }\n    calls:');
    expect(said(timed)).toMatch(/cannot tell which of them is called/);
    expect(said(two('7'))).toMatch(/2 kinds among 2 functions/);
  });

  test('a release time takes the weakening away, for the function that has one', () => {
    const codes = (text: string): readonly string[] => weakenings(policy(text)).map(({ code }) => code);
    expect(codes(GOOD)).toContain('no-release-time');
    expect(codes(terms('release: { afterMs: 400 }'))).not.toContain('no-release-time');
  });

  test('a tree answers with one label', () => {
    expect(said(TREE)).toMatch(/takes a record of at most 16 features in at most 4 KiB and answers with one label/);
    expect(explain(policy(TREE)).information['classify']?.bitsPerCall).toBe(10.02);
    const few = TREE.replace('    calls:', '    output: { labels: 4 }\n    calls:');
    expect(explain(policy(few)).information['classify']?.bitsPerCall).toBe(Math.ceil(Math.log2(36) * 100) / 100);
  });

  test('what changes', () => {
    const change = (was: string, is: string): string =>
      (diffPolicies(policy(was), policy(is)).parties['alice'] ?? []).join('\n');
    expect(change(GOOD, terms('release: { afterMs: 400 }'))).toMatch(/leave 400 ms after the request \(when they were/);
    expect(change(terms('release: { afterMs: 400 }'), GOOD)).toMatch(/the host learns how long computing took/);
    expect(change(terms('input: { buckets: [4MiB] }'), GOOD)).toMatch(/the host can tell more sizes apart/);
    expect(change(TREE, TREE.replace('255', '127'))).toMatch(/padded to depth 8, 127 nodes and 16 features instead of/);
    expect(change(GOOD, TREE)).toMatch(/now does something else/);
  });
});
