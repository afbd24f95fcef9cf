/**
 * Calls without policy, side by side with an emulator that we did not write: the same fields in the answer, the same kinds of
 * values, the same names of errors. Where the two differ, a row below says in which lines and why; it must still be so.
 */
import { CreateKeyCommand, EncryptCommand, KMSClient } from '@aws-sdk/client-kms';
import { STSClient } from '@aws-sdk/client-sts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Call, Side } from './compared-calls.ts';
import { CALLS, EncryptionContext, bytes } from './compared-calls.ts';
import { REGION, localAws } from './fixture.ts';
import type { Moto } from './moto.ts';
import { motoIsAbsent, startMoto } from './moto.ts';

const reason = motoIsAbsent();
if (reason !== undefined) process.stderr.write(`skipped: comparison with moto: ${reason}\n`);

interface Difference {
  readonly calls: readonly string[];
  /** Lines of our answer that moto's has not. */
  readonly ours?: readonly string[];
  /** Lines of moto's answer that ours has not. */
  readonly moto?: readonly string[];
  readonly because: string;
}

const DESCRIPTIONS = ['DescribeKey', 'DescribeKey by id', 'DescribeKey, deletion cancelled'] as const;
const WITHOUT_PLAINTEXT = 'GenerateDataKeyWithoutPlaintext';

/** Where moto (5.1) is not AWS, by the KMS and STS API references. In everything else the two agree. */
const DIFFERENCES: readonly Difference[] = [
  {
    calls: ['CreateKey'],
    ours: ['KeyMetadata.KeyUsage: ENCRYPT_DECRYPT', 'KeyMetadata.MultiRegion: false'],
    because: 'the API gives both for every key; moto repeats what the request said, here nothing',
  },
  {
    calls: ['CreateKey'],
    moto: ['KeyMetadata.SigningAlgorithms: []'],
    because: 'the API has this field only where KeyUsage is SIGN_VERIFY',
  },
  {
    calls: ['CreateKey', 'CreateKey, all said', ...DESCRIPTIONS],
    ours: ['KeyMetadata.CurrentKeyMaterialId: text'],
    because: 'the API names the current material of symmetric encryption keys; moto is older than that field',
  },
  {
    calls: ['Decrypt', 'Decrypt, key named', 'GenerateDataKey, spec', 'GenerateDataKey, bytes', WITHOUT_PLAINTEXT],
    ours: ['KeyMaterialId: text'],
    because: 'the API names the material that was used; moto is older than that field',
  },
  {
    calls: ['ReEncrypt'],
    ours: ['SourceKeyMaterialId: text', 'DestinationKeyMaterialId: text'],
    because: 'the API names the materials that were used; moto is older than these fields',
  },
  {
    calls: ['Encrypt', 'Decrypt', 'Decrypt, key named'],
    ours: ['EncryptionAlgorithm: SYMMETRIC_DEFAULT'],
    because: 'the API gives the algorithm that was used; moto leaves it out',
  },
  {
    calls: ['ReEncrypt'],
    ours: ['SourceEncryptionAlgorithm: SYMMETRIC_DEFAULT', 'DestinationEncryptionAlgorithm: SYMMETRIC_DEFAULT'],
    because: 'the API gives the algorithms that were used; moto leaves them out',
  },
  {
    calls: ['GetKeyPolicy'],
    ours: ['PolicyName: default'],
    because: 'the API gives the name beside the policy; moto leaves it out',
  },
  {
    calls: ['ListGrants', 'ListRetirableGrants'],
    ours: ['Grants[0].CreationDate: date', 'Grants[0].IssuingAccount: ARN of root'],
    because: 'a GrantListEntry of the API has both; moto leaves them out',
  },
  {
    calls: ['ListGrants', 'ListRetirableGrants'],
    ours: ['Grants[0].KeyId: ARN of key'],
    moto: ['Grants[0].KeyId: text'],
    because: "the developer guide's entry (Viewing grants) has the key's ARN; moto has its id",
  },
  {
    calls: ['ScheduleKeyDeletion', 'CancelKeyDeletion'],
    ours: ['KeyId: ARN of key'],
    moto: ['KeyId: text'],
    because: "the API answers with the key's ARN; moto repeats what the request said, here the id",
  },
  {
    calls: ['ScheduleKeyDeletion'],
    ours: ['KeyState: PendingDeletion', 'PendingWindowInDays: 9'],
    because: 'the API gives both; moto leaves them out',
  },
  {
    calls: ['AssumeRole'],
    moto: ['PackedPolicySize: number'],
    because: 'the API measures the session policy of the request, and here is none; moto says 6 whatever was asked',
  },
  {
    calls: ['AssumeRole, name too short'],
    ours: ['error: ValidationError'],
    moto: [
      'AssumedRoleUser.Arn: ARN of assumed-role',
      'AssumedRoleUser.AssumedRoleId: text',
      'Credentials.AccessKeyId: text',
      'Credentials.Expiration: date',
      'Credentials.SecretAccessKey: text',
      'Credentials.SessionToken: text',
      'PackedPolicySize: number',
    ],
    because: 'the API wants a session name of two characters at least; moto does not look at it',
  },
];

/** An answer as lines, `path: value`. Of values that each side makes up for itself, the kind alone. */
function lines(value: unknown, path = ''): readonly string[] {
  const name = /\w*$/.exec(path)?.[0] ?? '';
  if (value instanceof Uint8Array) return [`${path}: ${name === 'CiphertextBlob' ? 'bytes' : `${value.length} bytes`}`];
  if (value instanceof Date) return [`${path}: date`];
  if (Array.isArray(value)) {
    const items: readonly unknown[] = value;
    if (items.every((item) => typeof item === 'string')) return [`${path}: [${items.join(', ')}]`];
    return lines(items[0], `${path}[0]`);
  }
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value)
      .filter(([key, each]) => key !== '$metadata' && each !== undefined)
      .flatMap(([key, each]) => lines(each, path === '' ? key : `${path}.${key}`));
  }
  return [`${path}: ${kind(value, name)}`];
}

/** Texts and numbers that say what something is (states, specs, names) stand as they are. */
const TELLING =
  /^(KeyState|KeySpec|KeyUsage|CustomerMasterKeySpec|Origin|KeyManager|PolicyName|Name|Description|.*Algorithm|PendingWindowInDays)$/;

function kind(value: unknown, name: string): string {
  if (typeof value === 'boolean' || TELLING.test(name)) return String(value);
  if (typeof value === 'number') return 'number';
  const text = String(value);
  if (text.startsWith('arn:')) return `ARN of ${text.split(':')[5]?.split('/')[0]}`;
  return 'text';
}

async function result(call: Promise<object>): Promise<readonly string[]> {
  try {
    return lines(await call);
  } catch (cause) {
    return [`error: ${cause instanceof Error ? cause.name : String(cause)}`];
  }
}

async function prepare(kms: KMSClient, sts: STSClient): Promise<Side> {
  const make = async (): Promise<string> => {
    // All of it said: what is not said to moto is null in its descriptions.
    const said = { KeyUsage: 'ENCRYPT_DECRYPT', KeySpec: 'SYMMETRIC_DEFAULT', MultiRegion: false } as const;
    return (await kms.send(new CreateKeyCommand(said))).KeyMetadata?.Arn ?? '';
  };
  const key = await make();
  const encrypted = await kms.send(new EncryptCommand({ KeyId: key, Plaintext: bytes('compared'), EncryptionContext }));
  return {
    kms,
    sts,
    key,
    keyId: key.split('/')[1] ?? '',
    otherKey: await make(),
    blob: encrypted.CiphertextBlob ?? new Uint8Array(),
  };
}

describe.skipIf(reason !== undefined)(`answers as moto does${reason === undefined ? '' : ` (${reason})`}`, () => {
  const fixture = localAws();
  let moto: Moto | undefined;
  beforeAll(async () => {
    moto = await startMoto();
  });
  afterAll(() => moto?.stop());

  test('every difference is one of a call that is made', () => {
    expect(DIFFERENCES.flatMap(({ calls }) => calls).filter((name) => CALLS[name] === undefined)).toEqual([]);
  });

  test.each(Object.entries(CALLS))('%s', async (name: string, call: Call) => {
    const theirs = {
      region: REGION,
      endpoint: moto?.url ?? '',
      credentials: { accessKeyId: 'AKIAEXAMPLE', secretAccessKey: 'example' },
    };
    const [ours, other] = await Promise.all([
      prepare(fixture.kms('alice'), fixture.sts('alice')).then((side) => result(call(side))),
      prepare(new KMSClient(theirs), new STSClient(theirs)).then((side) => result(call(side))),
    ]);
    const known = DIFFERENCES.filter(({ calls }) => calls.includes(name));
    expect({
      ours: ours.filter((line) => !other.includes(line)).sort(),
      moto: other.filter((line) => !ours.includes(line)).sort(),
    }).toEqual({
      ours: known.flatMap((difference) => difference.ours ?? []).sort(),
      moto: known.flatMap((difference) => difference.moto ?? []).sort(),
    });
  });
});
