/**
 * What an enclave says about itself in the `user_data` of its attestation documents. It is signed with the measurements,
 * so a verifier learns the policy that this image carries without knowing how the image was made.
 *
 *     user_data = { policy: bytes[48], v: 1 }      // deterministic CBOR, 61 bytes; SHA-384 of the canonical policy
 */
import { parsePolicyDigest } from '../../policies/digest.ts';
import { Failure } from '../../policies/failure.ts';
import type { PolicyDigest } from '../../policies/model.ts';
import { decodeCbor, encodeCbor, mapReader } from '../encoding/cbor.ts';
import { fromHex, toHex } from '../encoding/hex.ts';
import { constantTimeEqual } from '../crypto/digest.ts';

export type UserDataCode = 'user-data/malformed';

export const USER_DATA_VERSION = 1;
const DIGEST_BYTES = 48;
const MAX_BYTES = 64;

export interface UserData {
  readonly policyDigest: PolicyDigest;
  readonly version: 1;
}

export function encodeUserData(policyDigest: PolicyDigest): Uint8Array {
  return encodeCbor(
    new Map<string, Uint8Array | number>([
      ['policy', fromHex(policyDigest, 'policy digest')],
      ['v', USER_DATA_VERSION],
    ]),
  );
}

/** Throws `user-data/malformed` (or `cbor/…`) for anything but the one encoding. */
export function decodeUserData(bytes: Uint8Array): UserData {
  const map = mapReader<UserDataCode>(
    decodeCbor(bytes, { maxBytes: MAX_BYTES, maxDepth: 1, maxItems: 5 }),
    'user-data/malformed',
    'user_data',
  );
  const policyDigest = parsePolicyDigest(toHex(map.bytes('policy', { exact: DIGEST_BYTES })));
  map.uint('v', { min: USER_DATA_VERSION, max: USER_DATA_VERSION });
  map.done();
  // One text for one meaning: the entries stand in the one order.
  if (!constantTimeEqual(encodeUserData(policyDigest), bytes)) {
    throw new Failure<UserDataCode>(
      'malformed',
      'user-data/malformed',
      'user_data is not in its deterministic encoding',
    );
  }
  return { policyDigest, version: USER_DATA_VERSION };
}
