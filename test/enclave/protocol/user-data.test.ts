import { expect, test } from 'vitest';
import { encodeCbor } from '../../../enclave/encoding/cbor.ts';
import { toHex } from '../../../enclave/encoding/hex.ts';
import { decodeUserData, encodeUserData } from '../../../enclave/protocol/user-data.ts';
import { Failure } from '../../../policies/failure.ts';
import { policyDigest } from '../../../policies/digest.ts';

const digest = await policyDigest('{}');

test('comes back as it went, in 61 bytes that every implementation would write', () => {
  const bytes = encodeUserData(digest);
  expect(toHex(bytes)).toBe(`a266706f6c6963795830${digest}617601`);
  expect(bytes).toHaveLength(61);
  expect(decodeUserData(bytes)).toEqual({ policyDigest: digest, version: 1 });
});

const policy = new Uint8Array(48);
const HOSTILE = {
  empty: new Uint8Array(0),
  otherOrder: encodeCbor(
    new Map<string, Uint8Array | number>([
      ['v', 1],
      ['policy', policy],
    ]),
  ),
  otherVersion: encodeCbor(
    new Map<string, Uint8Array | number>([
      ['policy', policy],
      ['v', 2],
    ]),
  ),
  shortDigest: encodeCbor(
    new Map<string, Uint8Array | number>([
      ['policy', policy.subarray(1)],
      ['v', 1],
    ]),
  ),
  extraKey: encodeCbor(
    new Map<string, Uint8Array | number>([
      ['policy', policy.subarray(2)],
      ['v', 1],
      ['x', 1],
    ]),
  ),
  trailing: new Uint8Array([...encodeUserData(digest), 0]),
  tooLong: new Uint8Array(65),
};

test.each(Object.entries(HOSTILE))('refused: %s', (_, bytes) => {
  expect(() => decodeUserData(bytes)).toThrow(Failure);
});
