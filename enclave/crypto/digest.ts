/** SHA-2 through WebCrypto, and the one comparison that is allowed for secrets. */
import { concat } from '../encoding/bytes.ts';

/** SHA-256 (FIPS 180-4) of the parts, one after the other. 32 bytes. */
export function sha256(...parts: readonly Uint8Array[]): Promise<Uint8Array> {
  return digest('SHA-256', parts);
}

/** SHA-384 (FIPS 180-4) of the parts, one after the other. 48 bytes. */
export function sha384(...parts: readonly Uint8Array[]): Promise<Uint8Array> {
  return digest('SHA-384', parts);
}

/**
 * Equality that looks at every byte whatever it finds, so that its time tells a guesser nothing about how much of a
 * secret was right. Lengths are not secret here: different lengths are unequal at once.
 */
export function constantTimeEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= (a[i] ?? 0) ^ (b[i] ?? 0);
  return difference === 0;
}

async function digest(algorithm: 'SHA-256' | 'SHA-384', parts: readonly Uint8Array[]): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest(algorithm, concat(...parts)));
}
