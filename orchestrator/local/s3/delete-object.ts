/** DeleteObject: without a version it puts a delete marker on top, which no lock forbids; with one it removes that version. */
import { authorizedBucket } from './authorize.ts';
import type { S3Operation } from './call.ts';
import { empty } from './call.ts';
import type { Bucket, ObjectVersion } from './model.ts';
import { demandUnlocked } from './retention.ts';
import { isVersionId, newVersionId } from './versions.ts';
import { invalidArgument } from './errors.ts';

export const deleteObject: S3Operation = async (call) => {
  const { key, now, query, store } = call;
  const id = query.get('versionId');
  const bucket = authorizedBucket(call, id === undefined ? 's3:DeleteObject' : 's3:DeleteObjectVersion');
  if (id !== undefined && !isVersionId(id)) {
    throw invalidArgument('Invalid version id specified', 'versionId', id);
  }
  return await store.exclusively(bucket.name, key, async () => {
    const versions = store.versions(bucket.name, key);
    if (id !== undefined) {
      const version = versions.find(({ versionId }) => versionId === id);
      if (version !== undefined) {
        demandUnlocked(call, bucket, version);
        await store.remove(bucket.name, version);
      }
      // What is not there is gone already: no error.
      return empty(204, {
        'x-amz-version-id': id,
        ...(version?.marker === true ? { 'x-amz-delete-marker': 'true' } : {}),
      });
    }
    const replaced = versions.filter(({ versionId }) => versionId === 'null');
    if (bucket.versioning === 'never') {
      for (const version of replaced) await store.remove(bucket.name, version);
      return empty(204);
    }
    const marker = await store.add(bucket.name, markerFor(bucket, key, now), new Uint8Array());
    if (marker.versionId === 'null') {
      for (const version of replaced) await store.remove(bucket.name, version);
    }
    return empty(204, { 'x-amz-delete-marker': 'true', 'x-amz-version-id': marker.versionId });
  });
};

function markerFor({ versioning }: Bucket, key: string, now: number): Omit<ObjectVersion, 'sequence'> {
  return {
    key,
    versionId: versioning === 'Enabled' ? newVersionId() : 'null',
    marker: true,
    size: 0,
    etag: '',
    modifiedAt: now,
    headers: {},
  };
}
