/** GetObject and HeadObject. */
import type { HttpAnswer } from '../wire/http.ts';
import { authorizedBucket, mayAlso } from './authorize.ts';
import type { S3Call, S3Operation } from './call.ts';
import { checksumHeader } from './checked-body.ts';
import { S3Error, notImplemented } from './errors.ts';
import type { Bucket, ObjectVersion } from './model.ts';
import { retentionHeaders } from './retention.ts';
import { httpDate } from './times.ts';
import { namedVersion, versionHeader } from './versions.ts';

export const getObject: S3Operation = async (call) => {
  const { bucket, version } = found(call);
  const body = await call.store.read(bucket.name, version).catch((cause: unknown) => {
    // Removed between looking and reading.
    if (call.store.versions(bucket.name, call.key).includes(version)) throw cause;
    throw new S3Error('NoSuchKey', 'The specified key does not exist.', { details: { Key: call.key } });
  });
  return { status: 200, headers: headersOf(call, bucket, version), body };
};

export const headObject: S3Operation = (call): HttpAnswer => {
  const { bucket, version } = found(call);
  return {
    status: 200,
    headers: { ...headersOf(call, bucket, version), 'content-length': String(version.size) },
    body: '',
  };
};

function found(call: S3Call): { readonly bucket: Bucket; readonly version: ObjectVersion } {
  const conditional = CONDITIONS.find((name) => call.headers.has(name));
  if (conditional !== undefined) throw notImplemented(conditional);
  const action = call.query.has('versionId') ? 's3:GetObjectVersion' : 's3:GetObject';
  const bucket = authorizedBucket(call, action);
  return { bucket, version: namedVersion(call, bucket) };
}

const CONDITIONS = ['range', 'if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since'] as const;

function headersOf(call: S3Call, bucket: Bucket, version: ObjectVersion): Readonly<Record<string, string>> {
  const wantsChecksum = call.headers.get('x-amz-checksum-mode')?.toUpperCase() === 'ENABLED';
  return {
    ...version.headers,
    etag: `"${version.etag}"`,
    'last-modified': httpDate(version.modifiedAt),
    'accept-ranges': 'bytes',
    'x-amz-server-side-encryption': 'AES256',
    ...versionHeader(bucket, version),
    ...(wantsChecksum ? checksumHeader(version.checksum) : {}),
    // "Only returned if the requester has the s3:GetObjectRetention permission."
    ...(mayAlso(call, bucket, 's3:GetObjectRetention') ? retentionHeaders(version) : {}),
  };
}
