/**
 * Attested Decrypt: KMS is shown who asks (a fresh document with this boot's RSA key), and answers to that key alone.
 */
import { Failure } from '../../policies/failure.ts';
import type { KmsDecrypt, Kms, KmsCode } from './client.ts';
import type { RecipientCode, RecipientKey } from './recipient.ts';
import { openForRecipient } from './recipient.ts';

export type AttestedCode = KmsCode | RecipientCode | 'kms/other-key';

/** Opens a KMS ciphertext for a party, with that party's credentials. Throws `Failure<AttestedCode>`. */
export type AttestedDecrypt = (request: Omit<KmsDecrypt, 'attestation'>, signal: AbortSignal) => Promise<Uint8Array>;

/** `making` is this boot's key, which may still be in the making; `document` gives a document for KMS that carries it. */
export function attestedDecrypt(
  kms: Kms,
  making: Promise<RecipientKey>,
  document: (spki: Uint8Array) => Promise<Uint8Array>,
): AttestedDecrypt {
  return async (request, signal) => {
    const key = await making;
    const reply = await kms.decrypt({ ...request, attestation: await document(key.spki) }, signal);
    // A ciphertext names its key itself. Were another one to open it, its owner would be another than who is claimed.
    if (reply.keyArn !== request.keyArn || reply.algorithm !== 'SYMMETRIC_DEFAULT') {
      throw new Failure<AttestedCode>('refused', 'kms/other-key', 'KMS used another key than the one that was named');
    }
    return openForRecipient(reply.envelope, key);
  };
}
