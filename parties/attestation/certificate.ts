/**
 * X.509 version 3 certificates (RFC 5280), as far as a chain of P-384 keys and ES384 signatures needs them:
 *
 *     Certificate = { tbsCertificate, signatureAlgorithm, signatureValue BIT STRING { r INTEGER, s INTEGER } }
 *     tbs         = { [0] version 3, serial, signature, issuer, validity, subject, spki, [3] extensions }
 *     read        = basicConstraints, keyUsage; other extensions must not be critical
 */
import { DER, context, readBits, readBoolean, readDer, readOid, readSmall, readTime, readUnsigned, within } from './der.ts'; // prettier-ignore
import type { DerElement } from './der.ts';
import { Failure } from '../../policies/failure.ts';
import { malformed, refused } from './codes.ts';

const ECDSA_WITH_SHA384 = '1.2.840.10045.4.3.3';
const BASIC_CONSTRAINTS = '2.5.29.19';
const KEY_USAGE = '2.5.29.15';

/** SubjectPublicKeyInfo of every P-384 key up to its uncompressed point: id-ecPublicKey, secp384r1, BIT STRING 04. */
const P384_SPKI = Uint8Array.from(
  [0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00, 0x04], // prettier-ignore
);
const POINT_BYTES = 97;
const HALF_SIGNATURE = 48;

export interface Certificate {
  /** Where it stood, for messages: `certificate`, `cabundle[2]`. */
  readonly where: string;
  /** The whole certificate, DER. */
  readonly bytes: Uint8Array;
  /** The signed part, as it stands. */
  readonly tbs: Uint8Array;
  /** Names as DER. */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  /** Milliseconds since 1970, both inclusive. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** Uncompressed P-384 point, 97 bytes. */
  readonly point: Uint8Array;
  /** r || s, 96 bytes; undefined where the signature's own encoding is broken, so that no key can have made it. */
  readonly signature: Uint8Array | undefined;
  readonly ca: boolean;
  /** How many CA certificates may follow below, where that is limited. */
  readonly pathLength: number | undefined;
  readonly keyUsage: { readonly digitalSignature: boolean; readonly keyCertSign: boolean } | undefined;
}

/**
 * Reads one certificate. Throws `attestation/certificate-malformed`, or `…-algorithm`, `…-key` and `…-extension` for a
 * well-formed one that uses what we do not accept.
 */
export function parseCertificate(bytes: Uint8Array, where: string): Certificate {
  try {
    return read(bytes, where);
  } catch (error) {
    if (!(error instanceof Failure) || !error.code.startsWith('der/')) throw error;
    throw malformed('attestation/certificate-malformed', where, `${where} is not a certificate: ${error.message}`);
  }
}

function read(bytes: Uint8Array, where: string): Certificate {
  const outer = within(readDer(bytes, DER.sequence));
  const signed = outer.next(DER.sequence);
  const algorithm = outer.next(DER.sequence);
  const signature = readBits(outer.next(DER.bitString));
  outer.done();

  const tbs = within(signed);
  const version = within(tbs.next(context(0, true)));
  if (readSmall(version.next()) !== 2) throw broken(where, 'it is not of version 3');
  version.done();
  readSerial(tbs.next(DER.integer), where);
  // The signed copy of the algorithm and the unsigned one must agree (RFC 5280, 4.1.1.2), and be the one we accept.
  for (const copy of [tbs.next(DER.sequence), algorithm]) demandEs384(copy, where);
  const issuer = tbs.next(DER.sequence).bytes;
  const validity = within(tbs.next(DER.sequence));
  const notBefore = readTime(validity.next());
  const notAfter = readTime(validity.next());
  validity.done();
  const subject = tbs.next(DER.sequence).bytes;
  const point = readPoint(tbs.next(DER.sequence), where);
  const extensions = readExtensions(tbs.next(context(3, true)), where);
  tbs.done();
  return {
    where,
    bytes,
    tbs: signed.bytes,
    issuer,
    subject,
    notBefore,
    notAfter,
    point,
    signature: signature.unused === 0 ? readSignature(signature.bytes) : undefined,
    ...extensions,
  };
}

function readSerial(element: DerElement, where: string): void {
  if (element.content.length < 1 || element.content.length > 21) throw broken(where, 'its serial number is too long');
}

function demandEs384(element: DerElement, where: string): void {
  const algorithm = within(element);
  const oid = readOid(algorithm.next(DER.oid));
  if (oid === ECDSA_WITH_SHA384 && algorithm.atEnd) return;
  const what = `${where} is signed with ${oid}; only ecdsa-with-SHA384 is accepted`;
  throw refused('attestation/certificate-algorithm', where, what);
}

function readPoint(spki: DerElement, where: string): Uint8Array {
  const { bytes } = spki;
  const point = bytes.subarray(-POINT_BYTES);
  if (bytes.length === P384_SPKI.length - 1 + POINT_BYTES && P384_SPKI.every((byte, at) => bytes[at] === byte)) {
    return point;
  }
  throw refused('attestation/certificate-key', where, `${where} holds another key than P-384`);
}

type Extensions = Pick<Certificate, 'ca' | 'pathLength' | 'keyUsage'>;

function readExtensions(element: DerElement, where: string): Extensions {
  const list = within(element);
  const extensions = within(list.next(DER.sequence));
  list.done();
  const seen = new Set<string>();
  let found: Extensions = { ca: false, pathLength: undefined, keyUsage: undefined };
  while (!extensions.atEnd) {
    const extension = within(extensions.next(DER.sequence));
    const oid = readOid(extension.next(DER.oid));
    const flag = extension.optional(DER.boolean);
    const value = extension.next(DER.octetString).content;
    extension.done();
    const critical = flag !== undefined && readBoolean(flag);
    if (seen.has(oid)) throw broken(where, `the extension ${oid} stands twice`);
    seen.add(oid);
    if (oid === BASIC_CONSTRAINTS) {
      found = { ...found, ...readBasicConstraints(value) };
    } else if (oid === KEY_USAGE) {
      found = { ...found, keyUsage: readKeyUsage(value) };
    } else if (critical) {
      const what = `${where} has a critical extension that is not understood (${oid})`;
      throw refused('attestation/certificate-extension', where, what);
    }
  }
  return found;
}

function readBasicConstraints(value: Uint8Array): Pick<Certificate, 'ca' | 'pathLength'> {
  const constraints = within(readDer(value, DER.sequence));
  const flag = constraints.optional(DER.boolean);
  const limit = constraints.optional(DER.integer);
  constraints.done();
  return {
    ca: flag !== undefined && readBoolean(flag),
    pathLength: limit === undefined ? undefined : readSmall(limit),
  };
}

/** Bit 0 (the highest) is digitalSignature, bit 5 keyCertSign (RFC 5280, 4.2.1.3). */
function readKeyUsage(value: Uint8Array): Certificate['keyUsage'] {
  const [first = 0] = readBits(readDer(value, DER.bitString)).bytes;
  return { digitalSignature: (first & 0x80) !== 0, keyCertSign: (first & 0x04) !== 0 };
}

/** ECDSA-Sig-Value to r || s. What cannot be read is no signature, which is a verdict and not a fault of format. */
function readSignature(bytes: Uint8Array): Uint8Array | undefined {
  const raw = new Uint8Array(2 * HALF_SIGNATURE);
  try {
    const halves = within(readDer(bytes, DER.sequence));
    for (const end of [HALF_SIGNATURE, 2 * HALF_SIGNATURE]) {
      const half = readUnsigned(halves.next(DER.integer));
      if (half.length > HALF_SIGNATURE) return undefined;
      raw.set(half, end - half.length);
    }
    halves.done();
  } catch (error) {
    if (error instanceof Failure) return undefined;
    throw error;
  }
  return raw;
}

function broken(where: string, what: string): Failure {
  return malformed(
    'attestation/certificate-malformed',
    where,
    `${where} is not a certificate that is accepted: ${what}`,
  );
}
