/**
 * KMS as the enclave uses it: two operations, both attested, with credentials that a party put into its session (or the
 * host's role). The endpoint follows from the policy and the key's Region.
 */
import { DecryptCommand, GenerateDataKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { parseKmsKeyArn } from '../../policies/arn.ts';
import { Failure } from '../../policies/failure.ts';
import type { EncryptionContext } from '../protocol/context.ts';
import type { EnclaveCredentials } from '../protocol/request.ts';
import type { AwsSettings } from './aws.ts';
import { NOT_FROM_THE_ENVIRONMENT, requestHandler, statusOf } from './aws.ts';
import { kmsEndpoint } from './endpoint.ts';

export type KmsCode =
  | 'kms/refused' // KMS answered and said no
  | 'kms/unavailable' // no answer, or none that is final: a retry may help
  | 'kms/unattested'; // an answer without an envelope: not what was asked for

/** A new data key of 256 bits. */
export interface KmsGenerate {
  readonly keyArn: string;
  readonly context: EncryptionContext;
  readonly credentials: EnclaveCredentials;
  /** Attestation document that carries the recipient's RSA key. */
  readonly attestation: Uint8Array;
}

export interface KmsDecrypt extends KmsGenerate {
  readonly ciphertext: Uint8Array;
}

export interface KmsDecrypted {
  /** As KMS reports them: the key that was used, and how. */
  readonly keyArn: string;
  readonly algorithm: string;
  /** CMS EnvelopedData to the attested key. */
  readonly envelope: Uint8Array;
}

export interface KmsGenerated {
  /** As KMS reports it: the key that was used. */
  readonly keyArn: string;
  /** The data key under that key, with the context. */
  readonly ciphertext: Uint8Array;
  /** CMS EnvelopedData to the attested key. */
  readonly envelope: Uint8Array;
}

/** What the enclave needs of KMS. Throws `Failure<KmsCode>`. */
export interface Kms {
  decrypt(request: KmsDecrypt, signal: AbortSignal): Promise<KmsDecrypted>;
  generateDataKey(request: KmsGenerate, signal: AbortSignal): Promise<KmsGenerated>;
}

/** One try and one more: neither operation changes anything, and a session waits for it. */
const MAX_ATTEMPTS = 2;

export function createKms(settings: AwsSettings): Kms {
  const handler = requestHandler(settings);
  // A client for each request: credentials stay with the session that brought them.
  const clientFor = async ({ keyArn, credentials }: KmsGenerate): Promise<KMSClient> => {
    const { region } = parseKmsKeyArn(keyArn);
    return new KMSClient({
      ...NOT_FROM_THE_ENVIRONMENT,
      region,
      endpoint: kmsEndpoint(settings.trust, region),
      credentials: { ...credentials },
      requestHandler: handler,
      maxAttempts: MAX_ATTEMPTS,
      systemClockOffset: await settings.clockOffset(),
    });
  };
  const recipient = ({ attestation }: KmsGenerate): NonNullable<DecryptCommand['input']['Recipient']> => ({
    KeyEncryptionAlgorithm: 'RSAES_OAEP_SHA_256',
    AttestationDocument: attestation,
  });

  return {
    async decrypt(request, signal) {
      const command = new DecryptCommand({
        KeyId: request.keyArn,
        CiphertextBlob: request.ciphertext,
        EncryptionContext: { ...request.context },
        EncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
        Recipient: recipient(request),
      });
      const client = await clientFor(request);
      const reply = await client.send(command, { abortSignal: signal }).catch(rethrow);
      const envelope = envelopeOf(reply);
      return { keyArn: reply.KeyId ?? '', algorithm: reply.EncryptionAlgorithm ?? '', envelope };
    },

    async generateDataKey(request, signal) {
      const command = new GenerateDataKeyCommand({
        KeyId: request.keyArn,
        KeySpec: 'AES_256',
        EncryptionContext: { ...request.context },
        Recipient: recipient(request),
      });
      const client = await clientFor(request);
      const reply = await client.send(command, { abortSignal: signal }).catch(rethrow);
      const envelope = envelopeOf(reply);
      const ciphertext = bytesIn(reply.CiphertextBlob);
      if (ciphertext === undefined) throw unattested('without the ciphertext of the data key');
      return { keyArn: reply.KeyId ?? '', ciphertext, envelope };
    },
  };
}

interface Enveloped {
  readonly CiphertextForRecipient?: unknown;
  readonly Plaintext?: unknown;
}

function envelopeOf(reply: Enveloped): Uint8Array {
  const envelope = bytesIn(reply.CiphertextForRecipient);
  const plaintext = reply.Plaintext;
  const isOpen = plaintext !== undefined && plaintext !== null && bytesIn(plaintext)?.length !== 0;
  if (envelope === undefined || isOpen) throw unattested('without an envelope for this enclave');
  return envelope;
}

/** The SDK promises bytes, and hands on whatever else the JSON holds in their place. */
function bytesIn(value: unknown): Uint8Array | undefined {
  return value instanceof Uint8Array ? value : undefined;
}

function unattested(how: string): Failure<KmsCode> {
  return new Failure('refused', 'kms/unattested', `KMS answered ${how}`);
}

/** KMS said no only where it answered with a client error that does not ask to come again. */
function rethrow(error: unknown): never {
  const name = error instanceof Error ? error.name : 'unknown';
  const status = statusOf(error);
  const transient = /Throttling|Timeout|KMSInternal|DependencyTimeout|ServiceUnavailable|RequestExpired/.test(name);
  if (status !== undefined && status >= 400 && status < 500 && status !== 429 && !transient) {
    throw new Failure<KmsCode>('refused', 'kms/refused', 'KMS refused the enclave', { where: name, cause: error });
  }
  throw new Failure<KmsCode>('environment', 'kms/unavailable', 'KMS could not be reached', {
    where: name,
    cause: error,
  });
}
