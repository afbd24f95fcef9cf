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

/** `document` gives a document for KMS that carries `key`. */
export function attestedDecrypt(kms: Kms, key: RecipientKey, document: () => Promise<Uint8Array>): AttestedDecrypt {
  return async (request, signal) => {
    const reply = await kms.decrypt({ ...request, attestation: await document() }, signal);
    // A ciphertext names its key itself. Were another one to open it, its owner would be another than who is claimed.
    if (reply.keyArn !== request.keyArn || reply.algorithm !== 'SYMMETRIC_DEFAULT') {
      throw new Failure<AttestedCode>('refused', 'kms/other-key', 'KMS used another key than the one that was named');
    }
    return openForRecipient(reply.envelope, key);
  };
}
