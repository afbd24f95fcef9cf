/**
 * Signs an image: the signature section for a PCR0, a private key and its certificate. The signature is ECDSA with a
 * random number in it, so two signatures of one image differ; PCR8, which is of the certificate, does not.
 */
import { X509Certificate, createPrivateKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { encodeCbor } from '../../enclave/encoding/cbor.ts';
import type { CborValue } from '../../enclave/encoding/cbor.ts';
import { Failure } from '../../policies/failure.ts';
import { certificatePcr } from '../measure/pcr.ts';
import { SECTION_RULES } from './format.ts';
import { algorithmOf, signPcr0 } from './pcr-signature.ts';
import { validity } from './verify-signature.ts';

export type SignCode =
  | 'sign/key' // not one private key in PEM, or not on a curve that the format knows
  | 'sign/certificate' // not one certificate in PEM
  | 'sign/mismatch' // the certificate is of another key
  | 'sign/expired' // or not valid yet
  | 'sign/too-large';

export interface SignatureSection {
  /** The content of the section. */
  readonly content: Uint8Array;
  /** Lower-case hex: what a signed image attests beside its other registers. */
  readonly PCR8: string;
}

const CURVES_HINT = 'openssl ecparam -name secp384r1 -genkey -noout -out key.pem makes one';
const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/**
 * `pcr0`: hex, 48 bytes. The certificate is written as it is measured: one, without text around it. Throws
 * `Failure<SignCode>`: `malformed` for what cannot be read, `refused` for a certificate that does not fit or has expired.
 */
export function signatureSection(pcr0: string, keyPem: string, certificatePem: string, now: Date): SignatureSection {
  const key = readKey(keyPem);
  const algorithm = algorithmOf(key);
  if (algorithm === undefined) {
    const curve = key.asymmetricKeyDetails?.namedCurve;
    const found = curve ?? key.asymmetricKeyType?.toUpperCase() ?? 'unknown';
    throw fault(
      'malformed',
      'sign/key',
      `the signing key is of the kind ${found}; it must be on P-256, P-384 or P-521`,
      CURVES_HINT,
    );
  }
  const certificate = readCertificate(certificatePem);
  if (!certificate.checkPrivateKey(key)) {
    throw fault(
      'refused',
      'sign/mismatch',
      'the certificate is of another key than the one that would sign',
      'give the key that the certificate was made for',
    );
  }
  demandValid(certificate, now);
  const entry = new Map<string, CborValue>([
    ['signing_certificate', [...new TextEncoder().encode(certificate.toString())]],
    ['signature', [...signPcr0(pcr0, key, algorithm)]],
  ]);
  const content = encodeCbor([entry]);
  const { maxBytes } = SECTION_RULES.signature;
  if (content.length > maxBytes) {
    throw fault(
      'malformed',
      'sign/too-large',
      `the signature section would have ${content.length} bytes; the format takes ${maxBytes}`,
      'use a smaller certificate',
    );
  }
  return { content, PCR8: certificatePcr(new Uint8Array(certificate.raw)) };
}

function readKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    const locked = pem.includes('ENCRYPTED');
    throw fault(
      'malformed',
      'sign/key',
      locked ? 'the signing key is locked with a passphrase' : 'the signing key is not a private key in PEM',
      locked ? 'unlock it first: openssl pkey -in locked.pem -out key.pem' : CURVES_HINT,
      cause,
    );
  }
}

function readCertificate(pem: string): X509Certificate {
  const [found, ...more] = pem.match(PEM_CERTIFICATE) ?? [];
  const one = 'give one certificate in PEM, the one of the signing key';
  if (found === undefined) throw fault('malformed', 'sign/certificate', 'the file holds no certificate in PEM', one);
  if (more.length > 0) {
    throw fault(
      'malformed',
      'sign/certificate',
      `the file holds ${more.length + 1} certificates; only one is measured`,
      one,
    );
  }
  try {
    return new X509Certificate(found);
  } catch (cause) {
    throw fault('malformed', 'sign/certificate', 'the certificate cannot be read', one, cause);
  }
}

function demandValid(certificate: X509Certificate, now: Date): void {
  const { notBefore, notAfter, when } = validity(certificate, now);
  if (when === 'valid') return;
  const day = (when === 'expired' ? notAfter : notBefore).toISOString();
  throw fault(
    'refused',
    'sign/expired',
    when === 'expired'
      ? `the signing certificate expired at ${day}`
      : `the signing certificate is valid from ${day} on`,
    'renew the certificate for the same key; an image signed by one that is not valid may not start',
  );
}

function fault(
  kind: 'malformed' | 'refused',
  code: SignCode,
  message: string,
  hint: string,
  cause?: unknown,
): Failure<SignCode> {
  return new Failure(kind, code, message, { hint, ...(cause === undefined ? {} : { cause }) });
}
