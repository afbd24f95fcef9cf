/**
 * What a session asks of the party's own AWS account: its KMS encrypts the challenge, its STS lends the enclave
 * credentials that can do one thing for a quarter of an hour.
 */
import { EncryptCommand } from '@aws-sdk/client-kms';
import type { KMSClient } from '@aws-sdk/client-kms';
import { AssumeRoleCommand } from '@aws-sdk/client-sts';
import type { STSClient } from '@aws-sdk/client-sts';
import type { EncryptionContext } from '../../enclave/protocol/context.ts';
import type { EnclaveCredentials } from '../../enclave/protocol/request.ts';
import { awsFailure, demandKey, incomplete } from '../kms/client.ts';

/** The shortest life that STS gives a role's session. */
const CREDENTIALS_SECONDS = 900;

/** One KMS `Encrypt` under the party's key, which must answer with that very key. */
export function challengeEncryption(
  kms: KMSClient,
  keyArn: string,
): (challenge: Uint8Array, context: EncryptionContext, signal: AbortSignal) => Promise<Uint8Array> {
  return async (challenge, context, signal) => {
    const command = new EncryptCommand({ KeyId: keyArn, Plaintext: challenge, EncryptionContext: { ...context } });
    const { CiphertextBlob, KeyId } = await kms.send(command, { abortSignal: signal }).catch((cause: unknown) => {
      signal.throwIfAborted();
      throw awsFailure(cause, 'asking KMS to encrypt the challenge');
    });
    demandKey(KeyId, keyArn);
    if (CiphertextBlob === undefined) throw incomplete('KMS', 'CiphertextBlob');
    return CiphertextBlob;
  };
}

export interface RoleRequest {
  readonly roleArn: string;
  readonly keyArn: string;
  /** Shows in the account's CloudTrail, `[\w+=,.@-]{2,64}`. */
  readonly sessionName: string;
}

/**
 * Credentials of the party's enclave role, cut down to two actions on the party's one key. The key's policy demands an
 * attested enclave on top, so whoever steals them can do nothing with them outside of the pinned image.
 */
export function enclaveCredentials(
  sts: STSClient,
  { roleArn, keyArn, sessionName }: RoleRequest,
): (signal: AbortSignal) => Promise<EnclaveCredentials> {
  return async (signal) => {
    const command = new AssumeRoleCommand({
      RoleArn: roleArn,
      RoleSessionName: sessionName,
      DurationSeconds: CREDENTIALS_SECONDS,
      Policy: JSON.stringify(sessionPolicy(keyArn)),
    });
    const { Credentials } = await sts.send(command, { abortSignal: signal }).catch((cause: unknown) => {
      signal.throwIfAborted();
      throw awsFailure(cause, `assuming ${roleArn}`);
    });
    const { AccessKeyId, SecretAccessKey, SessionToken } = Credentials ?? {};
    if (AccessKeyId === undefined || SecretAccessKey === undefined || SessionToken === undefined) {
      throw incomplete('STS', 'Credentials');
    }
    return { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey, sessionToken: SessionToken };
  };
}

/** What the credentials may do at most; the role's own permissions and the key policy narrow it further. */
export function sessionPolicy(keyArn: string): object {
  return {
    Version: '2012-10-17',
    Statement: [{ Effect: 'Allow', Action: ['kms:Decrypt', 'kms:GenerateDataKey'], Resource: keyArn }],
  };
}
