/**
 * The state key, wrapped so that the parties together open it and no one else does: neither the host, nor fewer of them.
 *
 *     layered       w[0] = state key;  w[i] = Wrap(data key of party i, i, w[i-1])  in the policy's order;  stored: w[n]
 *     threshold k   share i of the state key (shares.ts), each Wrap(data key of party i, i, share i);  stored: all
 *
 *     Wrap(key, i, x) = nonce[12] || AES-256-GCM(key, nonce, AAD, x)       // 28 bytes more than x
 *     AAD = SHA-256("accord/v1/layer" || 0 || CBOR [collaboration, policy digest, party, i, seal, id of the set])
 *
 * The data keys are KMS's, one a party, obtained with the enclave's attestation. AES-GCM is used through one key for one
 * message; the nonce is random all the same.
 */
import { AEAD, importAeadKey, open, seal } from '../crypto/aead.ts';
import { sha256 } from '../crypto/digest.ts';
import type { RandomSource } from '../crypto/random.ts';
import { concat } from '../encoding/bytes.ts';
import { encodeCbor } from '../encoding/cbor.ts';
import type { DataKey } from '../kms/attested.ts';
import type { KeySet, KeySetTerms } from './key-set.ts';
import { KEY_SET, partiesNeeded } from './key-set.ts';
import { join, split } from './shares.ts';
import { stateFailure } from './state-failure.ts';

export const STATE_KEY_BYTES = 32;

/** Wraps a state key of 32 bytes under the data keys of all parties. The caller erases what is secret. */
export async function makeKeySet(
  terms: KeySetTerms,
  dataKeys: ReadonlyMap<string, DataKey>,
  stateKey: Uint8Array,
  random: RandomSource,
): Promise<KeySet> {
  if (stateKey.length !== STATE_KEY_BYTES) throw new RangeError(`a state key has 32 bytes, not ${stateKey.length}`);
  const id = await random(KEY_SET.idBytes);
  const keys = terms.order.map((party) => {
    const key = dataKeys.get(party);
    if (key === undefined) throw new RangeError(`no data key of ${party}`);
    return key;
  });
  const bare = { ...terms, id, dataKeys: keys.map(({ ciphertext }) => ciphertext) };
  const wrapFor = (i: number, content: Uint8Array): Promise<Uint8Array> =>
    wrap(bare, i, keys[i]?.plaintext ?? new Uint8Array(0), content, random);

  if (terms.seal === 'layered') {
    let wrapped: Uint8Array = stateKey;
    for (const i of terms.order.keys()) wrapped = await wrapFor(i, wrapped);
    return { ...bare, wrapped: [wrapped] };
  }
  const shares = await split(stateKey, terms.seal.threshold, terms.order.length, random);
  const wrapped = await Promise.all(shares.map((share, i) => wrapFor(i, share)));
  for (const share of shares) share.fill(0);
  return { ...bare, wrapped };
}

/**
 * The state key, from the data keys (32 bytes each) of every party, or of as many as the threshold says. Throws
 * `state/keys-unopened` and `state/keys-other-party`.
 */
export async function openKeySet(set: KeySet, dataKeys: ReadonlyMap<string, Uint8Array>): Promise<Uint8Array> {
  const here = set.order.flatMap((party, i) => {
    const key = dataKeys.get(party);
    return key === undefined ? [] : [{ party, i, key }];
  });
  const needed = partiesNeeded(set);
  if (here.length < needed) throw new RangeError(`data keys of ${here.length} parties where ${needed} are needed`);

  if (set.seal === 'layered') {
    let wrapped = set.wrapped[0] ?? new Uint8Array(0);
    for (const { i, key } of here.toReversed()) {
      const opened = await unwrap(set, i, key, wrapped);
      if (opened === undefined) throw await whyUnopened(set, i, wrapped, here);
      wrapped = opened;
    }
    return wrapped;
  }
  const shares: Uint8Array[] = [];
  for (const { i, key } of here.slice(0, needed)) {
    const wrapped = set.wrapped[i] ?? new Uint8Array(0);
    const share = await unwrap(set, i, key, wrapped);
    if (share === undefined) throw await whyUnopened(set, i, wrapped, here);
    shares.push(share);
  }
  const stateKey = await join(shares, needed);
  for (const share of shares) share.fill(0);
  return stateKey;
}

interface Holder {
  readonly party: string;
  readonly i: number;
  readonly key: Uint8Array;
}

/** A layer that another party's key opens was moved; what no key opens was changed. */
async function whyUnopened(set: KeySet, i: number, wrapped: Uint8Array, here: readonly Holder[]): Promise<Error> {
  const place = set.order[i] ?? '';
  for (const other of here) {
    if (other.i === i || (await unwrap(set, other.i, other.key, wrapped)) === undefined) continue;
    return stateFailure('state/keys-other-party', `the layer of ${place} is that of ${other.party}`, place);
  }
  return stateFailure('state/keys-unopened', `the layer of ${place} does not open with its data key`, place);
}

type Bare = Omit<KeySet, 'wrapped'>;

async function wrap(
  set: Bare,
  i: number,
  dataKey: Uint8Array,
  content: Uint8Array,
  random: RandomSource,
): Promise<Uint8Array> {
  const nonce = concat(await random(AEAD.nonceBytes));
  return concat(nonce, await seal(await importAeadKey(dataKey), nonce, await layerBinding(set, i), content));
}

async function unwrap(set: Bare, i: number, dataKey: Uint8Array, wrapped: Uint8Array): Promise<Uint8Array | undefined> {
  if (wrapped.length < AEAD.nonceBytes + AEAD.tagBytes) return undefined;
  const key = await importAeadKey(dataKey);
  const binding = await layerBinding(set, i);
  const nonce = wrapped.subarray(0, AEAD.nonceBytes);
  return open(key, nonce, binding, wrapped.subarray(AEAD.nonceBytes)).catch(() => undefined);
}

function layerBinding(set: Bare, i: number): Promise<Uint8Array> {
  const sealKind = set.seal === 'layered' ? 0 : set.seal.threshold;
  const bound = encodeCbor([set.collaboration, set.policyDigest, set.order[i] ?? '', i, sealKind, set.id]);
  return sha256(new TextEncoder().encode('accord/v1/layer\0'), bound);
}
