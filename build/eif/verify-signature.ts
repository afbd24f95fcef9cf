/** Checks the signature of an image against its own PCR0. Whether the signer is one to trust is for the reader to say. */
import { X509Certificate } from 'node:crypto';
import { withFileSource } from '../byte-source.ts';
import { createMeasurement } from '../measure/pcr.ts';
import type { Pcrs } from '../measure/pcr.ts';
import { faultOfSignature } from './pcr-signature.ts';
import { scanEif } from './read.ts';
import type { ScanOptions } from './read.ts';
import { parseSignature } from './signature.ts';

export interface SignatureVerdict {
  /** The key of the certificate in the image signed the PCR0 that the image has. */
  readonly valid: boolean;
  /** Why not. */
  readonly fault?: string;
  /** The certificate's subject, as it says itself, one line. */
  readonly signer: string;
  /** ISO 8601. */
  readonly notBefore: string;
  readonly notAfter: string;
  readonly when: Validity['when'];
}

export interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly when: 'valid' | 'expired' | 'not-yet-valid';
}

export function validity(certificate: X509Certificate, now: Date): Validity {
  const notBefore = new Date(certificate.validFrom);
  const notAfter = new Date(certificate.validTo);
  return { notBefore, notAfter, when: now > notAfter ? 'expired' : now < notBefore ? 'not-yet-valid' : 'valid' };
}

/** `section`: the content of the signature section. Throws `eif/signature` for one that cannot be read. */
export function checkSignature(section: Uint8Array, pcr0: string, now: Date): SignatureVerdict {
  const { certificate: der, signature } = parseSignature(section);
  const certificate = new X509Certificate(der);
  const { notBefore, notAfter, when } = validity(certificate, now);
  const fault = faultOfSignature(signature, pcr0, certificate.publicKey);
  return {
    valid: fault === undefined,
    ...(fault === undefined ? {} : { fault }),
    signer: certificate.subject.split('\n').join(', '),
    notBefore: notBefore.toISOString(),
    notAfter: notAfter.toISOString(),
    when,
  };
}

export interface Measured {
  readonly pcrs: Pcrs;
  /** Of a signed image. */
  readonly signature: SignatureVerdict | undefined;
}

/** The PCRs of a file and the verdict on its signature, in one pass. Throws as `measureEif` does. */
export function measureSigned(path: string, now: Date, options: ScanOptions = {}): Promise<Measured> {
  return withFileSource(path, async (source) => {
    const measurement = createMeasurement();
    const section: Uint8Array[] = [];
    await scanEif(
      source,
      (piece, { kind }, index) => {
        measurement.update(kind, index, piece);
        if (kind === 'signature') section.push(new Uint8Array(piece));
      },
      options,
    );
    const pcrs = measurement.finish();
    const signature = section.length === 0 ? undefined : checkSignature(Buffer.concat(section), pcrs.PCR0, now);
    return { pcrs, signature };
  });
}
