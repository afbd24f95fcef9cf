/** Which version of an object a request means. */
import { randomBytes } from 'node:crypto';
import type { S3Call } from './call.ts';
import { mayAlso } from './authorize.ts';
import { S3Error, accessDenied, invalidArgument } from './errors.ts';
import type { Bucket, ObjectVersion } from './model.ts';

/** 32 characters, in no order, as AWS's. */
export function newVersionId(): string {
  return randomBytes(24).toString('base64url').replaceAll('-', '.');
}

export function isVersionId(id: string): boolean {
  return id === 'null' || /^[\w.]{32}$/.test(id);
}

/** The version that `versionId` names, also where it is a delete marker; undefined where none is named. */
export function exactVersion({ query, store, key }: S3Call, bucket: Bucket): ObjectVersion | undefined {
  const id = query.get('versionId');
  if (id === undefined) return undefined;
  if (!isVersionId(id)) throw invalidArgument('Invalid version id specified', 'versionId', id);
  const found = store.versions(bucket.name, key).find(({ versionId }) => versionId === id);
  if (found !== undefined) return found;
  throw new S3Error('NoSuchVersion', 'The specified version does not exist.', { details: { Key: key, VersionId: id } });
}

/** The version with bytes that the request means: the one it names, else the newest. */
export function namedVersion(call: S3Call, bucket: Bucket): ObjectVersion {
  const exact = exactVersion(call, bucket);
  const version = exact ?? call.store.versions(bucket.name, call.key)[0];
  if (version !== undefined && !version.marker) return version;
  const headers: Readonly<Record<string, string>> =
    version === undefined ? {} : { 'x-amz-delete-marker': 'true', 'x-amz-version-id': version.versionId };
  if (exact !== undefined) {
    throw new S3Error('MethodNotAllowed', 'The specified method is not allowed against this resource.', {
      details: { Method: 'GET', ResourceType: 'DeleteMarker' },
      headers: { ...headers, allow: 'DELETE' },
    });
  }
  // Whether a key exists is not told to those who may not list (GetObject, "Permissions").
  if (!mayAlso(call, bucket, 's3:ListBucket')) throw accessDenied();
  throw new S3Error('NoSuchKey', 'The specified key does not exist.', { details: { Key: call.key }, headers });
}

/** Only buckets that know versions say which one it was. */
export function versionHeader(bucket: Bucket, { versionId }: ObjectVersion): Readonly<Record<string, string>> {
  return bucket.versioning === 'never' ? {} : { 'x-amz-version-id': versionId };
}
