/** Buckets and objects through the end of the server, wherever it comes; and answers that never arrive. */
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  GetBucketPolicyCommand,
  GetObjectCommand,
  GetObjectLockConfigurationCommand,
  ListBucketsCommand,
  ListObjectVersionsCommand,
  PutBucketPolicyCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { fromIni } from '@aws-sdk/credential-providers';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { appendFile, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { LocalAws } from '../../../orchestrator/local/aws.ts';
import { startLocalAws } from '../../../orchestrator/local/aws.ts';
import type { Disturbance, DisturbedRequest } from '../../../orchestrator/local/disturbance.ts';
import { CONFLICT } from '../../../orchestrator/local/disturbance.ts';
import { REGION, outcome } from './fixture.ts';

const Bucket = 'kept';
const LOCK = { ObjectLockMode: 'COMPLIANCE', ObjectLockRetainUntilDate: new Date(Date.UTC(2099, 0, 1)) } as const;
let dataDir: string;
let aws: LocalAws;
let s3: S3Client;
let disturb: ((request: DisturbedRequest) => Disturbance | undefined) | undefined;

async function start(): Promise<void> {
  aws = await startLocalAws({ dataDir, disturb: (request) => disturb?.(request) });
  s3 = new S3Client({
    region: REGION,
    endpoint: aws.url,
    forcePathStyle: true,
    maxAttempts: 1,
    credentials: fromIni({ profile: 'alice', filepath: aws.environment()['AWS_SHARED_CREDENTIALS_FILE'] ?? '' }),
    requestHandler: new NodeHttpHandler({ httpsAgent: new Agent({ ca: aws.caPem }) }),
  });
}

async function stop(): Promise<void> {
  s3.destroy();
  await aws.close();
}

beforeEach(async () => {
  disturb = undefined;
  dataDir = await mkdtemp(join(tmpdir(), 'accord-s3-'));
  await start();
  const CreateBucketConfiguration = { LocationConstraint: REGION } as const;
  await s3.send(new CreateBucketCommand({ Bucket, CreateBucketConfiguration, ObjectLockEnabledForBucket: true }));
});
afterEach(async () => {
  await stop();
  await rm(dataDir, { recursive: true, force: true });
});

const put = (Key: string, Body: string, more: object = {}) =>
  s3.send(new PutObjectCommand({ Bucket, Key, Body, ...more }));
const bodyOf = async (Key: string, VersionId?: string): Promise<string | undefined> => {
  const { Body } = await s3.send(
    new GetObjectCommand({ Bucket, Key, ...(VersionId === undefined ? {} : { VersionId }) }),
  );
  return await Body?.transformToString();
};
const versions = () => s3.send(new ListObjectVersionsCommand({ Bucket }));
const folder = (): string => join(dataDir, 's3', Bucket, 'versions');

describe('a restart', () => {
  test('finds buckets, policies, versions, markers and locks as they were', async () => {
    const { VersionId = '' } = await put('a', 'first', { ...LOCK, IfNoneMatch: '*' });
    await s3.send(new DeleteObjectCommand({ Bucket, Key: 'a' }));
    await put('a', 'second', { IfNoneMatch: '*' });
    await put('b', 'other');
    const Policy = JSON.stringify({
      Version: '2012-10-17',
      Statement: [{ Effect: 'Deny', Principal: '*', Action: 's3:GetObject', Resource: `arn:aws:s3:::${Bucket}/c` }],
    });
    await s3.send(new PutBucketPolicyCommand({ Bucket, Policy }));
    const before = await versions();
    await stop();
    await start();
    expect({ ...(await versions()), $metadata: 0 }).toEqual({ ...before, $metadata: 0 });
    expect(before.Versions).toHaveLength(3);
    expect([await bodyOf('a'), await bodyOf('a', VersionId), await bodyOf('b')]).toEqual(['second', 'first', 'other']);
    expect((await s3.send(new GetBucketPolicyCommand({ Bucket }))).Policy).toBe(Policy);
    expect(await s3.send(new GetObjectLockConfigurationCommand({ Bucket }))).toHaveProperty('ObjectLockConfiguration');
    const remove = new DeleteObjectCommand({ Bucket, Key: 'a', VersionId });
    expect(await outcome(s3.send(remove))).toMatchObject({ name: 'AccessDenied' });
    const again = await outcome(put('a', 'third', { IfNoneMatch: '*' }));
    expect(again.name).toBe('PreconditionFailed');
    await put('a', 'newest');
    expect((await versions()).Versions?.[0]).toMatchObject({ Key: 'a', IsLatest: true, Size: 6 });
  });

  test('takes what was half written for never written', async () => {
    await put('a', 'whole');
    await stop();
    const [name = ''] = await readdir(folder());
    await writeFile(join(folder(), `${name}x.draft`), '{"sequence":9,"key":"a"');
    await mkdir(join(dataDir, 's3', '.new-half', 'versions'), { recursive: true });
    await mkdir(join(dataDir, 's3', '.gone-half'), { recursive: true });
    await start();
    expect(await bodyOf('a')).toBe('whole');
    expect((await versions()).Versions).toHaveLength(1);
    expect((await s3.send(new ListBucketsCommand({}))).Buckets?.map(({ Name }) => Name)).toEqual([Bucket]);
    expect(await readdir(folder())).toEqual([name]);
  });

  test('without versioning, keeps the newest of two where the end came between writing it and removing the last', async () => {
    await s3.send(
      new CreateBucketCommand({ Bucket: 'plain', CreateBucketConfiguration: { LocationConstraint: REGION } }),
    );
    await s3.send(new PutObjectCommand({ Bucket: 'plain', Key: 'k', Body: 'old' }));
    const plain = join(dataDir, 's3', 'plain', 'versions');
    const [old = ''] = await readdir(plain);
    const kept = await readFile(join(plain, old));
    await s3.send(new PutObjectCommand({ Bucket: 'plain', Key: 'k', Body: 'new' }));
    await stop();
    await appendFile(join(plain, old), kept);
    await start();
    const { Body } = await s3.send(new GetObjectCommand({ Bucket: 'plain', Key: 'k' }));
    expect(await Body?.transformToString()).toBe('new');
    expect(await readdir(plain)).toHaveLength(1);
    await s3.send(new DeleteObjectCommand({ Bucket: 'plain', Key: 'k' }));
    await s3.send(new DeleteBucketCommand({ Bucket: 'plain' }));
    await stop();
    await start();
    expect(await outcome(s3.send(new DeleteBucketCommand({ Bucket: 'plain' })))).toMatchObject({
      name: 'NoSuchBucket',
    });
  });
});

describe('trouble that a test asks for', () => {
  const once = (operation: string, disturbance: Disturbance): void => {
    disturb = (request) => {
      if (request.operation !== operation) return undefined;
      disturb = undefined;
      return disturbance;
    };
  };

  test('two conditional writes at once: the other is told to come again', async () => {
    once('PutObject', { done: false, answer: CONFLICT });
    const refused = await outcome(put('a', 'x', { IfNoneMatch: '*' }));
    expect(refused.name).toBe('ConditionalRequestConflict');
    expect(await outcome(put('a', 'x', { IfNoneMatch: '*' }))).toMatchObject({ name: 'success' });
  });

  test('an error although it was written', async () => {
    once('PutObject', { done: true, answer: { code: 'InternalError', status: 500 } });
    expect(await outcome(put('a', 'x', { IfNoneMatch: '*' }))).toMatchObject({ name: 'InternalError' });
    expect(await bodyOf('a')).toBe('x');
    expect(await outcome(put('a', 'x', { IfNoneMatch: '*' }))).toMatchObject({ name: 'PreconditionFailed' });
  });

  test.each([true, false])('no answer at all, done: %s', async (done) => {
    once('PutObject', { done, answer: 'hang-up' });
    expect((await outcome(put('a', 'x'))).name).not.toBe('success');
    expect((await versions()).Versions?.length ?? 0).toBe(done ? 1 : 0);
  });

  test('knows whose request it is, and of what', async () => {
    const seen: DisturbedRequest[] = [];
    disturb = (request) => {
      seen.push(request);
      return undefined;
    };
    await put('accord/a', 'x');
    expect(seen).toEqual([
      {
        service: 's3',
        operation: 'PutObject',
        principal: 'arn:aws:iam::111122223333:user/alice',
        bucket: Bucket,
        key: 'accord/a',
      },
    ]);
  });
});
