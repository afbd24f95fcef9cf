/**
 * Calls without policy, side by side with an emulator that we did not write: the same fields in the answer, the same kinds of
 * values, the same names of errors. Where the two differ, the row says how and why.
 */
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
  KMSClient,
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
import { AssumeRoleCommand, GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ADMIN_ROLE, ALICE_ARN, REGION, localAws } from './fixture.ts';
import type { Moto } from './moto.ts';
import { motoIsAbsent, startMoto } from './moto.ts';

const reason = motoIsAbsent();
if (reason !== undefined) process.stderr.write(`skipped: comparison with moto: ${reason}\n`);

interface Side {
  readonly kms: KMSClient;
  readonly sts: STSClient;
  /** A key of its own for each row, and what was encrypted under it for `{ row: 'this' }`. */
  readonly key: string;
  readonly blob: Uint8Array;
  readonly otherKey: string;
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const EncryptionContext = { row: 'this' };
const GRANT = { GranteePrincipal: ALICE_ARN, Operations: ['Encrypt', 'Decrypt'] as ('Encrypt' | 'Decrypt')[] };
const POLICY = JSON.stringify({
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Principal: { AWS: '*' }, Action: 'kms:*', Resource: '*' }],
});

type Call = (side: Side) => Promise<object>;

const CALLS: Readonly<Record<string, Call>> = {
  CreateKey: ({ kms }) => kms.send(new CreateKeyCommand({ Description: 'a key' })),
  DescribeKey: ({ kms, key }) => kms.send(new DescribeKeyCommand({ KeyId: key })),
  'DescribeKey by id': ({ kms, key }) => kms.send(new DescribeKeyCommand({ KeyId: key.split('/')[1] })),
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
    return await kms.send(new ListRetirableGrantsCommand({ RetiringPrincipal: ALICE_ARN, Limit: 1 }));
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
  DisableKey: ({ kms, key }) => kms.send(new DisableKeyCommand({ KeyId: key })),
  EnableKey: ({ kms, key }) => kms.send(new EnableKeyCommand({ KeyId: key })),
  ScheduleKeyDeletion: ({ kms, key }) =>
    kms.send(new ScheduleKeyDeletionCommand({ KeyId: key, PendingWindowInDays: 9 })),
  CancelKeyDeletion: async ({ kms, key }) => {
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId: key }));
    return await kms.send(new CancelKeyDeletionCommand({ KeyId: key }));
  },
  'DescribeKey, deletion cancelled': async ({ kms, key }) => {
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId: key }));
    await kms.send(new CancelKeyDeletionCommand({ KeyId: key }));
    return await kms.send(new DescribeKeyCommand({ KeyId: key }));
  },
  GetCallerIdentity: ({ sts }) => sts.send(new GetCallerIdentityCommand({})),
  AssumeRole: ({ sts }) => sts.send(new AssumeRoleCommand({ RoleArn: ADMIN_ROLE, RoleSessionName: 'compared' })),
  'AssumeRole, name too short': ({ sts }) =>
    sts.send(new AssumeRoleCommand({ RoleArn: ADMIN_ROLE, RoleSessionName: 'a' })),
};

/** Where moto is not AWS (its version 5.1), by the KMS API reference. Every other row must agree. */
const MOTO_DIFFERS: Readonly<Record<string, string>> = {};

/** Fields and kinds of values; texts that say what something is (states, specs, names) as they stand. */
function shape(value: unknown, name = ''): unknown {
  if (value instanceof Uint8Array) return name === 'CiphertextBlob' ? 'bytes' : `${value.length} bytes`;
  if (value instanceof Date) return 'date';
  if (Array.isArray(value)) {
    const items: readonly unknown[] = value;
    return typeof items[0] === 'string' ? items : [shape(items[0])];
  }
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).filter(([key, each]) => key !== '$metadata' && each !== undefined);
    return Object.fromEntries(entries.map(([key, each]): [string, unknown] => [key, shape(each, key)]).sort(byName));
  }
  const telling =
    /^(KeyState|KeySpec|KeyUsage|CustomerMasterKeySpec|Origin|KeyManager|PolicyName|Name|Description|.*Algorithm)$/;
  return typeof value === 'string' && !telling.test(name) ? 'text' : value;
}

const byName = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number => (a < b ? -1 : 1);

async function result(call: Promise<object>): Promise<unknown> {
  try {
    return shape(await call);
  } catch (cause) {
    return cause instanceof Error ? `error ${cause.name}` : 'error';
  }
}

describe.skipIf(reason !== undefined)(`answers as moto does${reason === undefined ? '' : ` (${reason})`}`, () => {
  const fixture = localAws();
  let moto: Moto | undefined;
  beforeAll(async () => {
    moto = await startMoto();
  });
  afterAll(() => moto?.stop());

  async function prepare(kms: KMSClient, sts: STSClient): Promise<Side> {
    const make = async (): Promise<string> => (await kms.send(new CreateKeyCommand({}))).KeyMetadata?.Arn ?? '';
    const key = await make();
    const encrypted = await kms.send(
      new EncryptCommand({ KeyId: key, Plaintext: bytes('compared'), EncryptionContext }),
    );
    return { kms, sts, key, otherKey: await make(), blob: encrypted.CiphertextBlob ?? new Uint8Array() };
  }

  test.each(Object.entries(CALLS))('%s', async (name, call) => {
    const theirs = {
      region: REGION,
      endpoint: moto?.url ?? '',
      credentials: { accessKeyId: 'AKIAEXAMPLE', secretAccessKey: 'example' },
    };
    const [ours, other] = await Promise.all([
      prepare(fixture.kms('alice'), fixture.sts('alice')).then((side) => result(call(side))),
      prepare(new KMSClient(theirs), new STSClient(theirs)).then((side) => result(call(side))),
    ]);
    if (MOTO_DIFFERS[name] === undefined) expect(ours).toEqual(other);
    // A row that agrees after all needs no excuse.
    else expect(ours, MOTO_DIFFERS[name]).not.toEqual(other);
  });
});
