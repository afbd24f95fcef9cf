/**
 * KMS as the enclave uses it: one operation, attested Decrypt, with credentials that a party put into its session. The
 * endpoint follows from the policy and the key's Region; nothing is read from the environment or from a file.
 */
import { DecryptCommand, KMSClient } from '@aws-sdk/client-kms';
import type { NodeHttpHandlerOptions } from '@smithy/node-http-handler';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { parseKmsKeyArn } from '../../policies/arn.ts';
import { Failure } from '../../policies/failure.ts';
import type { Trust } from '../../policies/model.ts';
import type { EncryptionContext } from '../protocol/context.ts';
import type { EnclaveCredentials } from '../protocol/request.ts';
import { kmsEndpoint } from './endpoint.ts';

export type KmsCode =
  | 'kms/refused' // KMS answered and said no
  | 'kms/unavailable' // no answer, or none that is final: a retry may help
  | 'kms/unattested'; // an answer without an envelope: not what was asked for

export interface KmsDecrypt {
  readonly keyArn: string;
  readonly ciphertext: Uint8Array;
  readonly context: EncryptionContext;
  readonly credentials: EnclaveCredentials;
  /** Attestation document that carries the recipient's RSA key. */
  readonly attestation: Uint8Array;
}

export interface KmsDecrypted {
  /** As KMS reports them: the key that was used, and how. */
  readonly keyArn: string;
  readonly algorithm: string;
  /** CMS EnvelopedData to the attested key. */
  readonly envelope: Uint8Array;
}

/** What the enclave needs of KMS. Throws `Failure<KmsCode>`. */
export interface Kms {
  decrypt(request: KmsDecrypt, signal: AbortSignal): Promise<KmsDecrypted>;
}

export interface KmsSettings {
  readonly trust: Trust;
  readonly agent: NonNullable<NodeHttpHandlerOptions['httpsAgent']>;
  /** How far the machine's clock, with which the SDK signs, is behind the trusted one. Milliseconds. */
  clockOffset(): Promise<number>;
}

/** One try and one more: Decrypt changes nothing, and a session waits for it. */
const MAX_ATTEMPTS = 2;
const TIMEOUT_MS = 8_000;

export function createKms(settings: KmsSettings): Kms {
  const requestHandler = new NodeHttpHandler({
    httpsAgent: settings.agent,
    connectionTimeout: TIMEOUT_MS,
    requestTimeout: TIMEOUT_MS,
    throwOnRequestTimeout: true,
  });
  return {
    async decrypt(request, signal) {
      const { region } = parseKmsKeyArn(request.keyArn);
      // A client for each request: credentials stay with the session that brought them.
      const client = new KMSClient({
        region,
        endpoint: kmsEndpoint(settings.trust, region),
        credentials: { ...request.credentials },
        requestHandler,
        maxAttempts: MAX_ATTEMPTS,
        systemClockOffset: await settings.clockOffset(),
        // Each of these would otherwise be looked for in the environment and in files.
        retryMode: 'standard',
        defaultsMode: 'standard',
        useDualstackEndpoint: false,
        useFipsEndpoint: false,
        userAgentAppId: async () => undefined,
        authSchemePreference: [],
        // As it is by default: `true` would sign by the machine's clock, whatever the offset above.
        disableClockSkewCorrection: false,
      });
      const command = new DecryptCommand({
        KeyId: request.keyArn,
        CiphertextBlob: request.ciphertext,
        EncryptionContext: { ...request.context },
        EncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
        Recipient: { KeyEncryptionAlgorithm: 'RSAES_OAEP_SHA_256', AttestationDocument: request.attestation },
      });
      const reply = await client.send(command, { abortSignal: signal }).catch((error: unknown) => {
        throw kmsFailure(error);
      });
      if (reply.CiphertextForRecipient === undefined || (reply.Plaintext?.length ?? 0) > 0) {
        throw new Failure<KmsCode>('refused', 'kms/unattested', 'KMS answered without an envelope for this enclave');
      }
      return {
        keyArn: reply.KeyId ?? '',
        algorithm: reply.EncryptionAlgorithm ?? '',
        envelope: reply.CiphertextForRecipient,
      };
    },
  };
}

/** KMS said no only where it answered with a client error that does not ask to come again. */
function kmsFailure(error: unknown): Failure<KmsCode> {
  const name = error instanceof Error ? error.name : 'unknown';
  const status = statusOf(error);
  const transient = /Throttling|Timeout|KMSInternal|DependencyTimeout|ServiceUnavailable|RequestExpired/.test(name);
  if (status !== undefined && status >= 400 && status < 500 && status !== 429 && !transient) {
    return new Failure('refused', 'kms/refused', 'KMS refused the enclave', { where: name, cause: error });
  }
  return new Failure('environment', 'kms/unavailable', 'KMS could not be reached', { where: name, cause: error });
}

function statusOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('$metadata' in error)) return undefined;
  const metadata: unknown = error.$metadata;
  if (typeof metadata !== 'object' || metadata === null || !('httpStatusCode' in metadata)) return undefined;
  return typeof metadata.httpStatusCode === 'number' ? metadata.httpStatusCode : undefined;
}
