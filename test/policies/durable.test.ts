/** Anchors, state and succession: what is filled in, and the form that is measured. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalPolicyText, parseCanonicalPolicy, toCanonicalPolicy } from '../../policies/canonical.ts';
import type { PolicyCode } from '../../policies/fault.ts';
import { loadPolicy } from '../../policies/load.ts';
import { weakenings } from '../../policies/weakenings.ts';
import { ALICE, DURABLE, faultsOf, LOCAL_TRUST, WITH_CAROL, written } from './written.ts';

const durable = (part: string, other: string): string => written(part, other, DURABLE);
const bucket = (address: string): string => durable('s3://alice-anchor', address);
/** A key in an account of the party's own. */
const keyOf = (name: string): string =>
  ALICE.replace('111122223333', String(100_000_000_000 + name.charCodeAt(0))).replace(
    'a11ce',
    `a11${name.charCodeAt(0).toString(16)}`,
  );
const DIGEST = 'ab'.repeat(48);
const three = (text: string): string => text.replace('functions:', WITH_CAROL);

describe('what is left out', () => {
  test('is filled in: quorum, order, prefix and Region', () => {
    const short = durable('  quorum: 2\n', '')
      .replace('  order: [bob, alice]\n', '')
      .replace(', region: eu-north-1', '');
    const { anchors, state } = loadPolicy(short, { file: 'p' });
    expect(state).toEqual({ seal: 'layered', order: ['alice', 'bob'] });
    expect(anchors).toEqual({
      quorum: 2,
      stores: [
        { owner: 'alice', s3: { bucket: 'alice-anchor', prefix: 'accord/', region: 'eu-west-1' } },
        { owner: 'bob', s3: { bucket: 'bob-anchor', prefix: 'accord/', region: 'eu-west-1' } },
      ],
    });
  });

  test('anchors stand in the order of the state; a prefix ends with a slash; a slash alone is the whole bucket', () => {
    const { anchors } = loadPolicy(bucket('s3://alice-anchor/a/b').replace('s3://bob-anchor', 's3://bob-anchor/'), {
      file: 'p',
    });
    expect(anchors).toMatchObject({
      stores: [
        { owner: 'bob', s3: { prefix: '', region: 'eu-north-1' } },
        { owner: 'alice', s3: { prefix: 'a/b/', region: 'eu-west-1' } },
      ],
    });
  });

  test('not every party needs an anchor, and an odd quorum may leave some out', () => {
    const some = three(DURABLE).replace('[bob, alice]', '[carol, bob, alice]');
    expect(loadPolicy(some, { file: 'p' }).anchors).toMatchObject({ stores: [{ owner: 'bob' }, { owner: 'alice' }] });
    const all = some.replace('  quorum: 2', '  carol: { s3: "s3://carol-anchor" }\n  quorum: 2');
    expect(loadPolicy(all, { file: 'p' }).anchors).toMatchObject({ quorum: 2, stores: [{}, {}, {}] });
  });

  test('a folder is taken in a trial, with the trust in the policy or beside it', () => {
    const trial = durable('s3: "s3://alice-anchor"', 'folder: /var/tmp/anchor-alice');
    expect(faultsOf(trial + LOCAL_TRUST)).toEqual([]);
    const trust = loadPolicy(DURABLE + LOCAL_TRUST, { file: 'p' }).trust;
    if (trust === 'aws') throw new Error('no local trust');
    expect(loadPolicy(trial, { file: 'p', trust }).anchors).toMatchObject({
      stores: [{ owner: 'bob' }, { owner: 'alice', folder: '/var/tmp/anchor-alice' }],
    });
  });
});

describe('the canonical form', () => {
  const canonicalOf = async (text: string): Promise<string> =>
    canonicalPolicyText(await toCanonicalPolicy(loadPolicy(text, { file: 'policy.yaml' })));

  test.each([
    ['two buckets', DURABLE],
    ['a threshold', durable('layered', '{ threshold: 2 }')],
    ['a succession', `${DURABLE}succeeds: { policyDigest: ${DIGEST}, calls: carried }\n`],
    ['a folder', durable('s3: "s3://alice-anchor"', 'folder: /a') + LOCAL_TRUST],
    ['a counter', written('image-classification\n    model: bob', 'counter')],
    [
      'bounds on what answers carry',
      written('    calls:', '    answerBits: 40\n    output: { labels: 7 }\n    calls:'),
    ],
  ])('is read back to the same bytes: %s', async (_, text) => {
    const canonical = await canonicalOf(text);
    expect(canonicalPolicyText(parseCanonicalPolicy(canonical))).toBe(canonical);
  });

  test('whatever quorum, order and seal: it is read back, and a quorum that one owner defeats is named', async () => {
    const parties = ['alice', 'bob', 'carol', 'dave', 'erin'];
    const terms = fc.shuffledSubarray(parties, { minLength: 1 }).chain((order) =>
      fc.record({
        order: fc.constant(order),
        owners: fc.shuffledSubarray(order, { minLength: 1 }),
        quorum: fc.nat(4),
        threshold: fc.option(fc.integer({ min: 1, max: order.length }), { nil: undefined }),
      }),
    );
    await fc.assert(
      fc.asyncProperty(terms, async ({ order, owners, quorum: more, threshold }) => {
        const least = Math.floor(owners.length / 2) + 1;
        const quorum = Math.min(owners.length, least + more);
        const text = JSON.stringify({
          apiVersion: 'accord/v1',
          collaboration: 'any',
          until: '2027-06-30',
          parties: Object.fromEntries(order.map((name) => [name, { role: 'data-owner', kmsKeyArn: keyOf(name) }])),
          functions: { count: { uses: 'counter', calls: { [order[0] ?? '']: 1 } } },
          anchors: { ...Object.fromEntries(owners.map((name) => [name, { s3: `s3://${name}-anchor` }])), quorum },
          state: { seal: threshold === undefined ? 'layered' : { threshold }, order },
        });
        const policy = loadPolicy(text, { file: 'p' });
        const canonical = canonicalPolicyText(await toCanonicalPolicy(policy));
        expect(canonicalPolicyText(parseCanonicalPolicy(canonical))).toBe(canonical);
        expect(policy.anchors).toMatchObject({
          stores: order.filter((one) => owners.includes(one)).map((owner) => ({ owner })),
        });
        const codes = new Set(weakenings(policy).map(({ code }) => code));
        expect(codes.has('weak-quorum')).toBe(2 * quorum - owners.length <= 1);
        expect(codes.has('threshold-seal')).toBe(threshold !== undefined && threshold < order.length);
      }),
      { numRuns: 100 },
    );
  });

  type Tampering = readonly [part: string, other: string, code: PolicyCode];
  test.each<[string, ...Tampering]>([
    ['a quorum of half', '"quorum":2', '"quorum":1', 'policy/out-of-range'],
    ['another order', '"order":["bob","alice"]', '"order":["alice","bob"]', 'policy/not-canonical'],
    ['an order without a party', '"order":["bob","alice"]', '"order":["bob"]', 'policy/bad-order'],
    ['no state', /"state":\{[^}]*\}/.source, '"state":"none"', 'policy/half-durable'],
    ['no anchors', /"anchors":\{.*?\]\}/.source, '"anchors":"none"', 'policy/half-durable'],
    ['a store of a stranger', '"owner":"alice"', '"owner":"eve"', 'policy/unknown-party'],
    ['one owner twice', '"owner":"alice"', '"owner":"bob"', 'policy/not-canonical'],
    ['one store twice', '"alice-anchor"', '"bob-anchor"', 'policy/duplicate-anchor'],
    ['no bucket', '"alice-anchor"', '"a"', 'policy/bad-bucket'],
    ['a prefix without its slash', '"prefix":"accord/"', '"prefix":"accord"', 'policy/bad-bucket'],
    [
      'a folder',
      '"s3":{"bucket":"alice-anchor","prefix":"accord/","region":"eu-west-1"}',
      '"folder":"/a"',
      'policy/folder-anchor',
    ],
    ['a Region of China', '"region":"eu-north-1"', '"region":"cn-north-1"', 'policy/bad-value'],
    ['a threshold of too many', '"seal":"layered"', '"seal":{"threshold":3}', 'policy/out-of-range'],
  ])('refused: %s', async (_, part, other, code) => {
    const text = await canonicalOf(DURABLE);
    const tampered = text.replace(
      new RegExp(part.startsWith('"') && !part.includes('\\') ? escape(part) : part),
      other,
    );
    expect(tampered).not.toBe(text);
    expect(() => parseCanonicalPolicy(tampered)).toThrow(expect.objectContaining({ code }));
  });
});

const escape = (text: string): string => text.replaceAll(/[[\]{}.*+?^$()|\\/]/g, String.raw`\$&`);
