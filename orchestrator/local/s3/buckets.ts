/** Buckets: made, found, listed, removed. Names are the whole world's; owner is the account that made it. */
import { REGIONS } from '../regions.ts';
import { readXml, textAt } from '../wire/xml-read.ts';
import { authorizeInAccount, authorizedBucket } from './authorize.ts';
import type { S3Operation } from './call.ts';
import { empty, xml } from './call.ts';
import { S3Error } from './errors.ts';
import type { Bucket } from './model.ts';
import { isoDate } from './times.ts';

export const createBucket: S3Operation = async (call) => {
  const { bucket: name, body, headers, principal, region, store, now } = call;
  if (!isBucketName(name)) {
    throw new S3Error('InvalidBucketName', 'The specified bucket is not valid.', { details: { BucketName: name } });
  }
  const withLock = headers.get('x-amz-bucket-object-lock-enabled')?.toLowerCase() === 'true';
  const constraint = body.length === 0 ? undefined : locationConstraint(body);
  const place = regionFor(constraint, region);
  authorizeInAccount(call, 's3:CreateBucket', { 's3:LocationConstraint': constraint });
  if (withLock) {
    // CreateBucket, "Permissions": a bucket with Object Lock needs these two as well.
    authorizeInAccount(call, 's3:PutBucketObjectLockConfiguration');
    authorizeInAccount(call, 's3:PutBucketVersioning');
  }
  return await store.exclusively(name, undefined, async () => {
    const before = store.bucket(name);
    if (before === undefined) {
      const bucket: Bucket = { name, owner: principal.account, region: place, createdAt: now, versioning: 'never' };
      await store.createBucket(withLock ? { ...bucket, versioning: 'Enabled', lock: {} } : bucket);
    } else if (before.owner !== principal.account) {
      throw new S3Error(
        'BucketAlreadyExists',
        'The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again.',
        { details: { BucketName: name } },
      );
    } else if (region !== 'us-east-1') {
      // In us-east-1 alone AWS says yes once more.
      throw new S3Error(
        'BucketAlreadyOwnedByYou',
        'Your previous request to create the named bucket succeeded and you already own it.',
        { details: { BucketName: name } },
      );
    }
    return empty(200, { location: `/${name}` });
  });
};

function isBucketName(name: string): boolean {
  return (
    /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name) &&
    !/\.\.|^xn--|-s3alias$|--ol-s3$/.test(name) &&
    !/^\d+\.\d+\.\d+\.\d+$/.test(name)
  );
}

function locationConstraint(body: Uint8Array): string | undefined {
  const root = readXml(new TextDecoder().decode(body));
  if (root?.name !== 'CreateBucketConfiguration') throw malformedXml();
  const constraint = textAt(root, 'LocationConstraint');
  return constraint === '' ? undefined : constraint;
}

export function malformedXml(): S3Error {
  return new S3Error(
    'MalformedXML',
    'The XML you provided was not well-formed or did not validate against our published schema',
  );
}

/** us-east-1 makes buckets anywhere and must not be named; every other Region only its own, and must be. */
function regionFor(constraint: string | undefined, region: string): string {
  if (region === 'us-east-1') {
    if (constraint === undefined) return region;
    if (constraint !== 'us-east-1' && REGIONS.includes(constraint)) return constraint;
    throw new S3Error('InvalidLocationConstraint', 'The specified location-constraint is not valid', {
      details: { LocationConstraint: constraint },
    });
  }
  if (constraint === region) return region;
  throw new S3Error(
    'IllegalLocationConstraintException',
    `The ${constraint ?? 'unspecified'} location constraint is incompatible for the region specific endpoint this request was sent to.`,
  );
}

export const headBucket: S3Operation = (call) => {
  const { region } = authorizedBucket(call, 's3:ListBucket');
  return empty(200, { 'x-amz-bucket-region': region });
};

export const getBucketLocation: S3Operation = (call) => {
  const { region } = authorizedBucket(call, 's3:GetBucketLocation');
  const answer = xml('LocationConstraint', {});
  // The one answer whose root is its text; us-east-1 is written as nothing.
  const text = region === 'us-east-1' ? '' : region;
  return {
    ...answer,
    body: answer.body.toString().replace(/>\n<\/LocationConstraint>/, `>${text}</LocationConstraint>`),
  };
};

export const listBuckets: S3Operation = (call) => {
  authorizeInAccount(call, 's3:ListAllMyBuckets');
  const { account } = call.principal;
  const own = call.store.buckets().filter(({ owner }) => owner === account);
  return xml('ListAllMyBucketsResult', {
    Owner: { ID: ownerId(account) },
    Buckets: {
      Bucket: own.map(({ name, createdAt, region }) => ({
        Name: name,
        CreationDate: isoDate(createdAt),
        BucketRegion: region,
      })),
    },
  });
};

/** AWS has a canonical user id of 64 hexadecimal digits for each account; here it is made of the account's number. */
export function ownerId(account: string): string {
  return account.padStart(64, '0');
}

export const deleteBucket: S3Operation = async (call) => {
  const { name } = authorizedBucket(call, 's3:DeleteBucket');
  return await call.store.exclusively(name, undefined, async () => {
    if (call.store.keys(name).length > 0) {
      throw new S3Error(
        'BucketNotEmpty',
        'The bucket you tried to delete is not empty. You must delete all versions in the bucket.',
        { details: { BucketName: name } },
      );
    }
    await call.store.deleteBucket(name);
    return empty(204);
  });
};
