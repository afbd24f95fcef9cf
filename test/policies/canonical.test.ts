/** One policy, one text, one digest: the form that is measured. */
import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  canonicalize,
  canonicalPolicyText,
  parseCanonicalPolicy,
  toCanonicalPolicy,
} from '../../policies/canonical.ts';
import { kmsKeyArnHash, policyDigest } from '../../policies/digest.ts';
import { loadPolicy } from '../../policies/load.ts';
import { ALICE, BOB, GOOD, written } from './written.ts';

const canonicalOf = async (text: string): Promise<string> =>
  canonicalPolicyText(await toCanonicalPolicy(loadPolicy(text, { file: 'policy.yaml' })));
const digestOf = async (text: string): Promise<string> => policyDigest(await canonicalOf(text));

describe('RFC 8785', () => {
  test('the example of section 3.2.2', () => {
    const value: unknown = JSON.parse(`{
      "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\"\\/",
      "literals": [null, true, false]
    }`);
    expect(canonicalize(value)).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],' +
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    );
  });

  test('keys are sorted by UTF-16 code units (section 3.2.3)', () => {
    const value = { '\u20ac': 1, '\r': 2, '\ufb33': 3, '1': 4, '\u{1f600}': 5, '\u0080': 6, '\u00f6': 7 };
    expect([...canonicalize(value).matchAll(/:(\d)/g)].map(([, number]) => Number(number))).toEqual([
      2, 4, 6, 7, 1, 5, 3,
    ]);
  });

  test.each([[Number.NaN], [Number.POSITIVE_INFINITY], ['\ud800'], [undefined], [1n]])('%s has no form', (value) => {
    expect(() => canonicalize([value])).toThrow(expect.objectContaining({ code: 'policy/not-canonical' }));
  });

  test('is JSON of the same value, whatever the order of keys', () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
        const whole = JSON.stringify(value);
        fc.pre(!/\\ud[89a-f]/i.test(whole));
        const text = canonicalize(value);
        expect(JSON.parse(text)).toEqual(JSON.parse(whole));
        expect(canonicalize(JSON.parse(text))).toBe(text);
      }),
    );
  });
});

describe('what the image carries', () => {
  test('no ARN, but its Region and its hash', async () => {
    const text = await canonicalOf(GOOD);
    expect(text).not.toContain('arn:');
    expect(text).not.toContain('111122223333');
    const hash = createHash('sha256').update(`accord/v1/kms-key-arn\0${ALICE}`).digest('hex');
    expect(await kmsKeyArnHash(ALICE)).toBe(hash);
    expect(JSON.parse(text).parties.alice).toEqual({
      role: 'data-owner',
      kmsKey: { region: 'eu-west-1', arnHash: hash },
    });
  });

  test('the digest is SHA-384 of its bytes', async () => {
    const text = await canonicalOf(GOOD);
    expect(await policyDigest(text)).toBe(createHash('sha384').update(text).digest('hex'));
  });

  test('how it is written does not matter', async () => {
    const others = [
      GOOD.replaceAll('\n', '\r\n'),
      `# a remark\n\n${GOOD}`,
      written('anchors: none\n', ''),
      `${GOOD}trust: aws\nenclave: { cpus: 2, memoryMiB: 1024 }\n`,
      written('model: bob', 'model: { from: bob }'),
      written('    calls:', '    input: { maxBytes: 4MiB }\n    release: { padTo: 1024 }\n    calls:'),
      written('      alice: 3\n      bob: 2\n', '      bob: 2\n      alice: 3\n'),
    ];
    for (const other of others) expect(await digestOf(other)).toBe(await digestOf(GOOD));
  });

  test.each([
    ['a quota', 'alice: 3', 'alice: 4'],
    ['the last day', '06-30', '07-01'],
    ['a key', BOB, BOB.replace('b0b', 'b0c')],
    ['a Region', BOB, BOB.replace('eu-west-1', 'eu-west-2')],
    ['a role', 'model-owner', 'coordinator'],
    ['a name', 'classify', 'classify2'],
    ['a pinned model', 'model: bob', `model: { from: bob, sha256: ${'a'.repeat(64)} }`],
  ])('another one for %s', async (_, part, other) => {
    expect(await digestOf(written(part, other))).not.toBe(await digestOf(GOOD));
  });
});

describe('what the enclave takes', () => {
  test('the canonical text, and gives it back', async () => {
    const text = await canonicalOf(GOOD);
    expect(canonicalPolicyText(parseCanonicalPolicy(text))).toBe(text);
  });

  type Tampering = (text: string) => string;
  const tamperings: Readonly<Record<string, readonly [Tampering, string]>> = {
    'white space': [(text) => ` ${text}`, 'policy/not-canonical'],
    'a line at the end': [(text) => `${text}\n`, 'policy/not-canonical'],
    'a number with a point': [(text) => text.replace('"alice":3', '"alice":3.0'), 'policy/not-canonical'],
    'an escape': [(text) => text.replace('"skin"', '"sk\\u0069n"'), 'policy/not-canonical'],
    'a key twice': [(text) => text.replace('"alice":3', '"alice":3,"alice":3'), 'policy/not-canonical'],
    'keys in another order': [(text) => text.replace('"alice":3,"bob":2', '"bob":2,"alice":3'), 'policy/not-canonical'],
    'a key too many': [(text) => text.replace('{"anchors"', '{"a":1,"anchors"'), 'policy/unknown-key'],
    'a key too few': [(text) => text.replace('"anchors":"none",', ''), 'policy/missing-key'],
    'a size in words': [(text) => text.replace('"padTo":1024', '"padTo":"1KiB"'), 'policy/wrong-type'],
    'an ARN': [(text) => text.replace(/"kmsKey":\{[^}]*\}/, `"kmsKeyArn":"${ALICE}"`), 'policy/unknown-key'],
    'a party that does not exist': [(text) => text.replace('"from":"bob"', '"from":"eve"'), 'policy/unknown-party'],
    'a negative quota': [(text) => text.replace('"alice":3', '"alice":-3'), 'policy/out-of-range'],
    YAML: [() => GOOD, 'policy/syntax'],
    'half of it': [(text) => text.slice(0, text.length / 2), 'policy/syntax'],
    'far too much': [(text) => text + ' '.repeat(131_072), 'policy/canonical-too-large'],
  };
  test.each(Object.keys(tamperings))('refused: %s', async (name) => {
    const [tamper, code] = tamperings[name] ?? [(text: string) => text, ''];
    const text = await canonicalOf(GOOD);
    expect(tamper(text)).not.toBe(text);
    expect(() => parseCanonicalPolicy(tamper(text))).toThrow(expect.objectContaining({ code, kind: 'malformed' }));
  });
});
