/** The anchor in a bucket, against AWS in miniature: also what an S3 that checks nobody cannot show. */
import { CreateAccessKeyCommand, CreateUserCommand } from '@aws-sdk/client-iam';
import { Agent } from 'node:https';
import { beforeAll, describe, expect, test } from 'vitest';
import type { S3Credentials, S3Settings } from '../../../enclave/claims/s3.ts';
import { ALICE, BOB, REGION, localAws } from '../../orchestrator/local/fixture.ts';
import type { Bucket, S3Place } from './s3-place.ts';
import { makeBucket, openBucket } from './s3-place.ts';
import { s3AnchorSuite } from './s3-suite.ts';

const fixture = localAws();
const live = (): AbortSignal => new AbortController().signal;
let place: S3Place | undefined;

function local(): S3Place {
  if (place === undefined) throw new Error('the local AWS has not started');
  return place;
}

async function newKey(UserName: string): Promise<S3Credentials> {
  const { AccessKey } = await fixture.iam('alice').send(new CreateAccessKeyCommand({ UserName }));
  return { accessKeyId: AccessKey?.AccessKeyId ?? '', secretAccessKey: AccessKey?.SecretAccessKey ?? '' };
}

beforeAll(async () => {
  const { url, caPem } = fixture.aws;
  place = {
    owner: fixture.s3('alice'),
    keepsLocks: true,
    marksAbsent: true,
    settings: {
      trust: { attestationRoot: '', tlsRoots: [], endpoints: { kms: url, sts: url, s3: url } },
      region: REGION,
      account: ALICE,
      credentials: await newKey('alice'),
      agent: new Agent({ keepAlive: true, ca: caPem }),
      clockOffset: () => Promise.resolve(0),
    },
  };
});

s3AnchorSuite('AWS in miniature', local);

describe('a request that S3 refuses has a reason of its own', () => {
  let name = '';
  beforeAll(async () => {
    name = (await makeBucket(local())).name;
  });

  async function refusal(changes: Partial<S3Settings>, bucket: string = name): Promise<void> {
    const { anchor }: Bucket = openBucket(local(), bucket, changes);
    await anchor.check(live());
  }

  test('no permission', async () => {
    await fixture.iam('alice').send(new CreateUserCommand({ UserName: 'nobody' }));
    await expect(refusal({ credentials: await newKey('nobody') })).rejects.toMatchObject({
      code: 'anchor/refused',
      message: expect.stringContaining('refuses the credential'),
      where: expect.stringContaining('AccessDenied'),
    });
  });

  test('an access key that nobody has, and one with another secret', async () => {
    const unknown = { code: 'anchor/refused', message: expect.stringContaining('access key') };
    await expect(
      refusal({ credentials: { accessKeyId: 'AKIANOBODYKNOWSTHISX', secretAccessKey: 'x' } }),
    ).rejects.toMatchObject(unknown);
    const { accessKeyId } = local().settings.credentials;
    await expect(refusal({ credentials: { accessKeyId, secretAccessKey: 'guessed' } })).rejects.toMatchObject(unknown);
  });

  test('a clock that is an hour off', async () => {
    await expect(refusal({ clockOffset: () => Promise.resolve(3_600_000) })).rejects.toMatchObject({
      code: 'anchor/refused',
      message: expect.stringContaining('time of the request'),
    });
  });

  test('the bucket is in another Region', async () => {
    await expect(refusal({ region: 'us-west-2' })).rejects.toMatchObject({
      code: 'anchor/refused',
      message: expect.stringContaining('another Region'),
      where: expect.stringContaining(REGION),
    });
  });

  test('the bucket is of another account than the key', async () => {
    await expect(refusal({ account: BOB })).rejects.toMatchObject({
      code: 'anchor/refused',
      message: expect.stringContaining('does not belong to the account'),
    });
  });
});

test('a claim is three requests, of which two go out at once', async () => {
  const { anchor } = await makeBucket(local());
  const samples: number[] = [];
  const before = fixture.aws.requests().length;
  for (let k = 0; k < 12; k += 1) {
    const start = performance.now();
    await anchor.claim('tickets/ab/classify/alice', k, new Uint8Array(101).fill(k), live());
    samples.push(performance.now() - start);
  }
  process.stderr.write(`a claim in the local S3: ${samples.toSorted((a, b) => a - b)[6]?.toFixed(1)} ms\n`);
  const asked = fixture.aws.requests().slice(before).map(({ operation }) => operation); // prettier-ignore
  expect(asked.filter((_, i) => i % 3 === 0)).toEqual(Array.from({ length: 12 }, () => 'PutObject'));
  expect(asked.filter((_, i) => i % 3 !== 0).sort()).toEqual([
    ...Array.from({ length: 12 }, () => 'GetObject'),
    ...Array.from({ length: 12 }, () => 'ListObjectVersions'),
  ]);
});
