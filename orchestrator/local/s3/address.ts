/**
 * Which bucket and key a request names, and by which sub-resource which operation. Bucket in the path
 * (`s3.REGION.accord.test/BUCKET/KEY`, also at 127.0.0.1) or in the host's name (`BUCKET.s3.REGION.accord.test/KEY`).
 */
import { decodePath, queryPairs } from '../signed-request.ts';

export interface S3Address {
  readonly bucket: string;
  readonly key: string;
  /** The operation's name, or undefined where there is no such one. */
  readonly operation: string | undefined;
  /** What stood in the query to choose it: empty, `versioning`, `policy`, … */
  readonly subresource: string;
  readonly query: ReadonlyMap<string, string>;
}

/** Bucket (where the name has one) and Region of an S3 host. */
export const S3_HOST: RegExp = /^(?:([a-z0-9][a-z0-9.-]+)\.)?s3\.([a-z0-9-]+)\.accord\.test(?::\d+)?$/;

/** Sub-resources that AWS has; those that are no operation below are refused by name. */
const SUBRESOURCES = [
  'accelerate',
  'acl',
  'analytics',
  'attributes',
  'cors',
  'delete',
  'encryption',
  'intelligent-tiering',
  'inventory',
  'legal-hold',
  'lifecycle',
  'location',
  'logging',
  'metadataTable',
  'metrics',
  'notification',
  'object-lock',
  'ownershipControls',
  'partNumber',
  'policy',
  'policyStatus',
  'publicAccessBlock',
  'replication',
  'requestPayment',
  'restore',
  'retention',
  'select',
  'tagging',
  'torrent',
  'uploadId',
  'uploads',
  'versioning',
  'versions',
  'website',
] as const;

/** `METHOD level subresource`, level being the service's, a bucket's or an object's. */
const OPERATIONS: Readonly<Record<string, string>> = {
  'GET service': 'ListBuckets',
  'PUT bucket': 'CreateBucket',
  'HEAD bucket': 'HeadBucket',
  'DELETE bucket': 'DeleteBucket',
  'GET bucket': 'ListObjectsV2',
  'GET bucket versions': 'ListObjectVersions',
  'GET bucket location': 'GetBucketLocation',
  'GET bucket versioning': 'GetBucketVersioning',
  'PUT bucket versioning': 'PutBucketVersioning',
  'GET bucket object-lock': 'GetObjectLockConfiguration',
  'PUT bucket object-lock': 'PutObjectLockConfiguration',
  'GET bucket policy': 'GetBucketPolicy',
  'PUT bucket policy': 'PutBucketPolicy',
  'DELETE bucket policy': 'DeleteBucketPolicy',
  'PUT object': 'PutObject',
  'GET object': 'GetObject',
  'HEAD object': 'HeadObject',
  'DELETE object': 'DeleteObject',
  'GET object retention': 'GetObjectRetention',
  'PUT object retention': 'PutObjectRetention',
};

export function addressOf(method: string, target: string, host: string): S3Address {
  const virtual = S3_HOST.exec(host)?.[1];
  const path = (target.split('?', 1)[0] ?? '/').replace(/^\//, '');
  const slash = path.indexOf('/');
  const [first, rest] = slash < 0 ? [path, ''] : [path.slice(0, slash), path.slice(slash + 1)];
  const bucket = virtual ?? decodePath(first);
  const key = (virtual === undefined ? rest : path).split('/').map(decodePath).join('/');
  const query = new Map(queryPairs(target).toReversed());
  const subresource = SUBRESOURCES.find((name) => query.has(name)) ?? '';
  const level = bucket === '' ? 'service' : key === '' ? 'bucket' : 'object';
  const name = `${method} ${level}${subresource === '' ? '' : ` ${subresource}`}`;
  return {
    bucket,
    key,
    operation: Object.hasOwn(OPERATIONS, name) ? OPERATIONS[name] : undefined,
    subresource,
    query,
  };
}
