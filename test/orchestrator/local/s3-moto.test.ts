/**
 * S3 side by side with an emulator that we did not write: the same status, fields, values and names of errors. Where the two
 * differ, a row below says in which lines and why; it must still be so.
 */
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { REGION, localAws } from './fixture.ts';
import type { Moto } from './moto.ts';
import { motoIsAbsent, startMoto } from './moto.ts';
import type { S3ComparedCall, S3Side } from './s3-compared-calls.ts';
import { S3_CALLS } from './s3-compared-calls.ts';

const reason = motoIsAbsent();
if (reason !== undefined) process.stderr.write(`skipped: comparison of S3 with moto: ${reason}\n`);

interface Difference {
  readonly calls: readonly string[];
  /** Lines of our answer that moto's has not. */
  readonly ours?: readonly string[];
  /** Lines of moto's answer that ours has not. */
  readonly moto?: readonly string[];
  readonly because: string;
}

/** What moto (5.1) leaves out or adds in every answer of a kind. */
const EVERYWHERE: readonly { readonly side: 'ours' | 'moto'; readonly line: RegExp; readonly because: string }[] = [
  {
    side: 'ours',
    line: /(^|\.)ChecksumType: FULL_OBJECT$/,
    because: 'the API says of what a checksum is one; moto is older than that field',
  },
  {
    side: 'ours',
    line: /^ServerSideEncryption: AES256$/,
    because: 'S3 encrypts every new object since January 2023 and says so; moto does where it is asked to',
  },
  {
    side: 'ours',
    line: /^Versions\[\d\]\.ChecksumAlgorithm\[0\]: CRC32$/,
    because: 'an ObjectVersion of the API names its checksum; moto leaves it out',
  },
  {
    side: 'moto',
    line: /Owner\.DisplayName: webfile$/,
    because: 'S3 answers with DisplayName no more since November 2025',
  },
  { side: 'moto', line: /^Delimiter: None$/, because: 'no delimiter was given: moto writes Python’s word for nothing' },
];

const WRITTEN = [
  'ChecksumCRC32: KyGdcA==',
  'ETag: "1043bfc77febe75fafec0c4309faccf1"',
  'VersionId: text',
  'status: 200',
];
const NOT_READ = 'moto has no GetObjectRetention: it answers with the object';

/** Where moto (5.1) is not AWS, by the S3 API reference and user guide. In everything else the two agree. */
const DIFFERENCES: readonly Difference[] = [
  {
    calls: ['PutObject, locked, with a CRC alone'],
    ours: WRITTEN,
    moto: ['error: InvalidContentMD5', 'status: 400'],
    because:
      'PutObject with a lock needs "the Content-MD5 or x-amz-sdk-checksum-algorithm header"; moto knows the first',
  },
  {
    calls: ['PutObject, locked by half'],
    ours: ['error: InvalidArgument', 'status: 400'],
    moto: WRITTEN,
    because: 'mode and date "must both be supplied"; moto takes one without the other',
  },
  {
    calls: ['GetObject', 'GetObject, a version'],
    ours: ['ChecksumCRC32: KyGdcA=='],
    because: 'the SDK asks for the checksum (ChecksumMode); moto does not give it',
  },
  {
    calls: ['GetObject, a delete marker'],
    ours: ['error: MethodNotAllowed', 'status: 405'],
    moto: ['error: NoSuchKey', 'status: 404'],
    because: '"if the specified version is a delete marker, the response returns a 405"',
  },
  {
    calls: ['DeleteObject, a locked version'],
    ours: ['status: 403'],
    moto: ['status: 400'],
    because: 'AccessDenied has status 403 in the API’s list of errors',
  },
  {
    calls: ['DeleteObject, absent'],
    ours: ['DeleteMarker: true', 'VersionId: text'],
    because: 'with versioning on, a marker is put also where there was nothing; moto looks for the object first',
  },
  {
    calls: ['ListObjectVersions, page by page'],
    ours: ['Key: a true, b true, b false, c true'],
    moto: ['Key: a true, b true, b true, c true'],
    because: 'IsLatest is true of one version; moto calls the first of each page so',
  },
  {
    calls: ['GetObjectRetention'],
    ours: ['Retention.Mode: COMPLIANCE', 'Retention.RetainUntilDate: 2099-01-01T00:00:00.000Z'],
    moto: ['error: Error'],
    because: NOT_READ,
  },
  {
    calls: ['PutObjectRetention, longer'],
    ours: ['Retention.Mode: COMPLIANCE', 'Retention.RetainUntilDate: 2099-01-02T00:00:00.000Z'],
    moto: ['error: Error'],
    because: NOT_READ,
  },
  {
    calls: ['GetObjectRetention, none'],
    ours: ['error: NoSuchObjectLockConfiguration', 'status: 404'],
    moto: ['error: Error', 'status: 200'],
    because: NOT_READ,
  },
  {
    calls: ['PutObjectLockConfiguration, a default'],
    ours: [
      'Mode: GOVERNANCE',
      'ObjectLockConfiguration.ObjectLockEnabled: Enabled',
      'ObjectLockConfiguration.Rule.DefaultRetention.Days: 3',
      'ObjectLockConfiguration.Rule.DefaultRetention.Mode: GOVERNANCE',
    ],
    moto: ['error: Error'],
    because: NOT_READ,
  },
  {
    calls: ['PutObjectRetention, shorter', 'PutObjectRetention, softer'],
    ours: ['error: AccessDenied', 'status: 403'],
    moto: ['status: 200'],
    because:
      'a lock in compliance mode "can\'t be changed, and its retention period can\'t be shortened"; moto does both',
  },
  {
    calls: ['PutBucketVersioning, off under a lock'],
    ours: ['error: InvalidBucketState', 'status: 409'],
    moto: ['status: 200'],
    because: 'with Object Lock "you can\'t suspend versioning for the bucket"; moto does',
  },
  {
    calls: ['CreateBucket'],
    ours: ['Location: text'],
    because: 'the API answers with the bucket’s location; moto leaves it out',
  },
  {
    calls: ['CreateBucket, a name in capitals'],
    ours: ['error: InvalidBucketName', 'status: 400'],
    moto: ['status: 200'],
    because: 'names "can consist only of lowercase letters, numbers, periods, and hyphens"',
  },
  {
    calls: ['PutObject, another account expected'],
    ours: ['error: AccessDenied', 'status: 403'],
    moto: WRITTEN,
    because:
      '"if the account ID that you provide does not match the actual owner of the bucket, the request fails"; moto does not look at it',
  },
];

/** An answer as lines, `path: value`; what each side makes up for itself (dates, ids) as its kind alone. */
function lines(value: unknown, path = ''): readonly string[] {
  if (value instanceof Date) return [`${path}: ${value.getUTCFullYear() > 2090 ? value.toISOString() : 'date'}`];
  if (Array.isArray(value)) return value.flatMap((each: unknown, index) => lines(each, `${path}[${index}]`));
  if (typeof value !== 'object' || value === null) return [`${path}: ${MADE_UP.test(path) ? 'text' : String(value)}`];
  return Object.entries(value)
    .filter(([key, each]) => each !== undefined && !['$metadata', 'Body'].includes(key))
    .flatMap(([key, each]) => lines(each, path === '' ? key : `${path}.${key}`));
}

const MADE_UP = /(VersionId|VersionIdMarker|Owner\.ID|^Name|^Location)$/;

async function result(call: Promise<object>): Promise<readonly string[]> {
  try {
    const answer: { readonly $metadata?: { readonly httpStatusCode?: number } } = await call;
    return [`status: ${answer.$metadata?.httpStatusCode}`, ...lines(answer)];
  } catch (cause) {
    if (!(cause instanceof Error)) throw cause;
    // An answer that the SDK cannot read is an error of its own, whatever its status.
    const status = '$metadata' in cause ? Object.entries(cause.$metadata ?? {}) : [];
    return [`error: ${cause.name}`, `status: ${new Map(status).get('httpStatusCode')}`];
  }
}

async function prepare(s3: S3Client): Promise<S3Side> {
  const name = randomBytes(6).toString('hex');
  const make = async (Bucket: string, ObjectLockEnabledForBucket: boolean): Promise<string> => {
    const CreateBucketConfiguration = { LocationConstraint: REGION } as const;
    await s3.send(new CreateBucketCommand({ Bucket, ObjectLockEnabledForBucket, CreateBucketConfiguration }));
    return Bucket;
  };
  return { s3, locked: await make(`locked-${name}`, true), plain: await make(`plain-${name}`, false) };
}

describe.skipIf(reason !== undefined)(`answers as moto does${reason === undefined ? '' : ` (${reason})`}`, () => {
  const fixture = localAws();
  const seen = new Set<string>();
  let moto: Moto | undefined;
  beforeAll(async () => {
    moto = await startMoto();
  });
  afterAll(() => moto?.stop());

  test('every difference is one of a call that is made', () => {
    expect(DIFFERENCES.flatMap(({ calls }) => calls).filter((name) => S3_CALLS[name] === undefined)).toEqual([]);
  });

  test.each(Object.entries(S3_CALLS))('%s', async (name: string, call: S3ComparedCall) => {
    const theirs = new S3Client({
      region: REGION,
      endpoint: moto?.url ?? '',
      forcePathStyle: true,
      maxAttempts: 1,
      credentials: { accessKeyId: 'AKIAEXAMPLE', secretAccessKey: 'example' },
    });
    const [ours, other] = await Promise.all([
      prepare(fixture.s3('alice')).then((side) => result(call(side))),
      prepare(theirs).then((side) => result(call(side))),
    ]);
    theirs.destroy();
    const wanted = (side: 'ours' | 'moto', line: string): boolean => {
      const rule = EVERYWHERE.find((each) => each.side === side && each.line.test(line));
      if (rule !== undefined) seen.add(rule.because);
      return rule === undefined;
    };
    const known = DIFFERENCES.filter(({ calls }) => calls.includes(name));
    expect({
      ours: ours.filter((line) => !other.includes(line) && wanted('ours', line)).sort(),
      moto: other.filter((line) => !ours.includes(line) && wanted('moto', line)).sort(),
    }).toEqual({
      ours: known.flatMap((difference) => difference.ours ?? []).sort(),
      moto: known.flatMap((difference) => difference.moto ?? []).sort(),
    });
  });

  test('every difference that is everywhere was seen', () => {
    expect([...seen].sort()).toEqual(EVERYWHERE.map(({ because }) => because).sort());
  });
});
