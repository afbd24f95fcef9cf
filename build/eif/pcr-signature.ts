/**
 * What the owner of an image signs: its PCR0, as the AWS tools write and check it (aws-nitro-enclaves-image-format,
 * aws-nitro-enclaves-cose). CBOR, RFC 9052 and RFC 9053:
 *
 *     COSE_Sign1    = [ protected: bstr .cbor { 1: alg }, unprotected: {}, payload: bstr, signature: r || s ]   // untagged
 *     Sig_structure = [ "Signature1", protected, external_aad: h'', payload ]
 *     payload       = .cbor { register_index: 0, register_value: [48* 0..255] }         // an array of integers
 *
 * The curve of the key decides the algorithm, and the message does not choose it.
 */
import { sign, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { fromHex, toHex } from '../../enclave/encoding/hex.ts';
import { decodeCbor, encodeCbor, isCborArray } from '../../enclave/encoding/cbor.ts';
import type { CborValue } from '../../enclave/encoding/cbor.ts';
import { SECTION_RULES } from './format.ts';

/** One row an algorithm; `curve` as OpenSSL names it, `id` from the COSE registry. */
const ALGORITHMS = [
  { id: -7, name: 'ES256', curve: 'prime256v1', hash: 'sha256' },
  { id: -35, name: 'ES384', curve: 'secp384r1', hash: 'sha384' },
  { id: -36, name: 'ES512', curve: 'secp521r1', hash: 'sha512' },
] as const;

type Algorithm = (typeof ALGORITHMS)[number];

const ENCODING = 'ieee-p1363';
/** CBOR tag 18, one byte: readers of the format take it too. */
const COSE_SIGN1_TAG = 0xd2;

/** The algorithm of a key; undefined for a key of another kind or curve. */
export function algorithmOf(key: KeyObject): Algorithm | undefined {
  if (key.asymmetricKeyType !== 'ec') return undefined;
  return ALGORITHMS.find(({ curve }) => curve === key.asymmetricKeyDetails?.namedCurve);
}

/** `pcr0`: hex, 48 bytes. The key is on one of the curves above. */
export function signPcr0(pcr0: string, key: KeyObject, { id, hash }: Algorithm): Uint8Array {
  const header = encodeCbor(new Map([[1, id]]));
  const payload = payloadOf(pcr0);
  const signature = sign(hash, signed(header, payload), { key, dsaEncoding: ENCODING });
  return encodeCbor([header, new Map<string, CborValue>(), payload, new Uint8Array(signature)]);
}

/** Why this is not a signature of `pcr0` by `key`; undefined where it is one. */
export function faultOfSignature(cose: Uint8Array, pcr0: string, key: KeyObject): string | undefined {
  const algorithm = algorithmOf(key);
  if (algorithm === undefined) return 'the key of the certificate is not one on P-256, P-384 or P-521';
  const parts = partsOf(cose);
  if (parts === undefined) return 'it is not a COSE_Sign1';
  const { header, payload, signature } = parts;
  if (!Buffer.from(header).equals(encodeCbor(new Map([[1, algorithm.id]])))) {
    return `its algorithm is not ${algorithm.name}, which the key of the certificate has`;
  }
  const data = signed(header, payload);
  if (!verify(algorithm.hash, data, { key, dsaEncoding: ENCODING }, signature)) {
    return 'the key of the certificate did not make it';
  }
  if (Buffer.from(payload).equals(payloadOf(pcr0))) return undefined;
  const other = registerIn(payload);
  return `it was made over ${other === undefined ? 'something else' : `the PCR0 ${other}`}, and this image has another`;
}

function payloadOf(pcr0: string): Uint8Array {
  const value = [...fromHex(pcr0, 'PCR0')];
  return encodeCbor(
    new Map<string, CborValue>([
      ['register_index', 0],
      ['register_value', value],
    ]),
  );
}

const signed = (header: Uint8Array, payload: Uint8Array): Uint8Array =>
  encodeCbor(['Signature1', header, new Uint8Array(), payload]);

interface Parts {
  readonly header: Uint8Array;
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
}

function partsOf(cose: Uint8Array): Parts | undefined {
  const value = decoded(cose[0] === COSE_SIGN1_TAG ? cose.subarray(1) : cose);
  if (!isCborArray(value) || value.length !== 4) return undefined;
  const [header, unprotected, payload, signature] = value;
  if (!(header instanceof Uint8Array && payload instanceof Uint8Array && signature instanceof Uint8Array)) {
    return undefined;
  }
  return unprotected instanceof Map ? { header, payload, signature } : undefined;
}

/** The PCR0 that was signed, for the message alone. */
function registerIn(payload: Uint8Array): string | undefined {
  const value = decoded(payload);
  const register = value instanceof Map ? value.get('register_value') : undefined;
  if (register === undefined || !isCborArray(register) || register.length !== 48) return undefined;
  const bytes = register.filter((byte) => typeof byte === 'number');
  return bytes.length === 48 && bytes.every((byte) => byte >= 0 && byte <= 255)
    ? toHex(Uint8Array.from(bytes))
    : undefined;
}

function decoded(bytes: Uint8Array): CborValue {
  try {
    return decodeCbor(bytes, { maxBytes: SECTION_RULES.signature.maxBytes, maxDepth: 4, foreign: true });
  } catch {
    return null;
  }
}
