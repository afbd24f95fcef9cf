/**
 * COSE_Sign1 (RFC 9052, section 4.2) as the Nitro Secure Module writes it, with ES384 (RFC 9053) and nothing else:
 *
 *     COSE_Sign1    = [ protected: bstr .cbor { 1: alg }, unprotected: {}, payload: bstr, signature: bstr .size 96 ]
 *     Sig_structure = [ "Signature1", protected, external_aad: h'', payload ]
 *
 * Untagged, definite, shortest: the envelope is not signed, so it has one form. Limits: document 20,480 bytes,
 * payload 16,384, protected header 16, signature 1,024 (its exact length is judged with the algorithm).
 */
import { decodeCbor, encodeCbor, isCborArray } from '../../enclave/encoding/cbor.ts';
import type { CborCode, CborLimits, CborValue } from '../../enclave/encoding/cbor.ts';
import { LIMITS } from '../../enclave/protocol/limits.ts';
import { Failure } from '../../policies/failure.ts';
import { malformed, refused } from './codes.ts';
import type { MalformedCode } from './codes.ts';

const MAX_PAYLOAD = 16_384;
const MAX_PROTECTED = 16;
const MAX_SIGNATURE = 1024;

/** The one row of the algorithm table. The message may name it; it never chooses it. */
const ES384 = { id: -35, name: 'ECDSA', hash: 'SHA-384', curve: 'P-384', signatureBytes: 96 } as const;

export interface CoseSign1 {
  readonly protected: Uint8Array;
  /** As the protected header claims it; judged by `verifyCoseSign1`. */
  readonly algorithm: number;
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
}

/** Splits the envelope; nothing is verified. All bytes are copies. */
export function parseCoseSign1(bytes: Uint8Array): CoseSign1 {
  const value = readCbor(bytes, { maxBytes: LIMITS.attestationBytes, maxDepth: 16, maxItems: 64 }, 'document');
  if (!isCborArray(value) || value.length !== 4) throw notCose('the document is not an array of four');
  const [header, unprotected, payload, signature] = value;
  if (!isBytes(header) || !isBytes(payload) || !isBytes(signature)) {
    throw notCose('protected header, payload and signature must be byte strings');
  }
  if (!(unprotected instanceof Map) || unprotected.size > 0) {
    throw malformed('attestation/unprotected-header', 'unprotected', 'the unprotected header must be an empty map');
  }
  if (payload.length > MAX_PAYLOAD || signature.length > MAX_SIGNATURE) {
    throw malformed('attestation/too-large', 'document', `the payload may have ${MAX_PAYLOAD} bytes, not more`);
  }
  return { protected: header, algorithm: algorithmOf(header), payload, signature };
}

function algorithmOf(header: Uint8Array): number {
  const value = readCbor(header, { maxBytes: MAX_PROTECTED, maxDepth: 8 }, 'protected header');
  const algorithm = value instanceof Map && value.size === 1 ? value.get(1) : undefined;
  if (typeof algorithm === 'number') return algorithm;
  const what = 'the protected header must hold the algorithm (1) and nothing else';
  throw malformed('attestation/protected-header', 'protected', what);
}

/** Imports a P-384 point (97 bytes, uncompressed) to verify with. Rejects where it is not on the curve. */
export function importEs384(point: Uint8Array): Promise<CryptoKey> {
  const algorithm = { name: ES384.name, namedCurve: ES384.curve };
  return crypto.subtle.importKey('raw', new Uint8Array(point), algorithm, false, ['verify']);
}

/** One ES384 signature, r || s of 48 bytes each, over `data`. */
export function verifyEs384(key: CryptoKey, signature: Uint8Array, data: Uint8Array): Promise<boolean> {
  const algorithm = { name: ES384.name, hash: ES384.hash };
  return crypto.subtle.verify(algorithm, key, new Uint8Array(signature), new Uint8Array(data));
}

/** Refuses any algorithm but ES384, and any signature that is not this key's over this payload. */
export async function verifyCoseSign1(cose: CoseSign1, key: CryptoKey): Promise<void> {
  if (cose.algorithm !== ES384.id) {
    const what = `the document claims COSE algorithm ${cose.algorithm}; only ES384 (${ES384.id}) is accepted`;
    throw refused('attestation/algorithm', 'protected', what);
  }
  const signed = encodeCbor(['Signature1', cose.protected, new Uint8Array(), cose.payload]);
  if (cose.signature.length !== ES384.signatureBytes || !(await verifyEs384(key, cose.signature, signed))) {
    throw refused('attestation/signature', 'signature', "the document's signature is not valid");
  }
}

const CODES: Readonly<Record<CborCode, MalformedCode>> = {
  'cbor/truncated': 'attestation/truncated',
  'cbor/trailing-bytes': 'attestation/trailing-bytes',
  'cbor/too-large': 'attestation/too-large',
  'cbor/duplicate-key': 'attestation/duplicate-key',
  'cbor/tag': 'attestation/tag',
  'cbor/too-many-items': 'attestation/encoding',
  'cbor/too-deep': 'attestation/encoding',
  'cbor/key-type': 'attestation/encoding',
  'cbor/simple-value': 'attestation/encoding',
  'cbor/float': 'attestation/encoding',
  'cbor/indefinite-length': 'attestation/encoding',
  'cbor/not-shortest': 'attestation/encoding',
  'cbor/text': 'attestation/encoding',
  'cbor/reserved': 'attestation/encoding',
  'cbor/not-encodable': 'attestation/encoding',
};

/** Decodes CBOR with this room's codes; `what` names the part in messages. */
export function readCbor(bytes: Uint8Array, limits: CborLimits, what: string): CborValue {
  try {
    return decodeCbor(bytes, limits);
  } catch (error) {
    if (error instanceof Failure && isCborCode(error.code)) {
      throw malformed(CODES[error.code], `${what}, ${error.where ?? 'start'}`, `${what}: ${error.message}`);
    }
    throw error;
  }
}

function isCborCode(code: string): code is CborCode {
  return Object.hasOwn(CODES, code);
}

function isBytes(value: CborValue | undefined): value is Uint8Array {
  return value instanceof Uint8Array;
}

function notCose(what: string): Failure {
  return malformed('attestation/not-cose-sign1', 'document', `not a COSE_Sign1: ${what}`);
}
