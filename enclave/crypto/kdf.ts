/** HMAC (RFC 2104) and HKDF (RFC 5869), done at once in this thread, as `aead.ts` is. */
import { createHmac } from 'node:crypto';
import { concat } from '../encoding/bytes.ts';

const HASH_BYTES = { 'SHA-256': 32, 'SHA-384': 48 } as const;
type Hash = keyof typeof HASH_BYTES;

/** 32 bytes. `key` must not be empty. */
export function hmacSha256(key: Uint8Array, data: Uint8Array): Promise<Uint8Array> {
  return hmac('SHA-256', key, data);
}

/** HKDF-Extract with SHA-384: 48 bytes. An absent or empty salt is 48 zero bytes (RFC 5869, section 2.2). */
export function hkdfExtract(salt: Uint8Array | undefined, inputKeyingMaterial: Uint8Array): Promise<Uint8Array> {
  const key = salt === undefined || salt.length === 0 ? new Uint8Array(HASH_BYTES['SHA-384']) : salt;
  return hmac('SHA-384', key, inputKeyingMaterial);
}

/** HKDF-Expand with SHA-384: `length` bytes, at most 255 · 48 = 12,240. */
export async function hkdfExpand(
  pseudorandomKey: Uint8Array,
  info: Uint8Array | string,
  length: number,
): Promise<Uint8Array> {
  if (!Number.isInteger(length) || length < 0 || length > 255 * HASH_BYTES['SHA-384']) {
    throw new RangeError(`HKDF-SHA-384 gives 0 to 12240 bytes, not ${length}`);
  }
  const key = concat(pseudorandomKey);
  const context = typeof info === 'string' ? new TextEncoder().encode(info) : concat(info);
  const output = new Uint8Array(length);
  let block: Uint8Array = new Uint8Array(0);
  for (let at = 0, counter = 1; at < length; at += block.length, counter++) {
    block = await hmac('SHA-384', key, concat(block, context, Uint8Array.of(counter)));
    output.set(block.subarray(0, length - at), at);
  }
  key.fill(0);
  return output;
}

async function hmac(hash: Hash, key: Uint8Array, data: Uint8Array): Promise<Uint8Array> {
  const made = createHmac(hash, key).update(data).digest();
  return new Uint8Array(made.buffer, made.byteOffset, made.length);
}
