/**
 * AES-256-GCM (NIST SP 800-38D) with 96-bit nonces and 128-bit tags, the only AEAD of Accord. A key is imported
 * once; whoever holds one must never use a nonce twice under it.
 */
import type { KeyObject } from 'node:crypto';
import { createCipheriv, createSecretKey } from 'node:crypto';
import { Failure } from '../../policies/failure.ts';
import { concat } from '../encoding/bytes.ts';

export type AeadCode = 'aead/unauthentic';

export const AEAD = { keyBytes: 32, nonceBytes: 12, tagBytes: 16 } as const;

const IMPORTED: unique symbol = Symbol('AeadKey');

/** An AES-256-GCM key: WebCrypto's opens, Node's own seals. Made by `importAeadKey` alone. */
export type AeadKey = CryptoKey & { readonly [IMPORTED]: KeyObject };

/** Takes 32 bytes. The caller still owns them and should overwrite them when it is done. */
export async function importAeadKey(raw: Uint8Array): Promise<AeadKey> {
  if (raw.length !== AEAD.keyBytes) throw new RangeError(`an AES-256-GCM key has 32 bytes, not ${raw.length}`);
  const key = await crypto.subtle.importKey('raw', concat(raw), 'AES-GCM', false, ['decrypt']);
  return Object.assign(key, { [IMPORTED]: createSecretKey(raw) });
}

/**
 * Ciphertext and tag: 16 bytes longer than the plaintext. It is made at once, in this thread: whoever seals to a moment
 * waits for no other thread's turn.
 */
export async function seal(
  key: AeadKey,
  nonce: Uint8Array,
  additionalData: Uint8Array,
  plaintext: Uint8Array,
): Promise<Uint8Array> {
  demandNonce(nonce);
  const cipher = createCipheriv('aes-256-gcm', key[IMPORTED], nonce, { authTagLength: AEAD.tagBytes });
  cipher.setAAD(additionalData);
  return concat(cipher.update(plaintext), cipher.final(), cipher.getAuthTag());
}

/** Throws `aead/unauthentic`, which says nothing about why: one answer for every forgery. */
export async function open(
  key: AeadKey,
  nonce: Uint8Array,
  additionalData: Uint8Array,
  ciphertext: Uint8Array,
): Promise<Uint8Array> {
  demandNonce(nonce);
  const asked = {
    name: 'AES-GCM',
    iv: concat(nonce),
    additionalData: concat(additionalData),
    tagLength: 8 * AEAD.tagBytes,
  };
  const copy = concat(ciphertext);
  try {
    return new Uint8Array(await crypto.subtle.decrypt(asked, key, copy));
  } catch {
    throw new Failure<AeadCode>('refused', 'aead/unauthentic', 'the ciphertext is not authentic under this key');
  }
}

function demandNonce(nonce: Uint8Array): void {
  if (nonce.length !== AEAD.nonceBytes) throw new RangeError(`a GCM nonce has 12 bytes, not ${nonce.length}`);
}
