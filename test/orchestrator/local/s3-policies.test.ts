/** Who may do what with a bucket: the bucket's policy and the caller's own, and the condition keys that anchors lean on. */
import {
  CreateBucketCommand,
  DeleteBucketPolicyCommand,
  DeleteObjectCommand,
  GetBucketPolicyCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectVersionsCommand,
  ListObjectsV2Command,
  PutBucketPolicyCommand,
  PutObjectCommand,
  PutObjectRetentionCommand,
} from '@aws-sdk/client-s3';
import type { PutObjectCommandInput, S3Client } from '@aws-sdk/client-s3';
import {
  CreateAccessKeyCommand,
  CreateUserCommand,
  DeleteUserPolicyCommand,
  PutUserPolicyCommand,
} from '@aws-sdk/client-iam';
import { randomBytes } from 'node:crypto';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ALICE, ALICE_ARN, BOB, MALLORY_ARN, REGION, localAws, outcome } from './fixture.ts';

const fixture = localAws();
const Bucket = 'governed';
const ARN = `arn:aws:s3:::${Bucket}`;
const DAY = 86_400_000;
const BOB_ARN = `arn:aws:iam::${BOB}:user/bob`;

/** A user of Alice's account who may do nothing of his own accord. */
let writer: S3Client;

beforeAll(async () => {
  const iam = fixture.iam('alice');
  await fixture.s3('alice').send(
    new CreateBucketCommand({
      Bucket,
      ObjectLockEnabledForBucket: true,
      CreateBucketConfiguration: { LocationConstraint: REGION },
    }),
  );
  await iam.send(new CreateUserCommand({ UserName: 'writer' }));
  const { AccessKey } = await iam.send(new CreateAccessKeyCommand({ UserName: 'writer' }));
  writer = fixture.s3({
    accessKeyId: AccessKey?.AccessKeyId ?? '',
    secretAccessKey: AccessKey?.SecretAccessKey ?? '',
  });
});

interface Statement {
  readonly Effect?: 'Allow' | 'Deny';
  readonly Principal?: unknown;
  readonly Action: string | readonly string[];
  readonly Resource?: string | readonly string[];
  readonly Condition?: unknown;
}

const text = (statements: readonly object[]): string =>
  JSON.stringify({ Version: '2012-10-17', Statement: statements });

async function bucketPolicy(...statements: readonly Statement[]): Promise<void> {
  const whole = statements.map((each) => ({ Effect: 'Allow', Principal: '*', Resource: `${ARN}/*`, ...each }));
  await fixture.s3('alice').send(new PutBucketPolicyCommand({ Bucket, Policy: text(whole) }));
}

async function writerPolicy(...statements: readonly Statement[]): Promise<void> {
  const PolicyDocument = text(statements.map((each) => ({ Effect: 'Allow', Resource: `${ARN}/*`, ...each })));
  const put = new PutUserPolicyCommand({ UserName: 'writer', PolicyName: 'anchor', PolicyDocument });
  await fixture.iam('alice').send(put);
}

beforeEach(async () => {
  await fixture.s3('alice').send(new DeleteBucketPolicyCommand({ Bucket }));
  const none = new DeleteUserPolicyCommand({ UserName: 'writer', PolicyName: 'anchor' });
  await outcome(fixture.iam('alice').send(none));
});

const put = (s3: S3Client, more: Partial<PutObjectCommandInput> = {}): Promise<string> =>
  outcome(
    s3.send(new PutObjectCommand({ Bucket, Key: `accord/${randomBytes(6).toString('hex')}`, Body: 'x', ...more })),
  ).then(({ name }) => name);
const locked = (days: number): Partial<PutObjectCommandInput> => ({
  ObjectLockMode: 'COMPLIANCE',
  ObjectLockRetainUntilDate: new Date(Date.now() + days * DAY),
});

describe('without a policy of the bucket', () => {
  test('the policies of the account’s own users decide', async () => {
    expect(await put(fixture.s3('alice'))).toBe('success');
    expect(await put(writer)).toBe('AccessDenied');
    await writerPolicy({ Action: 's3:PutObject' });
    expect(await put(writer)).toBe('success');
    expect(await put(writer, locked(1))).toBe('AccessDenied');
  });

  test('another account has no way in, whatever its own policies say', async () => {
    const refused = await outcome(fixture.s3('bob').send(new GetObjectCommand({ Bucket, Key: 'x' })));
    expect(refused).toEqual({ name: 'AccessDenied', message: 'Access Denied' });
  });

  test('the refusal says which policy was missing, to the account’s own', async () => {
    expect(await outcome(writer.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' })))).toEqual({
      name: 'AccessDenied',
      message: `User: arn:aws:iam::${ALICE}:user/writer is not authorized to perform: s3:PutObject on resource: "${ARN}/k" because no identity-based policy allows the s3:PutObject action`,
    });
  });
});

describe('a policy of the bucket', () => {
  test('lets a user in whose own policies say nothing', async () => {
    await bucketPolicy({ Principal: { AWS: `arn:aws:iam::${ALICE}:user/writer` }, Action: 's3:PutObject' });
    expect(await put(writer)).toBe('success');
    expect(await put(fixture.s3('intern'))).toBe('AccessDenied');
  });

  test('lets another account in, where its own policies do too', async () => {
    await bucketPolicy({ Principal: { AWS: BOB_ARN }, Action: 's3:PutObject' });
    expect(await put(fixture.s3('bob'))).toBe('success');
    await bucketPolicy({ Principal: { AWS: `arn:aws:iam::${BOB}:root` }, Action: 's3:PutObject' });
    expect(await put(fixture.s3('bob'))).toBe('success');
    expect(await put(fixture.s3('charlie'))).toBe('AccessDenied');
  });

  test('denies its own administrators, who can put the next policy all the same', async () => {
    await bucketPolicy({
      Effect: 'Deny',
      Action: 's3:*',
      Resource: [ARN, `${ARN}/*`],
      Condition: { ArnEquals: { 'aws:PrincipalArn': MALLORY_ARN } },
    });
    expect(await put(fixture.s3('mallory'))).toBe('AccessDenied');
    expect(await put(fixture.s3('alice'))).toBe('success');
    const refused = await outcome(fixture.s3('mallory').send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' })));
    expect(refused.message).toContain('with an explicit deny in a resource-based policy');
  });

  test('is read, written and removed by the owner’s account alone', async () => {
    const everything = { Principal: { AWS: BOB_ARN }, Action: 's3:*', Resource: [ARN, `${ARN}/*`] };
    await bucketPolicy(everything);
    const bob = fixture.s3('bob');
    expect(await outcome(bob.send(new GetBucketPolicyCommand({ Bucket })))).toMatchObject({ name: 'MethodNotAllowed' });
    expect(await outcome(bob.send(new DeleteBucketPolicyCommand({ Bucket })))).toMatchObject({
      name: 'MethodNotAllowed',
    });
    const { Policy } = await fixture.s3('alice').send(new GetBucketPolicyCommand({ Bucket }));
    expect(JSON.parse(Policy ?? '')).toEqual({
      Version: '2012-10-17',
      Statement: [{ Effect: 'Allow', ...everything }],
    });
    await fixture.s3('alice').send(new DeleteBucketPolicyCommand({ Bucket }));
    expect(await outcome(fixture.s3('alice').send(new GetBucketPolicyCommand({ Bucket })))).toMatchObject({
      name: 'NoSuchBucketPolicy',
    });
  });
});

describe('conditions', () => {
  const DENY = { Effect: 'Deny', Action: 's3:PutObject' } as const;

  test('s3:if-none-match: what is not conditional is denied', async () => {
    await bucketPolicy({ ...DENY, Condition: { Null: { 's3:if-none-match': 'true' } } });
    expect(await put(fixture.s3('alice'))).toBe('AccessDenied');
    expect(await put(fixture.s3('alice'), { IfNoneMatch: '*' })).toBe('success');
  });

  test('s3:object-lock-mode: what is not locked for good is denied', async () => {
    await bucketPolicy({ ...DENY, Condition: { StringNotEquals: { 's3:object-lock-mode': 'COMPLIANCE' } } });
    expect(await put(fixture.s3('alice'))).toBe('AccessDenied');
    expect(await put(fixture.s3('alice'), { ...locked(1), ObjectLockMode: 'GOVERNANCE' })).toBe('AccessDenied');
    expect(await put(fixture.s3('alice'), locked(1))).toBe('success');
  });

  test('s3:object-lock-remaining-retention-days: what is locked for longer is denied, also afterwards', async () => {
    const condition = { NumericGreaterThan: { 's3:object-lock-remaining-retention-days': '100' } };
    await bucketPolicy({ ...DENY, Action: ['s3:PutObject', 's3:PutObjectRetention'], Condition: condition });
    const alice = fixture.s3('alice');
    expect(await put(alice, locked(101))).toBe('AccessDenied');
    expect(await put(alice, { ...locked(99), Key: 'bounded' })).toBe('success');
    const extend = (days: number): Promise<{ name: string }> =>
      outcome(
        alice.send(
          new PutObjectRetentionCommand({
            Bucket,
            Key: 'bounded',
            Retention: { Mode: 'COMPLIANCE', RetainUntilDate: new Date(Date.now() + days * DAY) },
          }),
        ),
      );
    expect(await extend(101)).toMatchObject({ name: 'AccessDenied' });
    expect(await extend(98)).toMatchObject({ name: 'AccessDenied', message: /protected by object lock/ });
    expect(await extend(100)).toMatchObject({ name: 'success' });
  });

  test('s3:prefix: versions of other prefixes are not listed', async () => {
    await writerPolicy({
      Action: 's3:ListBucketVersions',
      Resource: ARN,
      Condition: { StringLike: { 's3:prefix': 'accord/*' } },
    });
    const list = (Prefix: string | undefined): Promise<{ name: string }> =>
      outcome(writer.send(new ListObjectVersionsCommand({ Bucket, ...(Prefix === undefined ? {} : { Prefix }) })));
    expect(await list('accord/tickets/')).toMatchObject({ name: 'success' });
    expect(await list('other/')).toMatchObject({ name: 'AccessDenied' });
    expect(await list(undefined)).toMatchObject({ name: 'AccessDenied' });
  });

  test('aws:SecureTransport: all here is over TLS', async () => {
    await bucketPolicy({ ...DENY, Action: 's3:*', Condition: { Bool: { 'aws:SecureTransport': 'false' } } });
    expect(await put(fixture.s3('alice'))).toBe('success');
  });
});

describe('what a permission does not cover', () => {
  test('a locked write needs the right to lock, a version the right to versions, its lock the right to see it', async () => {
    const { VersionId } = await fixture
      .s3('alice')
      .send(new PutObjectCommand({ Bucket, Key: 'seen', Body: 'x', ...locked(1) }));
    await writerPolicy({ Action: 's3:GetObject' });
    expect(await writer.send(new HeadObjectCommand({ Bucket, Key: 'seen' }))).not.toHaveProperty('ObjectLockMode');
    const versioned = new GetObjectCommand({ Bucket, Key: 'seen', VersionId });
    expect(await outcome(writer.send(versioned))).toMatchObject({ name: 'AccessDenied' });
    await writerPolicy({ Action: ['s3:GetObject', 's3:GetObjectVersion', 's3:GetObjectRetention'] });
    expect(await writer.send(versioned)).toMatchObject({ ObjectLockMode: 'COMPLIANCE' });
  });

  test('who may not list is not told that there is no such key', async () => {
    await writerPolicy({ Action: 's3:GetObject' });
    const get = new GetObjectCommand({ Bucket, Key: 'absent' });
    expect(await outcome(writer.send(get))).toMatchObject({ name: 'AccessDenied' });
    await writerPolicy({ Action: 's3:GetObject' }, { Action: 's3:ListBucket', Resource: ARN });
    expect(await outcome(writer.send(get))).toMatchObject({ name: 'NoSuchKey' });
  });

  test('putting a delete marker is one right, removing a version another', async () => {
    const { VersionId } = await fixture.s3('alice').send(new PutObjectCommand({ Bucket, Key: 'kept', Body: 'x' }));
    await writerPolicy({ Action: 's3:DeleteObject' });
    const remove = new DeleteObjectCommand({ Bucket, Key: 'kept', VersionId });
    expect(await outcome(writer.send(remove))).toMatchObject({ name: 'AccessDenied' });
    expect(await outcome(writer.send(new DeleteObjectCommand({ Bucket, Key: 'kept' })))).toMatchObject({
      name: 'success',
    });
  });

  test('a bucket’s settings are not its objects', async () => {
    await writerPolicy({ Action: 's3:*', Resource: `${ARN}/*` });
    expect(await outcome(writer.send(new GetBucketVersioningCommand({ Bucket })))).toMatchObject({
      name: 'AccessDenied',
    });
    expect(await outcome(writer.send(new ListObjectsV2Command({ Bucket })))).toMatchObject({ name: 'AccessDenied' });
  });
});

describe('a policy that S3 would not take', () => {
  const one = (more: object): string =>
    text([{ Effect: 'Allow', Principal: { AWS: ALICE_ARN }, Action: 's3:GetObject', Resource: `${ARN}/*`, ...more }]);
  test.each<[string, string, string | RegExp]>([
    ['no JSON', '{', /Json/],
    ['another bucket', one({ Resource: 'arn:aws:s3:::other/*' }), 'Policy has invalid resource'],
    ['another service', one({ Action: 'kms:Decrypt' }), 'Policy has invalid action'],
    ['an action on objects, over the bucket', one({ Resource: ARN }), /Action does not apply to any resource/],
    ['an action on the bucket, over objects', one({ Action: 's3:ListBucket' }), /Action does not apply/],
    ['a misspelt action', one({ Action: 's3:PutObjekt' }), /Action does not apply/],
    ['nobody', one({ Principal: undefined }), /principals/],
    [
      'somebody who does not exist',
      one({ Principal: { AWS: `arn:aws:iam::${ALICE}:user/none` } }),
      'Invalid principal in policy',
    ],
    ['a condition that is never filled in', one({ Condition: { Bool: { 's3:unknown': 'true' } } }), /s3:unknown/],
    ['more than 20 KB', one({ Sid: 'x'.repeat(20_480) }), /20 KB/],
  ])('%s', async (_, Policy, message) => {
    const refused = await outcome(fixture.s3('alice').send(new PutBucketPolicyCommand({ Bucket, Policy })));
    expect(refused.name).toBe('MalformedPolicy');
    expect(refused.message).toMatch(message);
  });
});

test('the request log says what was asked of the bucket and what came of it', async () => {
  await outcome(writer.send(new PutObjectCommand({ Bucket, Key: 'accord/logged', Body: 'x', ...locked(1) })));
  expect(fixture.aws.requests().at(-1)).toMatchObject({
    service: 's3',
    operation: 'PutObject',
    principal: `arn:aws:iam::${ALICE}:user/writer`,
    decisions: [{ action: 's3:PutObject', resource: `${ARN}/accord/logged`, allowed: false }],
    error: { code: 'AccessDenied' },
  });
});
