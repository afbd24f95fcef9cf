/** A key as KMS has it: whether it can carry an Accord key policy, which policy is in force, and putting the next one. */
import { DescribeKeyCommand, GetKeyPolicyCommand, PutKeyPolicyCommand } from '@aws-sdk/client-kms';
import type { KeyMetadata, KMSClient } from '@aws-sdk/client-kms';
import { Failure } from '../../policies/failure.ts';
import type { CallerIdentity } from './client.ts';
import { awsFailure, incomplete } from './client.ts';
import type { KeyPolicy } from './key-policy.ts';
import { keyPolicyText } from './key-policy.ts';
import { isSamePolicy } from './key-policy-read.ts';

export type ApplyKeyPolicyCode =
  | 'key-policy/lockout' // the caller could not put the next policy
  | 'key-policy/key' // not a single-Region symmetric key for encryption
  | 'key-policy/not-applied'; // AWS said yes, and reads back something else

/** Another account's principal could never put the next policy: PutKeyPolicy does not work across accounts. */
export function demandOwnAccount(identity: CallerIdentity, account: string, keyArn: string): void {
  if (identity.account === account) return;
  throw new Failure<ApplyKeyPolicyCode>(
    'refused',
    'key-policy/lockout',
    `these credentials belong to account ${identity.account}, the key to ${account}: they could not put its policy again`,
    { where: keyArn, hint: 'use a profile of the account that owns the key' },
  );
}

/** What KMS says of a key that can carry an Accord key policy. Throws `Failure<ApplyKeyPolicyCode | KmsClientCode>`. */
export async function describeUsableKey(kms: KMSClient, keyArn: string, signal: AbortSignal): Promise<KeyMetadata> {
  const command = new DescribeKeyCommand({ KeyId: keyArn });
  const { KeyMetadata: metadata } = await kms.send(command, { abortSignal: signal }).catch((cause: unknown) => {
    throw awsFailure(cause, 'describing the key');
  });
  if (metadata === undefined) throw incomplete('KMS', 'KeyMetadata');
  demandUsableKey(metadata, keyArn);
  return metadata;
}

function demandUsableKey({ KeySpec, KeyUsage, MultiRegion, KeyState }: KeyMetadata, keyArn: string): void {
  const wrong =
    KeySpec !== 'SYMMETRIC_DEFAULT' || KeyUsage !== 'ENCRYPT_DECRYPT'
      ? 'it is asymmetric or for signing: anybody can encrypt to a public key'
      : MultiRegion === true
        ? 'it is multi-Region: a replica has a policy of its own'
        : KeyState === 'PendingDeletion'
          ? 'it waits for its deletion'
          : undefined;
  if (wrong === undefined) return;
  throw new Failure<ApplyKeyPolicyCode>('refused', 'key-policy/key', `this key cannot be used: ${wrong}`, {
    where: keyArn,
    hint: 'make one with `aws kms create-key` (symmetric, single-Region), for Accord alone',
  });
}

/** The text of the key's policy. Throws `Failure<KmsClientCode>`. */
export async function policyInForce(kms: KMSClient, keyArn: string, signal: AbortSignal): Promise<string> {
  const command = new GetKeyPolicyCommand({ KeyId: keyArn, PolicyName: 'default' });
  const { Policy: text } = await kms.send(command, { abortSignal: signal }).catch((cause: unknown) => {
    throw awsFailure(cause, "reading the key's policy");
  });
  if (text === undefined) throw incomplete('KMS', 'Policy');
  return text;
}

/** Puts the policy where `before` is another one, and reads it back. Throws `Failure<ApplyKeyPolicyCode | KmsClientCode>`. */
export async function applyKeyPolicy(
  kms: KMSClient,
  keyArn: string,
  { before, policy }: { readonly before: string; readonly policy: KeyPolicy },
  signal: AbortSignal,
): Promise<void> {
  if (isSamePolicy(before, policy)) return;
  // BypassPolicyLockoutSafetyCheck is left out on purpose, everywhere.
  const command = new PutKeyPolicyCommand({ KeyId: keyArn, PolicyName: 'default', Policy: keyPolicyText(policy) });
  await kms.send(command, { abortSignal: signal }).catch((cause: unknown) => {
    throw isLockout(cause) ? lockout(keyArn, cause) : awsFailure(cause, "putting the key's policy");
  });
  if (isSamePolicy(await policyInForce(kms, keyArn, signal), policy)) return;
  throw new Failure<ApplyKeyPolicyCode>(
    'refused',
    'key-policy/not-applied',
    'the policy reads back differently from what was put: somebody else changed it meanwhile',
    { where: keyArn, hint: 'look at it with `aws kms get-key-policy`, then apply again' },
  );
}

function isLockout(cause: unknown): boolean {
  return cause instanceof Error && /will not allow you to update/.test(cause.message);
}

function lockout(keyArn: string, cause: unknown): Failure<ApplyKeyPolicyCode> {
  return new Failure(
    'refused',
    'key-policy/lockout',
    'KMS refuses the policy because these credentials could not put the next one',
    { where: keyArn, hint: 'allow them kms:PutKeyPolicy on this key in IAM first: the policy leaves it to IAM', cause },
  );
}
