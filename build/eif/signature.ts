/**
 * The signature section, of which PCR8 needs the certificate:
 *
 *     [ { signing_certificate: [* 0..255], signature: [* 0..255] } ]        // CBOR, at most 32 KiB
 *
 * Both values are arrays of integers, not byte strings. The certificate is PEM; the signature is a COSE_Sign1 over PCR0,
 * which the hypervisor checks (`pcr-signature.ts`). PCR8 says who signed; only a verified document that carries it says that the check was made.
 */
import { X509Certificate } from 'node:crypto';
import { Failure } from '../../policies/failure.ts';
import { fromBase64 } from '../../enclave/encoding/base64url.ts';
import { decodeCbor, isCborArray, mapReader } from '../../enclave/encoding/cbor.ts';
import type { CborValue } from '../../enclave/encoding/cbor.ts';
import type { EifCode } from './format.ts';
import { SECTION_RULES } from './format.ts';

const PEM = /^-----BEGIN CERTIFICATE-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END CERTIFICATE-----[\r\n]*$/;

export interface EifSignature {
  /** DER of the signing certificate. */
  readonly certificate: Uint8Array;
  /** COSE_Sign1, not verified. */
  readonly signature: Uint8Array;
}

/** The one signature that counts: the published format allows more, and looks at the first alone. */
export function parseSignature(content: Uint8Array): EifSignature {
  try {
    const { maxBytes } = SECTION_RULES.signature;
    const value = decodeCbor(content, { maxBytes, maxDepth: 4, maxItems: maxBytes, foreign: true });
    if (!isCborArray(value) || value.length !== 1) throw new Error('it is not an array of one signature');
    const map = mapReader(value[0] ?? null, 'eif/signature', 'signature');
    const certificate = fromPem(octets(map.array('signing_certificate'), 'signing_certificate'));
    const signature = octets(map.array('signature'), 'signature');
    map.done();
    return { certificate, signature };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Failure<EifCode>('malformed', 'eif/signature', `the signature section cannot be read: ${why}`, {
      hint: 'sign the image again, or build it without a signature',
      cause: error,
    });
  }
}

function octets(values: readonly CborValue[], name: string): Uint8Array {
  return Uint8Array.from(values, (value) => {
    if (typeof value !== 'number' || value < 0 || value > 255)
      throw new Error(`${name} holds something that is no byte`);
    return value;
  });
}

/** Exactly one certificate; trailing text or a second one would be measured by nobody. */
function fromPem(bytes: Uint8Array): Uint8Array {
  const body = PEM.exec(new TextDecoder('utf-8', { fatal: true }).decode(bytes))?.[1];
  if (body === undefined) throw new Error('signing_certificate is not one certificate in PEM');
  const der = fromBase64(body.replaceAll(/[\r\n]/g, ''), 'signing_certificate');
  const certificate = new X509Certificate(der);
  if (!certificate.raw.equals(der)) throw new Error('signing_certificate has bytes behind the certificate');
  demandReadable(certificate);
  return der;
}

/** Node reads key and dates when they are asked for: whoever asks later need not expect that it cannot. */
function demandReadable({ publicKey, validFrom, validTo }: X509Certificate): void {
  if (publicKey.type !== 'public') throw new Error('signing_certificate holds no public key');
  if ([validFrom, validTo].some((date) => Number.isNaN(Date.parse(date)))) {
    throw new Error('signing_certificate is valid from or to a time that does not exist');
  }
}
