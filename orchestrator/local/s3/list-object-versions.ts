/** ListObjectVersions: keys in order, of each its versions and delete markers, newest first. */
import type { XmlNode } from '../wire/xml.ts';
import { authorizedBucket } from './authorize.ts';
import { ownerId } from './buckets.ts';
import type { S3Call, S3Operation } from './call.ts';
import { xml } from './call.ts';
import { invalidArgument } from './errors.ts';
import type { Bucket, ObjectVersion } from './model.ts';
import type { ListRequest } from './pages.ts';
import { keysFrom, listFacts, listRequest } from './pages.ts';
import { isoDate } from './times.ts';

export const listObjectVersions: S3Operation = (call) => {
  const bucket = authorizedBucket(call, 's3:ListBucketVersions', listFacts(call));
  const request = listRequest(call);
  const { encode, encodingType, maxKeys, prefix, delimiter } = request;
  const keyMarker = call.query.get('key-marker') ?? '';
  const versionMarker = call.query.get('version-id-marker') ?? '';
  if (versionMarker !== '' && keyMarker === '') {
    throw invalidArgument(
      'A version-id marker cannot be specified without a key marker.',
      'version-id-marker',
      versionMarker,
    );
  }
  const entries = page(call, bucket, request, { keyMarker, versionMarker }, maxKeys + 1);
  const shown = entries.slice(0, maxKeys);
  const last = entries.length > maxKeys ? shown.at(-1) : undefined;
  const versions = shown.flatMap((entry) => ('version' in entry ? [entry] : []));
  const answer = xml('ListVersionsResult', {
    Name: bucket.name,
    Prefix: encode(prefix),
    KeyMarker: encode(keyMarker),
    VersionIdMarker: versionMarker,
    ...(last === undefined
      ? {}
      : 'version' in last
        ? { NextKeyMarker: encode(last.version.key), NextVersionIdMarker: last.version.versionId }
        : { NextKeyMarker: encode(last.commonPrefix) }),
    MaxKeys: maxKeys,
    ...(delimiter === '' ? {} : { Delimiter: encode(delimiter) }),
    ...(encodingType === undefined ? {} : { EncodingType: encodingType }),
    IsTruncated: last !== undefined,
    Entries: versions.map((entry) => written(entry, bucket, encode)),
    CommonPrefixes: shown.flatMap((entry) => ('commonPrefix' in entry ? [{ Prefix: encode(entry.commonPrefix) }] : [])),
  });
  // Versions and markers stand mixed, in their order; the writer groups what has one name.
  return { ...answer, body: answer.body.toString().replaceAll(/ *<\/?Entries>\n/g, '') };
};

type Entry = { readonly version: ObjectVersion; readonly isLatest: boolean } | { readonly commonPrefix: string };

/** From after the markers on, at most `limit` entries. */
function page(
  { store }: S3Call,
  bucket: Bucket,
  request: ListRequest,
  after: { readonly keyMarker: string; readonly versionMarker: string },
  limit: number,
): readonly Entry[] {
  const entries: Entry[] = [];
  for (const listed of keysFrom(store.keys(bucket.name), request, after.keyMarker)) {
    if (entries.length >= limit) break;
    if ('commonPrefix' in listed) {
      if (!after.keyMarker.startsWith(listed.commonPrefix)) entries.push(listed);
      continue;
    }
    const versions = store.versions(bucket.name, listed.key);
    const all = versions.map((version, index): Entry => ({ version, isLatest: index === 0 }));
    if (listed.key !== after.keyMarker) entries.push(...all);
    else if (after.versionMarker !== '') {
      const at = versions.findIndex(({ versionId }) => versionId === after.versionMarker);
      if (at < 0) throw invalidArgument('Invalid version id specified', 'version-id-marker', after.versionMarker);
      entries.push(...all.slice(at + 1));
    }
  }
  return entries.slice(0, limit);
}

function written(
  { version, isLatest }: { readonly version: ObjectVersion; readonly isLatest: boolean },
  { owner }: Bucket,
  encode: (key: string) => string,
): XmlNode {
  const common = {
    Key: encode(version.key),
    VersionId: version.versionId,
    IsLatest: isLatest,
    LastModified: isoDate(version.modifiedAt),
  };
  const Owner = { ID: ownerId(owner) };
  if (version.marker) return { DeleteMarker: { ...common, Owner } };
  const { checksum, etag, size } = version;
  const sums = checksum === undefined ? {} : { ChecksumAlgorithm: checksum.algorithm, ChecksumType: 'FULL_OBJECT' };
  return { Version: { ...common, ETag: `"${etag}"`, ...sums, Size: size, StorageClass: 'STANDARD', Owner } };
}
