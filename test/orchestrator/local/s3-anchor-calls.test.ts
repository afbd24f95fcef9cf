/** What an anchor asks of S3, asked through the SDK: conditional creation, locks, versions. */
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  GetObjectLockConfigurationCommand,
  GetObjectRetentionCommand,
  GetBucketVersioningCommand,
  HeadObjectCommand,
  ListObjectVersionsCommand,
  PutObjectCommand,
  PutObjectRetentionCommand,
} from '@aws-sdk/client-s3';
import { randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { ALICE, BOB, REGION, localAws, outcome } from './fixture.ts';

const NOW = { ahead: 0 };
const fixture = localAws(() => Date.now() + NOW.ahead);
const DAY = 86_400_000;
const Bucket = 'alices-anchor';

beforeAll(async () => {
  await fixture.s3('alice').send(
    new CreateBucketCommand({
      Bucket,
      ObjectLockEnabledForBucket: true,
      CreateBucketConfiguration: { LocationConstraint: REGION },
    }),
  );
});

interface Entry {
  readonly Key: string;
  readonly Body: Uint8Array;
  readonly until: Date;
}

function entry(): Entry {
  return {
    Key: `accord/${randomBytes(6).toString('hex')}`,
    Body: randomBytes(101),
    until: new Date(Date.now() + 30 * DAY),
  };
}

function claim({ Key, Body, until }: Entry): PutObjectCommand {
  return new PutObjectCommand({
    Bucket,
    Key,
    Body,
    IfNoneMatch: '*',
    ObjectLockMode: 'COMPLIANCE',
    ObjectLockRetainUntilDate: until,
    ExpectedBucketOwner: ALICE,
  });
}

async function versions(Prefix: string) {
  return await fixture.s3('alice').send(new ListObjectVersionsCommand({ Bucket, Prefix, ExpectedBucketOwner: ALICE }));
}

describe('a claim', () => {
  test('is written once, read back with its lock, and refused the second time', async () => {
    const s3 = fixture.s3('alice');
    const one = entry();
    const put = await s3.send(claim(one));
    expect(put.VersionId).toMatch(/^[\w.]{32}$/);
    expect(await outcome(s3.send(claim({ ...one, Body: randomBytes(101) })))).toMatchObject({
      name: 'PreconditionFailed',
    });
    const listed = await versions(one.Key);
    expect(listed.Versions).toMatchObject([{ Key: one.Key, VersionId: put.VersionId, IsLatest: true, Size: 101 }]);
    expect(listed.DeleteMarkers).toBeUndefined();
    const read = await s3.send(new GetObjectCommand({ Bucket, Key: one.Key, VersionId: put.VersionId }));
    expect(await read.Body?.transformToByteArray()).toEqual(new Uint8Array(one.Body));
    expect(read).toMatchObject({ ObjectLockMode: 'COMPLIANCE', VersionId: put.VersionId, ETag: put.ETag });
    expect(read.ObjectLockRetainUntilDate?.getTime()).toBe(Math.floor(one.until.getTime() / 1000) * 1000);
  });

  test('of twenty at once exactly one is written', async () => {
    const s3 = fixture.s3('alice');
    const { Key, until } = entry();
    const all = await Promise.all(
      Array.from({ length: 20 }, () => outcome(s3.send(claim({ Key, Body: randomBytes(101), until })))),
    );
    expect(all.filter(({ name }) => name === 'success')).toHaveLength(1);
    expect(all.filter(({ name }) => name === 'PreconditionFailed')).toHaveLength(19);
    expect((await versions(Key)).Versions).toHaveLength(1);
  });

  test('succeeds over a delete marker, and the listing tells: newest first, the holder is the oldest', async () => {
    const s3 = fixture.s3('alice');
    const one = entry();
    const first = await s3.send(claim(one));
    await s3.send(new DeleteObjectCommand({ Bucket, Key: one.Key }));
    const second = await s3.send(claim({ ...one, Body: randomBytes(101) }));
    const { Versions, DeleteMarkers } = await versions(one.Key);
    expect(Versions?.map(({ VersionId, IsLatest }) => [VersionId, IsLatest])).toEqual([
      [second.VersionId, true],
      [first.VersionId, false],
    ]);
    expect(DeleteMarkers).toMatchObject([{ Key: one.Key, IsLatest: false }]);
  });
});

describe('a lock', () => {
  test('keeps the version from being removed or shortened, for as long as it says', async () => {
    const s3 = fixture.s3('alice');
    const one = entry();
    const { VersionId } = await s3.send(claim(one));
    const Key = one.Key;
    const remove = new DeleteObjectCommand({ Bucket, Key, VersionId, BypassGovernanceRetention: true });
    const retain = (days: number, Mode: 'COMPLIANCE' | 'GOVERNANCE' = 'COMPLIANCE'): PutObjectRetentionCommand =>
      new PutObjectRetentionCommand({
        Bucket,
        Key,
        VersionId,
        BypassGovernanceRetention: true,
        Retention: { Mode, RetainUntilDate: new Date(Date.now() + days * DAY) },
      });
    expect(await outcome(s3.send(remove))).toMatchObject({ name: 'AccessDenied', message: /protected by object lock/ });
    expect(await outcome(s3.send(retain(29)))).toMatchObject({ name: 'AccessDenied' });
    expect(await outcome(s3.send(retain(40, 'GOVERNANCE')))).toMatchObject({ name: 'AccessDenied' });
    await s3.send(retain(40));
    const { Retention } = await s3.send(new GetObjectRetentionCommand({ Bucket, Key, VersionId }));
    expect(Retention?.Mode).toBe('COMPLIANCE');
    NOW.ahead = 41 * DAY;
    try {
      await fixture.s3('alice', { systemClockOffset: NOW.ahead }).send(remove);
    } finally {
      NOW.ahead = 0;
    }
    expect((await versions(Key)).Versions).toBeUndefined();
  });
});

test('what a bucket is can be read', async () => {
  const s3 = fixture.s3('alice');
  expect(await s3.send(new GetBucketVersioningCommand({ Bucket }))).toMatchObject({ Status: 'Enabled' });
  expect(await s3.send(new GetObjectLockConfigurationCommand({ Bucket }))).toMatchObject({
    ObjectLockConfiguration: { ObjectLockEnabled: 'Enabled' },
  });
  expect(await outcome(s3.send(new HeadObjectCommand({ Bucket, Key: 'none' })))).toMatchObject({ name: 'NotFound' });
  expect(await outcome(s3.send(new GetObjectCommand({ Bucket, Key: 'none' })))).toMatchObject({ name: 'NoSuchKey' });
  expect(await outcome(s3.send(new GetObjectCommand({ Bucket, Key: 'none', ExpectedBucketOwner: BOB })))).toMatchObject(
    { name: 'AccessDenied' },
  );
});
