/**
 * AES-256-GCM (NIST SP 800-38D) with 96-bit nonces and 128-bit tags, the only AEAD of Accord. A key is imported once
 * and cannot be taken out again; whoever holds one must never use a nonce twice under it.
 */
import { Failure } from '../../policies/failure.ts';
import { concat } from '../encoding/bytes.ts';

export type AeadCode = 'aead/unauthentic';

export const AEAD = { keyBytes: 32, nonceBytes: 12, tagBytes: 16 } as const;

/** An AES-256-GCM key inside WebCrypto. Made by `importAeadKey` alone. */
export type AeadKey = CryptoKey & { readonly __brand: 'AeadKey' };

/** Takes 32 bytes. The caller still owns them and should overwrite them when it is done. */
export async function importAeadKey(raw: Uint8Array): Promise<AeadKey> {
  if (raw.length !== AEAD.keyBytes) throw new RangeError(`an AES-256-GCM key has 32 bytes, not ${raw.length}`);
  const key = await crypto.subtle.importKey('raw', concat(raw), 'AES-GCM', false, ['encrypt', 'decrypt']);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the brand is made here
  return key as AeadKey;
}

/** Ciphertext and tag: 16 bytes longer than the plaintext. Copies what it is given before it waits. */
export async function seal(
  key: AeadKey,
  nonce: Uint8Array,
  additionalData: Uint8Array,
  plaintext: Uint8Array,
): Promise<Uint8Array> {
  const sealed = await crypto.subtle.encrypt(parameters(nonce, additionalData), key, concat(plaintext));
  return new Uint8Array(sealed);
}

/** Throws `aead/unauthentic`, which says nothing about why: one answer for every forgery. */
export async function open(
  key: AeadKey,
  nonce: Uint8Array,
  additionalData: Uint8Array,
  ciphertext: Uint8Array,
): Promise<Uint8Array> {
  const asked = parameters(nonce, additionalData);
  const copy = concat(ciphertext);
  try {
    return new Uint8Array(await crypto.subtle.decrypt(asked, key, copy));
  } catch {
    throw new Failure<AeadCode>('refused', 'aead/unauthentic', 'the ciphertext is not authentic under this key');
  }
}

function parameters(nonce: Uint8Array, additionalData: Uint8Array): AesGcmParams {
  if (nonce.length !== AEAD.nonceBytes) throw new RangeError(`a GCM nonce has 12 bytes, not ${nonce.length}`);
  return { name: 'AES-GCM', iv: concat(nonce), additionalData: concat(additionalData), tagLength: 8 * AEAD.tagBytes };
}
