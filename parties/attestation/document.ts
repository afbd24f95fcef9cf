/**
 * The payload of an attestation document, to the limits that AWS publishes (attestation_process.md of the Nitro
 * Enclaves NSM API), where its text and its CDDL differ to the wider one, which genuine documents need:
 *
 *     payload = {
 *       module_id:   tstr .size (1..1024),
 *       digest:      "SHA384",
 *       timestamp:   uint,                                   ; milliseconds since 1970
 *       pcrs:        { 1*32 (0..31) => bstr .size (32 / 48 / 64) },
 *       certificate: bstr .size (1..1024),                   ; DER, the leaf
 *       cabundle:    [ 1*16 bstr .size (1..1024) ],          ; DER, root first
 *       public_key:  bstr .size (1..1024) / null,            ; absent optionals are null; absence is accepted too
 *       user_data:   bstr .size (0..1024) / null,
 *       nonce:       bstr .size (0..1024) / null
 *     }
 *
 * AWS changed the payload from definite to indefinite length in 2025; its encoder is not ours to choose, and what it
 * wrote is signed as it stands, so both are read.
 */
import { mapReader } from '../../enclave/encoding/cbor.ts';
import type { CborValue, MapFaultCodes, MapReader } from '../../enclave/encoding/cbor.ts';
import { malformed } from './codes.ts';
import type { MalformedCode } from './codes.ts';
import { parseCoseSign1, readCbor } from './cose.ts';
import type { CoseSign1 } from './cose.ts';

const MAX_PAYLOAD = 16_384;
const MAX_FIELD = 1024;
const MAX_BUNDLE = 16;
const PCR_SIZES: readonly number[] = [32, 48, 64];
/** The last millisecond that has a four-digit year: every accepted timestamp can be printed. */
const MAX_TIMESTAMP = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

declare const parsed: unique symbol;

/** Parsed, not trusted: what the document claims. Made by `parseAttestation` alone. */
export interface AttestationDocument {
  readonly [parsed]: true;
  readonly moduleId: string;
  /** Milliseconds since 1970, by the NSM's clock. */
  readonly timestamp: number;
  /** Locked PCRs by index, 0 to 31. */
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
  /** DER of the leaf, which signed the document. */
  readonly certificate: Uint8Array;
  /** DER of the chain above the leaf, root first. */
  readonly cabundle: readonly Uint8Array[];
  readonly publicKey: Uint8Array | undefined;
  readonly userData: Uint8Array | undefined;
  readonly nonce: Uint8Array | undefined;
  readonly cose: CoseSign1;
}

const CODES: MapFaultCodes<MalformedCode> = {
  type: 'attestation/field-type',
  missing: 'attestation/missing-field',
  size: 'attestation/field-size',
  unknown: 'attestation/unknown-field',
};

/**
 * Reads a document as `/dev/nsm` gives it (untagged COSE_Sign1). Nothing in the result refers to `bytes`.
 * Throws `Failure<AttestationCode>` of kind `malformed`.
 */
export function parseAttestation(bytes: Uint8Array): AttestationDocument {
  const cose = parseCoseSign1(bytes);
  const limits = { maxBytes: MAX_PAYLOAD, maxDepth: 8, maxItems: 256, foreign: true };
  const map = mapReader(readCbor(cose.payload, limits, 'payload'), CODES, 'payload');
  if (map.text('digest', { max: MAX_FIELD }) !== 'SHA384') {
    throw malformed('attestation/digest', 'payload.digest', 'payload.digest must be SHA384');
  }
  const document: Omit<AttestationDocument, typeof parsed> = {
    moduleId: map.text('module_id', { min: 1, max: MAX_FIELD }),
    timestamp: map.uint('timestamp', { min: 1, max: MAX_TIMESTAMP }),
    pcrs: pcrsOf(map.map('pcrs')),
    certificate: map.bytes('certificate', { min: 1, max: MAX_FIELD }),
    cabundle: map.array('cabundle', { min: 1, max: MAX_BUNDLE }).map(bundled),
    publicKey: map.optionalBytes('public_key', { min: 1, max: MAX_FIELD }, true),
    userData: map.optionalBytes('user_data', { max: MAX_FIELD }, true),
    nonce: map.optionalBytes('nonce', { max: MAX_FIELD }, true),
    cose,
  };
  map.done();
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the one place that makes this brand
  return document as AttestationDocument;
}

function pcrsOf(map: MapReader): ReadonlyMap<number, Uint8Array> {
  const entries = map.entries();
  const pcrs = new Map<number, Uint8Array>();
  for (const [index, value] of entries) {
    const where = `payload.pcrs.${index}`;
    if (typeof index !== 'number' || index < 0 || index > 31) {
      throw malformed('attestation/field-size', where, `${where} is not a PCR index from 0 to 31`);
    }
    if (!(value instanceof Uint8Array))
      throw malformed('attestation/field-type', where, `${where} is not a byte string`);
    if (!PCR_SIZES.includes(value.length)) {
      throw malformed('attestation/field-size', where, `${where} has ${value.length} bytes, not 32, 48 or 64`);
    }
    pcrs.set(index, value);
  }
  if (pcrs.size === 0) throw malformed('attestation/field-size', 'payload.pcrs', 'payload.pcrs is empty');
  return pcrs;
}

function bundled(value: CborValue, position: number): Uint8Array {
  const where = `payload.cabundle[${position}]`;
  if (!(value instanceof Uint8Array)) throw malformed('attestation/field-type', where, `${where} is not a byte string`);
  if (value.length >= 1 && value.length <= MAX_FIELD) return value;
  throw malformed('attestation/field-size', where, `${where} has ${value.length} bytes; it may have 1 to ${MAX_FIELD}`);
}
