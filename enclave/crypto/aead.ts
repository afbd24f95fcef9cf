/**
 * AES-256-GCM (NIST SP 800-38D) with 96-bit nonces and 128-bit tags, the only AEAD of Accord. A key is imported
 * once; whoever holds one must never use a nonce twice under it. All of it is done at once, in this thread: where an answer
 * has its moment, neither opening nor sealing waits for another thread's turn.
 */
import type { KeyObject } from 'node:crypto';
import { createCipheriv, createDecipheriv, createSecretKey } from 'node:crypto';
import { Failure } from '../../policies/failure.ts';
import { concat } from '../encoding/bytes.ts';

export type AeadCode = 'aead/unauthentic';

export const AEAD = { keyBytes: 32, nonceBytes: 12, tagBytes: 16 } as const;

const IMPORTED: unique symbol = Symbol('AeadKey');

/** An AES-256-GCM key. Made by `importAeadKey` alone. */
export interface AeadKey {
  readonly [IMPORTED]: KeyObject;
}

/** Takes 32 bytes. The caller still owns them and should overwrite them when it is done. */
export async function importAeadKey(raw: Uint8Array): Promise<AeadKey> {
  if (raw.length !== AEAD.keyBytes) throw new RangeError(`an AES-256-GCM key has 32 bytes, not ${raw.length}`);
  return { [IMPORTED]: createSecretKey(raw) };
}

/** Ciphertext and tag: 16 bytes longer than the plaintext. */
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
  const end = ciphertext.length - AEAD.tagBytes;
  if (end < 0) throw unauthentic();
  const decipher = createDecipheriv('aes-256-gcm', key[IMPORTED], nonce, { authTagLength: AEAD.tagBytes });
  decipher.setAAD(additionalData);
  decipher.setAuthTag(ciphertext.subarray(end));
  const plaintext = decipher.update(ciphertext.subarray(0, end));
  try {
    decipher.final();
  } catch {
    plaintext.fill(0);
    throw unauthentic();
  }
  // The same bytes, of which there is no second copy.
  return new Uint8Array(plaintext.buffer, plaintext.byteOffset, plaintext.length);
}

function unauthentic(): Failure<AeadCode> {
  return new Failure('refused', 'aead/unauthentic', 'the ciphertext is not authentic under this key');
}

function demandNonce(nonce: Uint8Array): void {
  if (nonce.length !== AEAD.nonceBytes) throw new RangeError(`a GCM nonce has 12 bytes, not ${nonce.length}`);
}
