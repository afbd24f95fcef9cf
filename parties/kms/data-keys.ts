/** Data keys of a party's own KMS key: one for each file, bound to an encryption context. */
import { GenerateDataKeyCommand } from '@aws-sdk/client-kms';
import type { KMSClient } from '@aws-sdk/client-kms';
import type { EncryptionContext } from '../../enclave/protocol/context.ts';
import { awsFailure, demandKey, incomplete } from './client.ts';

export interface DataKey {
  /** 32 bytes; overwrite them when they have been used. */
  readonly plaintext: Uint8Array;
  /** What KMS needs to give the plaintext again. */
  readonly ciphertext: Uint8Array;
}

export interface DataKeys {
  generate(keyArn: string, context: EncryptionContext, signal?: AbortSignal): Promise<DataKey>;
}

/** Through the SDK. Throws `Failure<KmsClientCode>`. */
export function kmsDataKeys(kms: KMSClient): DataKeys {
  return {
    async generate(keyArn, context, signal) {
      const command = new GenerateDataKeyCommand({
        KeyId: keyArn,
        KeySpec: 'AES_256',
        EncryptionContext: { ...context },
      });
      const answer = await kms.send(command, abortWith(signal)).catch((cause: unknown) => {
        signal?.throwIfAborted();
        throw awsFailure(cause, 'asking KMS for a data key');
      });
      demandKey(answer.KeyId, keyArn);
      if (answer.Plaintext?.length !== 32 || answer.CiphertextBlob === undefined)
        throw incomplete('KMS', 'a key of 32 bytes');
      return { plaintext: answer.Plaintext, ciphertext: answer.CiphertextBlob };
    },
  };
}

function abortWith(signal: AbortSignal | undefined): { readonly abortSignal?: AbortSignal } {
  return signal === undefined ? {} : { abortSignal: signal };
}
