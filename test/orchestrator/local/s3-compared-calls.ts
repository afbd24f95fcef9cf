/** What anchors and their owners ask of S3, each named: asked of the local AWS and of an emulator that we did not write. */
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteBucketPolicyCommand,
  DeleteObjectCommand,
  GetBucketLocationCommand,
  GetBucketPolicyCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  GetObjectLockConfigurationCommand,
  GetObjectRetentionCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListObjectVersionsCommand,
  ListObjectsV2Command,
  PutBucketPolicyCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  PutObjectLockConfigurationCommand,
  PutObjectRetentionCommand,
} from '@aws-sdk/client-s3';
import type { PutObjectCommandInput, S3Client } from '@aws-sdk/client-s3';
import { createHash } from 'node:crypto';

export interface S3Side {
  readonly s3: S3Client;
  /** With versioning and Object Lock; another without either; both empty. */
  readonly locked: string;
  readonly plain: string;
}

export type S3ComparedCall = (side: S3Side) => Promise<object>;

const Key = 'accord/tickets/0';
const FUTURE = new Date(Date.UTC(2099, 0, 1));
const LATER = new Date(Date.UTC(2099, 0, 2));
const EARLIER = new Date(Date.UTC(2098, 0, 1));

const put = ({ s3, locked: Bucket }: S3Side, more: Partial<PutObjectCommandInput> = {}) =>
  s3.send(new PutObjectCommand({ Bucket, Key, Body: 'entry', ...more }));
const ONCE = { IfNoneMatch: '*' } as const;
/** AWS takes any checksum with a lock, and the SDK sends one; moto takes this alone. */
const ContentMD5 = createHash('md5').update('entry').digest('base64');
const LOCK = { ObjectLockMode: 'COMPLIANCE', ObjectLockRetainUntilDate: FUTURE, ContentMD5 } as const;
const mark = ({ s3, locked: Bucket }: S3Side) => s3.send(new DeleteObjectCommand({ Bucket, Key }));
const versions = ({ s3, locked: Bucket }: S3Side, more: object = {}) =>
  s3.send(new ListObjectVersionsCommand({ Bucket, ...more }));
const retain = (side: S3Side, RetainUntilDate: Date, Mode: 'COMPLIANCE' | 'GOVERNANCE' = 'COMPLIANCE') =>
  side.s3.send(new PutObjectRetentionCommand({ Bucket: side.locked, Key, Retention: { Mode, RetainUntilDate } }));
const policy = (bucket: string): string =>
  JSON.stringify({
    Version: '2012-10-17',
    Statement: [{ Effect: 'Deny', Principal: '*', Action: 's3:DeleteObject', Resource: `arn:aws:s3:::${bucket}/*` }],
  });

export const S3_CALLS: Readonly<Record<string, S3ComparedCall>> = {
  'PutObject, conditional': (side) => put(side, ONCE),
  'PutObject, conditional, twice': async (side) => {
    await put(side, ONCE);
    return await put(side, ONCE);
  },
  'PutObject, conditional, over a delete marker': async (side) => {
    await put(side, ONCE);
    await mark(side);
    return await put(side, ONCE);
  },
  'PutObject, not conditional, twice': async (side) => {
    await put(side);
    await put(side, { Body: 'other' });
    return await versions(side);
  },
  'PutObject, conditional, twenty at once': async (side) => {
    const all = await Promise.allSettled(Array.from({ length: 20 }, (_, n) => put(side, { ...ONCE, Body: `${n}` })));
    const listed = await versions(side);
    return { Written: all.filter(({ status }) => status === 'fulfilled').length, Size: listed.Versions?.length };
  },
  'PutObject, locked': (side) => put(side, LOCK),
  'PutObject, locked, into a bucket without locks': (side) => put({ ...side, locked: side.plain }, LOCK),
  'PutObject, locked, with a CRC alone': (side) => put(side, { ...LOCK, ContentMD5: undefined }),
  'PutObject, locked by half': (side) => put(side, { ObjectLockMode: 'COMPLIANCE', ContentMD5 }),
  'PutObject, no such bucket': (side) => put({ ...side, locked: `${side.plain}-absent` }),
  'PutObject without versions': (side) => put({ ...side, locked: side.plain }),
  GetObject: async (side) => {
    await put(side, LOCK);
    return await side.s3.send(new GetObjectCommand({ Bucket: side.locked, Key }));
  },
  'GetObject, a version': async (side) => {
    const { VersionId } = await put(side);
    await put(side, { Body: 'newer' });
    return await side.s3.send(new GetObjectCommand({ Bucket: side.locked, Key, VersionId }));
  },
  'GetObject, absent': ({ s3, locked: Bucket }) => s3.send(new GetObjectCommand({ Bucket, Key })),
  'GetObject, deleted': async (side) => {
    await put(side);
    await mark(side);
    return await side.s3.send(new GetObjectCommand({ Bucket: side.locked, Key }));
  },
  'GetObject, a delete marker': async (side) => {
    const { VersionId } = await mark(side);
    return await side.s3.send(new GetObjectCommand({ Bucket: side.locked, Key, VersionId }));
  },
  'GetObject, absent version': async (side) => {
    const { VersionId = '' } = await put(side);
    const other = VersionId.replace(/^./, (first) => (first === 'a' ? 'b' : 'a'));
    return await side.s3.send(new GetObjectCommand({ Bucket: side.locked, Key, VersionId: other }));
  },
  HeadObject: async (side) => {
    await put(side, LOCK);
    return await side.s3.send(new HeadObjectCommand({ Bucket: side.locked, Key }));
  },
  'HeadObject, absent': ({ s3, locked: Bucket }) => s3.send(new HeadObjectCommand({ Bucket, Key })),
  'DeleteObject, a marker': async (side) => {
    await put(side, LOCK);
    return await mark(side);
  },
  'DeleteObject, a locked version': async (side) => {
    const { VersionId } = await put(side, LOCK);
    return await side.s3.send(new DeleteObjectCommand({ Bucket: side.locked, Key, VersionId }));
  },
  'DeleteObject, a version': async (side) => {
    const { VersionId } = await put(side);
    await side.s3.send(new DeleteObjectCommand({ Bucket: side.locked, Key, VersionId }));
    return await versions(side);
  },
  'DeleteObject, the marker': async (side) => {
    await put(side);
    const { VersionId } = await mark(side);
    await side.s3.send(new DeleteObjectCommand({ Bucket: side.locked, Key, VersionId }));
    return await versions(side);
  },
  'DeleteObject, absent': mark,
  'ListObjectVersions, none': (side) => versions(side),
  'ListObjectVersions, newest first, with a marker': async (side) => {
    await put(side, ONCE);
    await mark(side);
    await put(side, { ...ONCE, Body: 'second' });
    return await versions(side);
  },
  'ListObjectVersions, of a prefix': async (side) => {
    for (const name of ['accord/a', 'accord/b', 'other/c']) await put(side, { Key: name });
    return await versions(side, { Prefix: 'accord/' });
  },
  'ListObjectVersions, by a delimiter': async (side) => {
    for (const name of ['accord/a', 'accord/b', 'other/c', 'top']) await put(side, { Key: name });
    return await versions(side, { Delimiter: '/' });
  },
  'ListObjectVersions, the first page': async (side) => {
    for (const name of ['a', 'b', 'c']) await put(side, { Key: name });
    return await versions(side, { MaxKeys: 2 });
  },
  'ListObjectVersions, page by page': async (side) => {
    for (const name of ['a', 'b', 'b', 'c']) await put(side, { Key: name });
    const keys: string[] = [];
    let next: object = {};
    for (let page = 0; page < 9; page++) {
      const answer = await versions(side, { MaxKeys: 1, ...next });
      keys.push(...(answer.Versions ?? []).map((version) => `${version.Key} ${version.IsLatest}`));
      if (answer.IsTruncated !== true) break;
      next = { KeyMarker: answer.NextKeyMarker, VersionIdMarker: answer.NextVersionIdMarker };
    }
    return { Key: keys.join(', ') };
  },
  'ListObjectVersions, no such bucket': (side) => versions({ ...side, locked: `${side.plain}-absent` }),
  ListObjectsV2: async (side) => {
    await put(side);
    await put(side, { Key: 'gone' });
    await side.s3.send(new DeleteObjectCommand({ Bucket: side.locked, Key: 'gone' }));
    return await side.s3.send(new ListObjectsV2Command({ Bucket: side.locked }));
  },
  'ListObjectsV2, the second page': async (side) => {
    for (const name of ['a', 'b', 'c']) await put(side, { Key: name });
    const first = await side.s3.send(new ListObjectsV2Command({ Bucket: side.locked, MaxKeys: 2 }));
    const ContinuationToken = first.NextContinuationToken;
    const second = await side.s3.send(new ListObjectsV2Command({ Bucket: side.locked, ContinuationToken }));
    return { Key: second.Contents?.map((each) => each.Key).join(), IsTruncated: second.IsTruncated };
  },
  GetObjectRetention: async (side) => {
    await put(side, LOCK);
    return await side.s3.send(new GetObjectRetentionCommand({ Bucket: side.locked, Key }));
  },
  'GetObjectRetention, none': async (side) => {
    await put(side);
    return await side.s3.send(new GetObjectRetentionCommand({ Bucket: side.locked, Key }));
  },
  'PutObjectRetention, longer': async (side) => {
    await put(side, LOCK);
    await retain(side, LATER);
    return await side.s3.send(new GetObjectRetentionCommand({ Bucket: side.locked, Key }));
  },
  'PutObjectRetention, shorter': async (side) => {
    await put(side, LOCK);
    return await retain(side, EARLIER);
  },
  'PutObjectRetention, softer': async (side) => {
    await put(side, LOCK);
    return await retain(side, LATER, 'GOVERNANCE');
  },
  GetBucketVersioning: ({ s3, locked: Bucket }) => s3.send(new GetBucketVersioningCommand({ Bucket })),
  'GetBucketVersioning, never': ({ s3, plain: Bucket }) => s3.send(new GetBucketVersioningCommand({ Bucket })),
  'PutBucketVersioning, on': async ({ s3, plain: Bucket }) => {
    await s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: 'Enabled' } }));
    return await s3.send(new GetBucketVersioningCommand({ Bucket }));
  },
  'PutBucketVersioning, off under a lock': ({ s3, locked: Bucket }) =>
    s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: 'Suspended' } })),
  GetObjectLockConfiguration: ({ s3, locked: Bucket }) => s3.send(new GetObjectLockConfigurationCommand({ Bucket })),
  'GetObjectLockConfiguration, none': ({ s3, plain: Bucket }) =>
    s3.send(new GetObjectLockConfigurationCommand({ Bucket })),
  'PutObjectLockConfiguration, a default': async (side) => {
    const { s3, locked: Bucket } = side;
    const Rule = { DefaultRetention: { Mode: 'GOVERNANCE', Days: 3 } } as const;
    const ObjectLockConfiguration = { ObjectLockEnabled: 'Enabled', Rule } as const;
    await s3.send(new PutObjectLockConfigurationCommand({ Bucket, ObjectLockConfiguration }));
    await put(side, { ContentMD5 });
    const { Retention } = await s3.send(new GetObjectRetentionCommand({ Bucket, Key }));
    return { ...(await s3.send(new GetObjectLockConfigurationCommand({ Bucket }))), Mode: Retention?.Mode };
  },
  HeadBucket: ({ s3, locked: Bucket }) => s3.send(new HeadBucketCommand({ Bucket })),
  'HeadBucket, absent': ({ s3, plain }) => s3.send(new HeadBucketCommand({ Bucket: `${plain}-absent` })),
  GetBucketLocation: ({ s3, locked: Bucket }) => s3.send(new GetBucketLocationCommand({ Bucket })),
  'CreateBucket, once more': ({ s3, locked: Bucket }) =>
    s3.send(new CreateBucketCommand({ Bucket, CreateBucketConfiguration: { LocationConstraint: 'eu-west-1' } })),
  CreateBucket: ({ s3, plain }) => s3.send(new CreateBucketCommand({ Bucket: `${plain}-second` })),
  'CreateBucket, a name in capitals': ({ s3, plain }) =>
    s3.send(
      new CreateBucketCommand({
        Bucket: `${plain}-X`,
        CreateBucketConfiguration: { LocationConstraint: 'eu-west-1' },
      }),
    ),
  'DeleteBucket, with something in it': async (side) => {
    await put(side);
    return await side.s3.send(new DeleteBucketCommand({ Bucket: side.locked }));
  },
  DeleteBucket: ({ s3, plain: Bucket }) => s3.send(new DeleteBucketCommand({ Bucket })),
  'GetBucketPolicy, none': ({ s3, plain: Bucket }) => s3.send(new GetBucketPolicyCommand({ Bucket })),
  GetBucketPolicy: async ({ s3, plain: Bucket }) => {
    await s3.send(new PutBucketPolicyCommand({ Bucket, Policy: policy(Bucket) }));
    const { Policy = '' } = await s3.send(new GetBucketPolicyCommand({ Bucket }));
    return { Status: JSON.stringify(JSON.parse(Policy)) === policy(Bucket) };
  },
  DeleteBucketPolicy: async ({ s3, plain: Bucket }) => {
    await s3.send(new PutBucketPolicyCommand({ Bucket, Policy: policy(Bucket) }));
    return await s3.send(new DeleteBucketPolicyCommand({ Bucket }));
  },
  'PutObject, another account expected': (side) => put(side, { ExpectedBucketOwner: '999999999999' }),
};
