import { randomBytes } from 'node:crypto';
import * as fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { sha256 } from '../../../enclave/crypto/digest.ts';
import { encodeCbor } from '../../../enclave/encoding/cbor.ts';
import { toHex } from '../../../enclave/encoding/hex.ts';
import type { DataKey } from '../../../enclave/kms/attested.ts';
import type { KeySet, KeySetTerms, Seal } from '../../../enclave/state/key-set.ts';
import { encodeKeySet, readKeySet, storedKeySet } from '../../../enclave/state/key-set.ts';
import { makeKeySet, openKeySet } from '../../../enclave/state/layers.ts';
import type { PolicyDigest } from '../../../policies/model.ts';
import { policyDigest } from '../../../policies/digest.ts';

const random = (bytes: number): Uint8Array => new Uint8Array(randomBytes(bytes));
const STATE_KEY = random(32);
let POLICY: PolicyDigest;
let OTHER_POLICY: PolicyDigest;
beforeAll(async () => {
  POLICY = await policyDigest('one');
  OTHER_POLICY = await policyDigest('other');
});

const termsOf = (seal: Seal, order: readonly string[]): KeySetTerms => ({
  collaboration: 'screening',
  policyDigest: POLICY,
  seal,
  order,
});
const PARTIES = ['alice', 'bob', 'charlie', 'dora', 'erin'];

interface Made {
  readonly set: KeySet;
  readonly dataKeys: ReadonlyMap<string, DataKey>;
  /** Data keys in the clear of these parties, or of all. */
  readonly plain: (parties?: readonly string[]) => Map<string, Uint8Array>;
}

async function made(terms: KeySetTerms): Promise<Made> {
  const dataKeys = new Map(terms.order.map((party) => [party, { ciphertext: random(180), plaintext: random(32) }]));
  const set = await makeKeySet(terms, dataKeys, STATE_KEY, random);
  const plain = (parties = terms.order): Map<string, Uint8Array> =>
    new Map(parties.map((party) => [party, dataKeys.get(party)?.plaintext ?? new Uint8Array(32)]));
  return { set, dataKeys, plain };
}

const SEALS: readonly (readonly [string, Seal, readonly string[]])[] = [
  ['layered, one party', 'layered', ['alice']],
  ['layered, three', 'layered', ['charlie', 'alice', 'bob']],
  ['threshold 1 of 1', { threshold: 1 }, ['alice']],
  ['threshold 1 of 3', { threshold: 1 }, PARTIES.slice(0, 3)],
  ['threshold 2 of 3', { threshold: 2 }, PARTIES.slice(0, 3)],
  ['threshold 5 of 5', { threshold: 5 }, PARTIES],
];

describe.each(SEALS)('%s', (_, seal, order) => {
  test('gives the state key back, also after it was stored', async () => {
    const terms = termsOf(seal, order);
    const { set, plain } = await made(terms);
    const stored = await storedKeySet(set);
    expect(await openKeySet(set, plain())).toEqual(STATE_KEY);
    const bytes = stored.parts[0] ?? new Uint8Array(0);
    expect(await sha256(bytes)).toEqual(stored.sha256);
    const read = await readKeySet(bytes, terms, stored.sha256);
    expect(read).toEqual(set);
    expect(encodeKeySet(read)).toEqual(bytes);
    expect(await openKeySet(read, plain())).toEqual(STATE_KEY);
  });

  test('needs the parties that the policy says, and any that are enough', async () => {
    const { set, plain } = await made(termsOf(seal, order));
    const needed = seal === 'layered' ? order.length : seal.threshold;
    await expect(openKeySet(set, plain(order.slice(0, needed - 1)))).rejects.toThrow(RangeError);
    expect(await openKeySet(set, plain(order.slice(-needed)))).toEqual(STATE_KEY);
  });

  test('holds neither the state key nor a data key', async () => {
    const { set, plain } = await made(termsOf(seal, order));
    const bytes = Buffer.from(encodeKeySet(set)).toString('hex');
    for (const secret of [STATE_KEY, ...plain().values()]) expect(bytes).not.toContain(toHex(secret));
  });
});

describe('tamperings', () => {
  const flipped = (bytes: Uint8Array, at: number): Uint8Array => bytes.map((byte, i) => (i === at ? byte ^ 1 : byte));
  const withWrapped = (set: KeySet, change: (layer: Uint8Array, i: number) => Uint8Array): KeySet => ({
    ...set,
    wrapped: set.wrapped.map(change),
  });
  const swapped = ([a, b, ...rest]: readonly Uint8Array[]): Uint8Array[] =>
    [b, a, ...rest].filter((layer) => layer !== undefined);

  const LAYERED: Readonly<Record<string, readonly [(set: KeySet) => KeySet, string]>> = {
    flipLayerBit: [(set) => withWrapped(set, (layer) => flipped(layer, 20)), 'state/keys-unopened'],
    flipLastTagBit: [(set) => withWrapped(set, (layer) => flipped(layer, layer.length - 1)), 'state/keys-unopened'],
    flipNonceBit: [(set) => withWrapped(set, (layer) => flipped(layer, 0)), 'state/keys-unopened'],
    truncateLayer: [(set) => withWrapped(set, (layer) => layer.subarray(0, -1)), 'state/keys-unopened'],
    emptyLayer: [(set) => withWrapped(set, () => new Uint8Array(0)), 'state/keys-unopened'],
    otherSetsId: [(set) => ({ ...set, id: flipped(set.id, 3) }), 'state/keys-unopened'],
    otherCollaborationsName: [(set) => ({ ...set, collaboration: 'other' }), 'state/keys-unopened'],
    otherPolicysDigest: [(set) => ({ ...set, policyDigest: OTHER_POLICY }), 'state/keys-unopened'],
  };
  test.each(Object.entries(LAYERED))('layered: %s', async (_, [tamper, code]) => {
    const { set, plain } = await made(termsOf('layered', PARTIES.slice(0, 3)));
    await expect(openKeySet(tamper(set), plain())).rejects.toMatchObject({ code, kind: 'refused' });
  });

  const THRESHOLD: typeof LAYERED = {
    flipShareBit: [
      (set) => withWrapped(set, (share, i) => (i === 1 ? flipped(share, 20) : share)),
      'state/keys-unopened',
    ],
    swapSharesOfTwoParties: [(set) => ({ ...set, wrapped: swapped(set.wrapped) }), 'state/keys-other-party'],
    otherThreshold: [(set) => ({ ...set, seal: { threshold: 3 } }), 'state/keys-unopened'],
  };
  test.each(Object.entries(THRESHOLD))('threshold: %s', async (_, [tamper, code]) => {
    const { set, plain } = await made(termsOf({ threshold: 2 }, PARTIES.slice(0, 3)));
    await expect(openKeySet(tamper(set), plain())).rejects.toMatchObject({ code, kind: 'refused' });
  });

  test("layered: peelOutermostLayer, so that the next party's stands in its place", async () => {
    const terms = termsOf('layered', ['alice', 'bob']);
    const { set, dataKeys, plain } = await made(terms);
    const alone = new Map([...dataKeys].filter(([party]) => party === 'alice'));
    const inner = await makeKeySet({ ...terms, order: ['alice'] }, alone, STATE_KEY, (bytes) => set.id.slice(0, bytes));
    const peeled = { ...set, wrapped: inner.wrapped };
    await expect(openKeySet(peeled, plain())).rejects.toMatchObject({ code: 'state/keys-other-party', where: 'bob' });
  });

  test.each(['layered', { threshold: 2 }] as const)('otherPartysName, the rest as it was: %j', async (seal) => {
    const { set, plain } = await made(termsOf(seal, ['alice', 'bob']));
    const renamed = new Map([...plain()].map(([party, key]) => [party === 'bob' ? 'mallory' : party, key]));
    await expect(openKeySet({ ...set, order: ['alice', 'mallory'] }, renamed)).rejects.toMatchObject({
      code: 'state/keys-unopened',
      where: 'mallory',
    });
  });

  test('layered: swapDataKeys of two parties', async () => {
    const { set, plain } = await made(termsOf('layered', ['alice', 'bob']));
    const keys = plain();
    const crossed = new Map([
      ['alice', keys.get('bob') ?? STATE_KEY],
      ['bob', keys.get('alice') ?? STATE_KEY],
    ]);
    await expect(openKeySet(set, crossed)).rejects.toMatchObject({ code: 'state/keys-unopened' });
  });

  test('any one bit of a stored set, by property: never the same key by other bytes', async () => {
    const terms = termsOf('layered', ['alice', 'bob']);
    const { set, plain } = await made(terms);
    const { sha256: claimed, parts } = await storedKeySet(set);
    const bytes = parts[0] ?? new Uint8Array(0);
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length * 8 - 1), async (bit) => {
        const changed = bytes.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte));
        await expect(readKeySet(changed, terms, claimed)).rejects.toMatchObject({
          code: expect.stringMatching(/^state\/keys-/),
        });
        expect(await openKeySet(await readKeySet(bytes, terms, claimed), plain())).toEqual(STATE_KEY);
      }),
      { numRuns: 60 },
    );
  });
});

describe('what the host offers for the set', () => {
  const bytesOf = async (terms: KeySetTerms): Promise<Uint8Array> => encodeKeySet((await made(terms)).set);
  const order = ['alice', 'bob'];
  const OFFERED: Readonly<Record<string, readonly [(terms: KeySetTerms) => Promise<Uint8Array>, string]>> = {
    nothingAtAll: [async () => new Uint8Array(0), 'state/keys-malformed'],
    noCbor: [async () => random(200), 'state/keys-malformed'],
    aTrailingByte: [async (terms) => Uint8Array.of(...(await bytesOf(terms)), 0), 'state/keys-malformed'],
    anotherVersionsFormat: [async () => encodeCbor(new Map([['v', 2]])), 'state/keys-malformed'],
    substituteSet: [(terms) => bytesOf(terms), 'state/keys-substituted'],
    otherCollaborations: [(terms) => bytesOf({ ...terms, collaboration: 'other' }), 'state/keys-other-collaboration'],
    otherPolicys: [(terms) => bytesOf({ ...terms, policyDigest: OTHER_POLICY }), 'state/keys-other-policy'],
    otherSeal: [(terms) => bytesOf({ ...terms, seal: { threshold: 1 } }), 'state/keys-other-policy'],
    otherPartys: [(terms) => bytesOf({ ...terms, order: ['alice', 'mallory'] }), 'state/keys-other-party'],
    otherOrder: [(terms) => bytesOf({ ...terms, order: ['bob', 'alice'] }), 'state/keys-other-party'],
    oneMoreParty: [(terms) => bytesOf({ ...terms, order: [...order, 'mallory'] }), 'state/keys-other-party'],
  };
  test.each(Object.entries(OFFERED))('%s', async (_, [offer, code]) => {
    const terms = termsOf('layered', order);
    const { sha256: claimed } = await storedKeySet((await made(terms)).set);
    await expect(readKeySet(await offer(terms), terms, claimed)).rejects.toMatchObject({ code });
  });

  test('any bytes at all, by property: a set or a failure with a code', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
        await expect(readKeySet(new Uint8Array(bytes), termsOf('layered', order))).rejects.toMatchObject({
          code: 'state/keys-malformed',
        });
      }),
    );
  });
});
