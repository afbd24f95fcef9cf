/**
 * The set of wrapped keys: what the host keeps so that the parties' KMS keys together open the state key again. Its
 * SHA-256 is claimed in the anchors as version 0 of `keys`, and stands in the header of every record.
 *
 *     set = { v: 1, id: bytes[16], collaboration: text, policy: bytes[48],
 *             seal: 0 / uint,                       // 0: layered; else the number of parties that suffice
 *             parties: [+ { party: text[1..63], dataKey: bytes[1..6,144] }],        // in the policy's order
 *             wrapped: [+ bytes[32..1,860]] }       // layers.ts: one for layered, else one a party, in the same order
 *
 * CBOR, deterministic, at most 512 KiB. `dataKey` is KMS's ciphertext of the party's data key. No key ARN is in it but
 * what KMS itself writes into its ciphertext.
 */
import { Failure } from '../../policies/failure.ts';
import type { PolicyDigest } from '../../policies/model.ts';
import { constantTimeEqual, sha256 } from '../crypto/digest.ts';
import type { CborValue } from '../encoding/cbor.ts';
import { decodeCbor, encodeCbor, mapReader } from '../encoding/cbor.ts';
import { fromHex, toHex } from '../encoding/hex.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { StoredBytes } from '../vsock/host.ts';
import type { SealedPolicy } from './sealed-policy.ts';
import type { StateCode } from './state-failure.ts';
import { stateFailure } from './state-failure.ts';

export type Seal = 'layered' | { readonly threshold: number };

/** What the policy says of a key set: each has to be for exactly this. */
export interface KeySetTerms {
  readonly collaboration: string;
  readonly policyDigest: PolicyDigest;
  readonly seal: Seal;
  /** All parties, outermost layer last. */
  readonly order: readonly string[];
}

export interface KeySet extends KeySetTerms {
  /** 16 random bytes, bound into every layer. */
  readonly id: Uint8Array;
  /** KMS `CiphertextBlob` of each party's data key, in `order`. */
  readonly dataKeys: readonly Uint8Array[];
  readonly wrapped: readonly Uint8Array[];
}

export const KEY_SET = { idBytes: 16, parties: 64 } as const;
const DATA_KEY_BYTES = 6_144;
const WRAPPED_BYTES = 32 + 28 * (KEY_SET.parties + 1);
const PARTY_BYTES = 63;

export function keySetTerms(of: { readonly policy: SealedPolicy; readonly policyDigest: PolicyDigest }): KeySetTerms {
  const { collaboration, state } = of.policy;
  return { collaboration, policyDigest: of.policyDigest, seal: state.seal, order: state.order };
}

/** Parties whose data keys open the set: all, or so many of them. */
export function partiesNeeded({ seal, order }: Pick<KeySetTerms, 'seal' | 'order'>): number {
  return seal === 'layered' ? order.length : seal.threshold;
}

/** Ready to be kept by the host. */
export async function storedKeySet(set: KeySet): Promise<StoredBytes> {
  const bytes = encodeKeySet(set);
  return { sha256: await sha256(bytes), bytes: bytes.length, parts: [bytes] };
}

export function encodeKeySet(set: KeySet): Uint8Array {
  const parties = set.order.map((party, i): CborValue => {
    const dataKey = set.dataKeys[i];
    if (dataKey === undefined) throw new RangeError(`no data key of ${party}`);
    return new Map<string, CborValue>([['party', party], ['dataKey', dataKey]]); // prettier-ignore
  });
  return encodeCbor(
    new Map<string, CborValue>([
      ['v', 1],
      ['id', set.id],
      ['collaboration', set.collaboration],
      ['policy', fromHex(set.policyDigest)],
      ['seal', set.seal === 'layered' ? 0 : set.seal.threshold],
      ['parties', parties],
      ['wrapped', set.wrapped],
    ]),
  );
}

/**
 * Reads a set and demands that it is for these terms, with a code of its own for each that it is not. `claimed` is the
 * digest that stands in the anchors; without it the set is a hint, and to be compared later.
 */
export async function readKeySet(bytes: Uint8Array, terms: KeySetTerms, claimed?: Uint8Array): Promise<KeySet> {
  const set = decodeKeySet(bytes, terms);
  if (claimed !== undefined && !constantTimeEqual(await sha256(bytes), claimed)) {
    throw stateFailure('state/keys-substituted', 'the wrapped keys are not the ones that the anchors name');
  }
  return set;
}

function decodeKeySet(bytes: Uint8Array, terms: KeySetTerms): KeySet {
  try {
    return decode(bytes, terms);
  } catch (error) {
    if (error instanceof Failure && error.code.startsWith('cbor/')) {
      throw stateFailure('state/keys-malformed', 'what the host has for wrapped keys is none');
    }
    throw error;
  }
}

function decode(bytes: Uint8Array, terms: KeySetTerms): KeySet {
  const limits = { maxBytes: LIMITS.keySetBytes, maxDepth: 3, maxItems: 32 + 6 * KEY_SET.parties };
  const map = mapReader<StateCode>(decodeCbor(bytes, limits), 'state/keys-malformed', 'keys');
  map.uint('v', { min: 1, max: 1 });
  const id = map.bytes('id', { exact: KEY_SET.idBytes });
  if (map.text('collaboration', { max: 256 }) !== terms.collaboration)
    throw stateFailure('state/keys-other-collaboration', 'the wrapped keys are of another collaboration');
  const needed = terms.seal === 'layered' ? 0 : terms.seal.threshold;
  const isOurs =
    toHex(map.bytes('policy', { exact: 48 })) === terms.policyDigest &&
    map.uint('seal', { max: KEY_SET.parties }) === needed;
  if (!isOurs) throw stateFailure('state/keys-other-policy', 'the wrapped keys are of another policy');
  const parties = map.array('parties', { min: 1, max: KEY_SET.parties }).map((entry) => {
    const party = mapReader<StateCode>(entry, 'state/keys-malformed', 'keys.parties');
    const read = {
      name: party.text('party', { min: 1, max: PARTY_BYTES }),
      dataKey: party.bytes('dataKey', { min: 1, max: DATA_KEY_BYTES }),
    };
    party.done();
    return read;
  });
  const wrapped = map.array('wrapped', { exact: needed === 0 ? 1 : terms.order.length }).map((layer) => {
    if (layer instanceof Uint8Array && layer.length >= 32 && layer.length <= WRAPPED_BYTES) return layer;
    throw stateFailure('state/keys-malformed', 'a layer of the wrapped keys is none');
  });
  map.done();
  const inOrder = parties.length === terms.order.length && parties.every(({ name }, i) => name === terms.order[i]);
  if (!inOrder)
    throw stateFailure('state/keys-other-party', 'the wrapped keys are of other parties, or in another order');
  return { ...terms, id, dataKeys: parties.map(({ dataKey }) => dataKey), wrapped };
}
