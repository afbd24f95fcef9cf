/**
 * What a verifier expects of an attestation (RFC 9334: reference values). Every expectation is stated: what is not to
 * be checked is written as `notChecked('why')`, and every report repeats it. An absent field never means "any".
 */
import { sha256 } from '../../enclave/crypto/digest.ts';
import { fromHex, toHex } from '../../enclave/encoding/hex.ts';
import { Failure } from '../../policies/failure.ts';
import type { PolicyDigest } from '../../policies/model.ts';
import type { AttestationCode } from './codes.ts';

export interface NotChecked {
  readonly notChecked: string;
}

/** Leaves one expectation open, and says why. */
export function notChecked(why: string): NotChecked {
  return { notChecked: why };
}

export function isUnlessDebug(expected: object | string): expected is UnlessDebug {
  return typeof expected === 'object' && 'unlessDebug' in expected;
}

export function isNotChecked(expected: object | string | number): expected is NotChecked {
  return typeof expected === 'object' && 'notChecked' in expected;
}

/** A certificate that a chain may start from, pinned by the SHA-256 (lower-case hex) of its DER. */
export interface Root {
  /** Documents under a `local` root say nothing about Nitro hardware; every report says so. */
  readonly kind: 'aws' | 'local';
  readonly sha256: string;
}

/** A root of one's own, named explicitly, as a policy's `trust` names it. */
export function localRoot(sha256Hex: string): Root {
  if (fromHex(sha256Hex, 'root').length !== 32) throw impossible('root', 'a root is pinned by a SHA-256 of 32 bytes');
  return { kind: 'local', sha256: sha256Hex.toLowerCase() };
}

/** The same, from the root certificate's DER. */
export async function localRootOf(der: Uint8Array): Promise<Root> {
  return localRoot(toHex(await sha256(der)));
}

/** This value or, in an enclave in debug mode that the verifier allows, the zeros that say nothing. */
export interface UnlessDebug {
  readonly unlessDebug: string;
}

export type PcrExpectation = string | NotChecked | UnlessDebug;

/** Hex of each PCR. The three that say what runs must each be stated, or left open by name. */
export interface PcrExpectations {
  readonly 0: PcrExpectation;
  readonly 1: PcrExpectation;
  readonly 2: PcrExpectation;
  readonly [index: number]: PcrExpectation;
}

export interface Expectation {
  /** Any of these; at least one. */
  readonly roots: readonly Root[];
  /** The time to judge at: now for live use, the document's own for replay. */
  readonly at: Date;
  readonly pcrs: PcrExpectations | NotChecked;
  readonly nonce: Uint8Array | NotChecked;
  /** The digest that `user_data` must carry (`enclave/protocol/user-data.ts`). */
  readonly policyDigest: PolicyDigest | NotChecked;
  /** How old the document may be at `at`. */
  readonly maxAgeMs: number | NotChecked;
  /** Accepts zeros in PCR0, PCR1 or PCR2: an enclave whose console is open to its host. */
  readonly allowDebug: boolean;
  /** How far the verifier's clock may be off, in milliseconds, where times are compared. Default 0. */
  readonly skewMs?: number;
}

const PCR_HEX = /^(?:[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$/i;

/** Refuses expectations that no document could meet by their form, so that a slip is not taken for a verdict. */
export function demandPossible(expectation: Expectation): void {
  const { roots, at, pcrs, maxAgeMs, skewMs = 0 } = expectation;
  if (roots.length === 0) throw impossible('roots', 'no root is trusted; name at least one');
  if (Number.isNaN(at.getTime())) throw impossible('at', 'the time to judge at is not a date');
  if (!(skewMs >= 0)) throw impossible('skewMs', 'the allowed difference of clocks is negative');
  if (!isNotChecked(maxAgeMs) && !(maxAgeMs >= 0)) throw impossible('maxAgeMs', 'the maximum age is negative');
  for (const [index, expected] of isNotChecked(pcrs) ? [] : Object.entries(pcrs)) {
    if (!/^(?:\d|[12]\d|3[01])$/.test(index))
      throw impossible(`PCR${index}`, `there is no PCR${index}; they run from 0 to 31`);
    const hex = isUnlessDebug(expected) ? expected.unlessDebug : expected;
    if (typeof hex === 'string' && !PCR_HEX.test(hex)) {
      throw impossible(`PCR${index}`, `the expected PCR${index} is not a digest of 32, 48 or 64 bytes in hexadecimal`);
    }
  }
}

function impossible(where: string, what: string): Failure<AttestationCode> {
  return new Failure('usage', 'attestation/expectation', what, { where });
}
