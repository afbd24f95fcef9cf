/** Versioning and Object Lock of a bucket. Neither is ever switched off again once a lock is there. */
import type { XmlElement } from '../wire/xml-read.ts';
import { elementAt, readXml, textAt } from '../wire/xml-read.ts';
import type { XmlNode } from '../wire/xml.ts';
import { authorizedBucket } from './authorize.ts';
import { malformedXml } from './buckets.ts';
import type { S3Call, S3Operation } from './call.ts';
import { empty, xml } from './call.ts';
import { S3Error, invalidArgument, notImplemented } from './errors.ts';
import type { Bucket, DefaultRetention } from './model.ts';

export const getBucketVersioning: S3Operation = (call) => {
  const { versioning } = authorizedBucket(call, 's3:GetBucketVersioning');
  return xml('VersioningConfiguration', versioning === 'never' ? {} : { Status: versioning });
};

export const putBucketVersioning: S3Operation = async (call) => {
  const root = rootOf(call, 'VersioningConfiguration');
  const status = textAt(root, 'Status');
  if (status !== 'Enabled' && status !== 'Suspended') throw malformedXml();
  if (textAt(root, 'MfaDelete') === 'Enabled') throw notImplemented('MfaDelete');
  const { name } = authorizedBucket(call, 's3:PutBucketVersioning');
  return await change(call, name, (bucket) => {
    if (bucket.lock !== undefined && status === 'Suspended') {
      throw new S3Error(
        'InvalidBucketState',
        'An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.',
      );
    }
    return { ...bucket, versioning: status };
  });
};

export const getObjectLockConfiguration: S3Operation = (call) => {
  const { lock, name } = authorizedBucket(call, 's3:GetBucketObjectLockConfiguration');
  if (lock === undefined) {
    throw new S3Error(
      'ObjectLockConfigurationNotFoundError',
      'Object Lock configuration does not exist for this bucket',
      { details: { BucketName: name } },
    );
  }
  return xml('ObjectLockConfiguration', {
    ObjectLockEnabled: 'Enabled',
    ...(lock.retention === undefined ? {} : { Rule: { DefaultRetention: written(lock.retention) } }),
  });
};

function written({ mode, unit, count }: DefaultRetention): XmlNode {
  return { Mode: mode, [unit]: count };
}

export const putObjectLockConfiguration: S3Operation = async (call) => {
  const root = rootOf(call, 'ObjectLockConfiguration');
  if (textAt(root, 'ObjectLockEnabled') !== 'Enabled') throw malformedXml();
  const rule = elementAt(root, 'Rule');
  const retention = rule === undefined ? undefined : readDefault(elementAt(rule, 'DefaultRetention'));
  const { name } = authorizedBucket(call, 's3:PutBucketObjectLockConfiguration');
  return await change(call, name, (bucket) => {
    if (bucket.versioning !== 'Enabled') {
      throw new S3Error(
        'InvalidBucketState',
        "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration",
      );
    }
    return { ...bucket, lock: retention === undefined ? {} : { retention } };
  });
};

/** A hundred years: S3 takes no longer default. */
const MOST = { Days: 36_500, Years: 100 } as const;

function readDefault(element: XmlElement | undefined): DefaultRetention {
  const mode = textAt(element, 'Mode');
  const days = textAt(element, 'Days');
  const years = textAt(element, 'Years');
  if (mode !== 'COMPLIANCE' && mode !== 'GOVERNANCE') throw malformedXml();
  if ((days === undefined) === (years === undefined)) throw malformedXml();
  const unit = days === undefined ? 'Years' : 'Days';
  const count = Number(days ?? years);
  if (!Number.isInteger(count)) throw malformedXml();
  if (count <= 0) {
    throw invalidArgument('Default retention period must be a positive integer value.', unit, String(count));
  }
  if (count > MOST[unit]) {
    throw invalidArgument(
      `Default retention period too large. Max retention period is ${MOST[unit]} ${unit.toLowerCase()}.`,
      unit,
      String(count),
    );
  }
  return { mode, unit, count };
}

function rootOf(call: S3Call, name: string): XmlElement {
  const root = readXml(new TextDecoder().decode(call.body));
  if (root?.name !== name) throw malformedXml();
  return root;
}

/** One change of the bucket after the other, each on the outcome of the one before. */
async function change(call: S3Call, name: string, next: (bucket: Bucket) => Bucket): Promise<ReturnType<typeof empty>> {
  return await call.store.exclusively(name, undefined, async () => {
    const bucket = call.store.bucket(name);
    if (bucket === undefined) throw new S3Error('NoSuchBucket', 'The specified bucket does not exist');
    await call.store.saveBucket(next(bucket));
    return empty(200);
  });
}
