/** Calls that need no policy, each named: what is asked of the local AWS and of an emulator that we did not write. */
import {
  CancelKeyDeletionCommand,
  CreateGrantCommand,
  CreateKeyCommand,
  DecryptCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  EnableKeyCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  GenerateDataKeyWithoutPlaintextCommand,
  GenerateRandomCommand,
  GetKeyPolicyCommand,
  ListGrantsCommand,
  ListKeyPoliciesCommand,
  ListKeysCommand,
  ListRetirableGrantsCommand,
  PutKeyPolicyCommand,
  ReEncryptCommand,
  RetireGrantCommand,
  RevokeGrantCommand,
  ScheduleKeyDeletionCommand,
} from '@aws-sdk/client-kms';
import type { KMSClient } from '@aws-sdk/client-kms';
import { AssumeRoleCommand, GetCallerIdentityCommand } from '@aws-sdk/client-sts';
import type { STSClient } from '@aws-sdk/client-sts';
import { ADMIN_ROLE, ALICE_ARN } from './fixture.ts';

export interface Side {
  readonly kms: KMSClient;
  readonly sts: STSClient;
  /** The ARN of a key of its own for each row, its bare id, and what was encrypted under it for `EncryptionContext`. */
  readonly key: string;
  readonly keyId: string;
  readonly blob: Uint8Array;
  readonly otherKey: string;
}

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const EncryptionContext = { row: 'this' };
const GRANT = { GranteePrincipal: ALICE_ARN, Operations: ['Encrypt', 'Decrypt'] as ('Encrypt' | 'Decrypt')[] };
const POLICY = JSON.stringify({
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Principal: { AWS: '*' }, Action: 'kms:*', Resource: '*' }],
});
const POLICY_OF_SESSION = JSON.stringify({
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Action: 'kms:*', Resource: '*' }],
});

export type Call = (side: Side) => Promise<object>;

export const CALLS: Readonly<Record<string, Call>> = {
  CreateKey: ({ kms }) => kms.send(new CreateKeyCommand({ Description: 'a key' })),
  'CreateKey, all said': ({ kms }) =>
    kms.send(new CreateKeyCommand({ KeyUsage: 'ENCRYPT_DECRYPT', KeySpec: 'SYMMETRIC_DEFAULT', MultiRegion: false })),
  DescribeKey: ({ kms, key }) => kms.send(new DescribeKeyCommand({ KeyId: key })),
  'DescribeKey by id': ({ kms, keyId }) => kms.send(new DescribeKeyCommand({ KeyId: keyId })),
  'DescribeKey, absent': ({ kms, key }) =>
    kms.send(new DescribeKeyCommand({ KeyId: key.replace(/[^/]*$/, '00000000-0000-4000-8000-000000000000') })),
  'DescribeKey, no id': ({ kms }) => kms.send(new DescribeKeyCommand({ KeyId: 'key' })),
  'DescribeKey, alias that is not there': ({ kms }) => kms.send(new DescribeKeyCommand({ KeyId: 'alias/none' })),
  ListKeys: ({ kms }) => kms.send(new ListKeysCommand({})),
  GetKeyPolicy: ({ kms, key }) => kms.send(new GetKeyPolicyCommand({ KeyId: key, PolicyName: 'default' })),
  'GetKeyPolicy, another name': ({ kms, key }) =>
    kms.send(new GetKeyPolicyCommand({ KeyId: key, PolicyName: 'other' })),
  PutKeyPolicy: ({ kms, key }) =>
    kms.send(new PutKeyPolicyCommand({ KeyId: key, PolicyName: 'default', Policy: POLICY })),
  ListKeyPolicies: ({ kms, key }) => kms.send(new ListKeyPoliciesCommand({ KeyId: key })),
  Encrypt: ({ kms, key }) => kms.send(new EncryptCommand({ KeyId: key, Plaintext: bytes('x') })),
  'Encrypt, nothing': ({ kms, key }) => kms.send(new EncryptCommand({ KeyId: key, Plaintext: new Uint8Array() })),
  'Encrypt, too much': ({ kms, key }) => kms.send(new EncryptCommand({ KeyId: key, Plaintext: new Uint8Array(4097) })),
  'Encrypt, absent key': ({ kms, key }) =>
    kms.send(
      new EncryptCommand({
        KeyId: key.replace(/[^/]*$/, '00000000-0000-4000-8000-000000000000'),
        Plaintext: bytes('x'),
      }),
    ),
  Decrypt: ({ kms, blob }) => kms.send(new DecryptCommand({ CiphertextBlob: blob, EncryptionContext })),
  'Decrypt, other context': ({ kms, blob }) =>
    kms.send(new DecryptCommand({ CiphertextBlob: blob, EncryptionContext: { row: 'that' } })),
  'Decrypt, no context': ({ kms, blob }) => kms.send(new DecryptCommand({ CiphertextBlob: blob })),
  'Decrypt, key named': ({ kms, blob, key }) =>
    kms.send(new DecryptCommand({ CiphertextBlob: blob, EncryptionContext, KeyId: key })),
  'Decrypt, cut short': ({ kms, blob }) =>
    kms.send(new DecryptCommand({ CiphertextBlob: blob.subarray(0, 20), EncryptionContext })),
  'Decrypt, changed': ({ kms, blob }) =>
    kms.send(
      new DecryptCommand({
        CiphertextBlob: blob.map((byte, i) => (i === blob.length - 1 ? byte ^ 1 : byte)),
        EncryptionContext,
      }),
    ),
  ReEncrypt: ({ kms, blob, otherKey }) =>
    kms.send(
      new ReEncryptCommand({
        CiphertextBlob: blob,
        SourceEncryptionContext: EncryptionContext,
        DestinationKeyId: otherKey,
      }),
    ),
  'ReEncrypt, other context': ({ kms, blob, otherKey }) =>
    kms.send(new ReEncryptCommand({ CiphertextBlob: blob, DestinationKeyId: otherKey })),
  'GenerateDataKey, spec': ({ kms, key }) => kms.send(new GenerateDataKeyCommand({ KeyId: key, KeySpec: 'AES_256' })),
  'GenerateDataKey, bytes': ({ kms, key }) => kms.send(new GenerateDataKeyCommand({ KeyId: key, NumberOfBytes: 24 })),
  'GenerateDataKey, neither': ({ kms, key }) => kms.send(new GenerateDataKeyCommand({ KeyId: key })),
  'GenerateDataKey, both': ({ kms, key }) =>
    kms.send(new GenerateDataKeyCommand({ KeyId: key, KeySpec: 'AES_256', NumberOfBytes: 32 })),
  'GenerateDataKey, too many': ({ kms, key }) =>
    kms.send(new GenerateDataKeyCommand({ KeyId: key, NumberOfBytes: 1025 })),
  GenerateDataKeyWithoutPlaintext: ({ kms, key }) =>
    kms.send(new GenerateDataKeyWithoutPlaintextCommand({ KeyId: key, KeySpec: 'AES_128' })),
  GenerateRandom: ({ kms }) => kms.send(new GenerateRandomCommand({ NumberOfBytes: 16 })),
  'GenerateRandom, too many': ({ kms }) => kms.send(new GenerateRandomCommand({ NumberOfBytes: 1025 })),
  CreateGrant: ({ kms, key }) => kms.send(new CreateGrantCommand({ KeyId: key, ...GRANT })),
  ListGrants: async ({ kms, key }) => {
    await kms.send(new CreateGrantCommand({ KeyId: key, ...GRANT, Name: 'one', RetiringPrincipal: ALICE_ARN }));
    return await kms.send(new ListGrantsCommand({ KeyId: key }));
  },
  ListRetirableGrants: async ({ kms, key }) => {
    await kms.send(new CreateGrantCommand({ KeyId: key, ...GRANT, RetiringPrincipal: ALICE_ARN }));
    return await kms.send(new ListRetirableGrantsCommand({ RetiringPrincipal: ALICE_ARN }));
  },
  RevokeGrant: async ({ kms, key }) => {
    const { GrantId } = await kms.send(new CreateGrantCommand({ KeyId: key, ...GRANT }));
    return await kms.send(new RevokeGrantCommand({ KeyId: key, GrantId }));
  },
  RetireGrant: async ({ kms, key }) => {
    const { GrantToken } = await kms.send(
      new CreateGrantCommand({ KeyId: key, ...GRANT, RetiringPrincipal: ALICE_ARN }),
    );
    return await kms.send(new RetireGrantCommand({ GrantToken }));
  },
  // By id: moto answers these with its own error 500 where an ARN is given.
  DisableKey: ({ kms, keyId }) => kms.send(new DisableKeyCommand({ KeyId: keyId })),
  EnableKey: ({ kms, keyId }) => kms.send(new EnableKeyCommand({ KeyId: keyId })),
  ScheduleKeyDeletion: ({ kms, keyId }) =>
    kms.send(new ScheduleKeyDeletionCommand({ KeyId: keyId, PendingWindowInDays: 9 })),
  CancelKeyDeletion: async ({ kms, keyId }) => {
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId: keyId }));
    return await kms.send(new CancelKeyDeletionCommand({ KeyId: keyId }));
  },
  'DescribeKey, deletion cancelled': async ({ kms, keyId }) => {
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId: keyId }));
    await kms.send(new CancelKeyDeletionCommand({ KeyId: keyId }));
    return await kms.send(new DescribeKeyCommand({ KeyId: keyId }));
  },
  GetCallerIdentity: ({ sts }) => sts.send(new GetCallerIdentityCommand({})),
  AssumeRole: ({ sts }) => sts.send(new AssumeRoleCommand({ RoleArn: ADMIN_ROLE, RoleSessionName: 'compared' })),
  'AssumeRole, with a session policy': ({ sts }) =>
    sts.send(new AssumeRoleCommand({ RoleArn: ADMIN_ROLE, RoleSessionName: 'compared', Policy: POLICY_OF_SESSION })),
  'AssumeRole, name too short': ({ sts }) =>
    sts.send(new AssumeRoleCommand({ RoleArn: ADMIN_ROLE, RoleSessionName: 'a' })),
};
