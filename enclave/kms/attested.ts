/**
 * Attested requests: KMS is shown who asks (a fresh document with this boot's RSA key), and answers to that key alone.
 */
import { Failure } from '../../policies/failure.ts';
import type { Kms, KmsCode, KmsDecrypt, KmsGenerate } from './client.ts';
import type { RecipientCode, RecipientKey } from './recipient.ts';
import { openForRecipient } from './recipient.ts';

export type AttestedCode = KmsCode | RecipientCode | 'kms/other-key';

/** Opens a KMS ciphertext for a party, with that party's credentials. Throws `Failure<AttestedCode>`. */
export type AttestedDecrypt = (request: Omit<KmsDecrypt, 'attestation'>, signal: AbortSignal) => Promise<Uint8Array>;

export interface DataKey {
  /** 32 bytes; the holder erases them. */
  readonly plaintext: Uint8Array;
  /** The same under the party's KMS key. */
  readonly ciphertext: Uint8Array;
}

export interface AttestedKms {
  readonly decrypt: AttestedDecrypt;
  /** A new data key that nobody but this enclave has seen. Throws `Failure<AttestedCode>`. */
  generateDataKey(request: Omit<KmsGenerate, 'attestation'>, signal: AbortSignal): Promise<DataKey>;
}

const DATA_KEY_BYTES = 32;

/** `making` is this boot's key, which may still be in the making; `document` gives a document for KMS that carries it. */
export function attestedKms(
  kms: Kms,
  making: Promise<RecipientKey>,
  document: (spki: Uint8Array) => Promise<Uint8Array>,
): AttestedKms {
  return {
    async decrypt(request, signal) {
      const key = await making;
      const reply = await kms.decrypt({ ...request, attestation: await document(key.spki) }, signal);
      // A ciphertext names its key itself. Were another one to open it, its owner would be another than who is claimed.
      if (reply.keyArn !== request.keyArn || reply.algorithm !== 'SYMMETRIC_DEFAULT') throw otherKey();
      return openForRecipient(reply.envelope, key);
    },

    async generateDataKey(request, signal) {
      const key = await making;
      const reply = await kms.generateDataKey({ ...request, attestation: await document(key.spki) }, signal);
      if (reply.keyArn !== request.keyArn) throw otherKey();
      const plaintext = await openForRecipient(reply.envelope, key);
      if (plaintext.length === DATA_KEY_BYTES) return { plaintext, ciphertext: reply.ciphertext };
      plaintext.fill(0);
      throw new Failure<AttestedCode>('malformed', 'kms/envelope-unopened', 'KMS gave a data key of another length');
    },
  };
}

function otherKey(): Failure<AttestedCode> {
  return new Failure('refused', 'kms/other-key', 'KMS used another key than the one that was named');
}
