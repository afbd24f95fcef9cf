/**
 * The `Recipient` of a request: an attestation document, judged as KMS judges it before any policy is asked. What it
 * attests becomes condition keys; a document that does not verify is refused, never treated as absent.
 */
import { createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { Failure } from '../../../policies/failure.ts';
import { toHex } from '../../../enclave/encoding/hex.ts';
import type { AttestationDocument, Root } from '../../../parties/attestation/verify.ts';
import {
  createChainCache,
  notChecked,
  parseAttestation,
  verifyAttestation,
} from '../../../parties/attestation/verify.ts';
import { AwsError } from '../errors.ts';
import type { Recipient } from './envelope.ts';

export interface AttestedRecipient extends Recipient {
  /** Lower-case hex by index, as `kms:RecipientAttestation:PCR<n>` compares them. Zeros (debug mode) are told as zeros. */
  readonly pcrs: ReadonlyMap<number, string>;
}

/** Five minutes: an attestation document is for immediate use. */
const MAX_AGE_MS = 300_000;
const RSA_BITS = { min: 2048, max: 4096 } as const;

/** Throws ValidationException for a document that does not verify at `now`, in milliseconds. */
export type VerifyRecipient = (document: Uint8Array, now: number) => Promise<AttestedRecipient>;

export function recipientVerifier(root: Root): VerifyRecipient {
  const chains = createChainCache();
  return async (bytes, now) => {
    try {
      const document = parseAttestation(bytes);
      await verifyAttestation(
        document,
        {
          roots: [root],
          at: new Date(now),
          pcrs: notChecked('the key policy compares them'),
          nonce: notChecked('KMS has no nonce'),
          policyDigest: notChecked('the key policy compares the image'),
          maxAgeMs: MAX_AGE_MS,
          allowDebug: true,
        },
        { chains },
      );
      return { pcrs: pcrsOf(document), ...publicKeyOf(document) };
    } catch (cause) {
      if (cause instanceof Failure) throw invalid(cause.message);
      throw cause;
    }
  };
}

function pcrsOf(document: AttestationDocument): AttestedRecipient['pcrs'] {
  return new Map(Array.from(document.pcrs, ([index, value]) => [index, toHex(value)]));
}

function publicKeyOf({ publicKey: spki }: AttestationDocument): Recipient {
  if (spki === undefined) throw invalid('it has no public_key');
  let publicKey: KeyObject;
  try {
    publicKey = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
  } catch {
    throw invalid('its public_key is not a SubjectPublicKeyInfo');
  }
  const bits = publicKey.asymmetricKeyDetails?.modulusLength ?? 0;
  if (publicKey.asymmetricKeyType !== 'rsa' || bits < RSA_BITS.min || bits > RSA_BITS.max) {
    throw invalid(`its public_key is not RSA of ${RSA_BITS.min} to ${RSA_BITS.max} bits`);
  }
  // The same key has one encoding in DER; anything else (trailing bytes, BER) was not written by an honest enclave.
  if (!publicKey.export({ format: 'der', type: 'spki' }).equals(spki)) {
    throw invalid('its public_key is not canonical DER');
  }
  return { publicKey, spki };
}

function invalid(why: string): AwsError {
  return new AwsError('ValidationException', `The attestation document is not valid: ${why}`);
}
