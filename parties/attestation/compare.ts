/**
 * Compares an authentic document with what the verifier expects, one check a field. Nothing here is about signatures:
 * `verify.ts` has seen to them before.
 */
import { constantTimeEqual } from '../../enclave/crypto/digest.ts';
import { toHex } from '../../enclave/encoding/hex.ts';
import { decodeUserData } from '../../enclave/protocol/user-data.ts';
import { Failure } from '../../policies/failure.ts';
import type { PolicyDigest } from '../../policies/model.ts';
import { refused } from './codes.ts';
import type { AttestationDocument } from './document.ts';
import { isNotChecked, isUnlessDebug, notChecked } from './expectation.ts';
import type { Expectation, NotChecked, PcrExpectation } from './expectation.ts';

/** One expectation that was left open: which (`PCR1`, `nonce`, `policyDigest`, `maxAge`), and the verifier's reason. */
export interface OpenExpectation {
  readonly what: string;
  readonly why: string;
}

/** Throws at the first field that is not as expected. */
export function compare(document: AttestationDocument, expectation: Expectation): void {
  demandProduction(document, expectation.allowDebug);
  comparePcrs(document, expectation.pcrs);
  compareNonce(document, expectation.nonce);
  comparePolicy(document, expectation.policyDigest);
  compareAge(document, expectation);
}

/** What nobody will look at: whatever the document says, or because this one says nothing there. */
export function openExpectations(
  { pcrs, nonce, policyDigest, maxAgeMs }: Expectation,
  document?: AttestationDocument,
): readonly OpenExpectation[] {
  const image: readonly (readonly [string, PcrExpectation])[] = isNotChecked(pcrs)
    ? IMAGE_PCRS.map((index) => [`${index}`, pcrs] as const)
    : Object.entries(pcrs);
  const found = (index: string, value: PcrExpectation): PcrExpectation =>
    document === undefined ? value : expectedOf(document, Number(index), value);
  const expected: readonly (readonly [string, object | string | number])[] = [
    ...image.map(([index, value]) => [`PCR${index}`, found(index, value)] as const),
    ['nonce', nonce],
    ['policyDigest', policyDigest],
    ['maxAge', maxAgeMs],
  ];
  return expected.flatMap(([what, value]) => (isNotChecked(value) ? [{ what, why: value.notChecked }] : []));
}

/** The PCRs that say what runs, and are zeros where the enclave was started in debug mode. */
const IMAGE_PCRS = [0, 1, 2] as const;

/** True where the console is open to the host. Debug documents are signed like any other: only the zeros tell. */
export function isDebug(document: AttestationDocument): boolean {
  return IMAGE_PCRS.some((index) => document.pcrs.get(index)?.every((byte) => byte === 0) === true);
}

const DEBUG_ZEROS = notChecked('the enclave runs in debug mode: zeros say nothing about what runs');

/** What is expected of this register of this document: of pins that allow debug mode nothing, where it holds its zeros. */
function expectedOf(document: AttestationDocument, index: number, expected: PcrExpectation): string | NotChecked {
  if (!isUnlessDebug(expected)) return expected;
  const zero = document.pcrs.get(index)?.every((byte) => byte === 0) === true;
  return zero && isDebug(document) ? DEBUG_ZEROS : expected.unlessDebug;
}

function demandProduction(document: AttestationDocument, allowDebug: boolean): void {
  for (const index of IMAGE_PCRS) pcrOf(document, index);
  if (allowDebug || !isDebug(document)) return;
  throw refused(
    'attestation/debug',
    'payload.pcrs',
    'the enclave runs in debug mode: its PCRs are zeros, and its host can read its console',
    'send it no data but test data (--test-data); to look at such a document all the same, --allow-debug',
  );
}

function pcrOf(document: AttestationDocument, index: number): Uint8Array {
  const value = document.pcrs.get(index);
  if (value !== undefined) return value;
  throw refused('attestation/pcr-missing', `payload.pcrs.${index}`, `the document holds no PCR${index}`);
}

function comparePcrs(document: AttestationDocument, expected: Expectation['pcrs']): void {
  if (isNotChecked(expected)) return;
  const entries: readonly (readonly [string, PcrExpectation])[] = Object.entries(expected);
  for (const [index, stated] of entries) {
    const value = expectedOf(document, Number(index), stated);
    if (isNotChecked(value)) continue;
    const found = toHex(pcrOf(document, Number(index)));
    if (found === value.toLowerCase()) continue;
    const what = `PCR${index} is ${found}, expected ${value.toLowerCase()}`;
    throw refused(
      'attestation/pcr-mismatch',
      `payload.pcrs.${index}`,
      what,
      'another image runs there: do not trust it',
    );
  }
}

/** The nonce is what makes an answer fresh: a recorded document carries another. */
function compareNonce({ nonce }: AttestationDocument, expected: Expectation['nonce']): void {
  if (isNotChecked(expected)) return;
  if (nonce === undefined) throw refused('attestation/nonce-missing', 'payload.nonce', 'the document holds no nonce');
  if (constantTimeEqual(nonce, expected)) return;
  throw refused('attestation/nonce-mismatch', 'payload.nonce', 'the document was made for another nonce');
}

function comparePolicy(document: AttestationDocument, expected: Expectation['policyDigest']): void {
  if (isNotChecked(expected)) return;
  const found = policyDigestOf(document);
  if (found === expected) return;
  const what = `the enclave carries the policy ${found}, expected ${expected}`;
  throw refused('attestation/policy-mismatch', 'payload.user_data', what);
}

function policyDigestOf({ userData }: AttestationDocument): PolicyDigest {
  try {
    return decodeUserData(userData ?? new Uint8Array()).policyDigest;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const what = 'the document names no policy: it is not of an Accord enclave';
    throw refused('attestation/user-data', 'payload.user_data', what);
  }
}

function compareAge({ timestamp }: AttestationDocument, { at, maxAgeMs, skewMs = 0 }: Expectation): void {
  if (isNotChecked(maxAgeMs)) return;
  const age = at.getTime() - timestamp;
  if (age < -skewMs) {
    const what = `the document was made ${-age} ms after the time it is judged at`;
    throw refused('attestation/from-the-future', 'payload.timestamp', what, 'check the clock');
  }
  if (age <= maxAgeMs + skewMs) return;
  const what = `the document is ${age} ms old; at most ${maxAgeMs} ms are allowed`;
  throw refused('attestation/stale', 'payload.timestamp', what, 'ask for a fresh document');
}
