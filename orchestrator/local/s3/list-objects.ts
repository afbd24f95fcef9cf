/** ListObjectsV2: the newest version of each key that is not a delete marker. */
import type { XmlNode } from '../wire/xml.ts';
import { authorizedBucket } from './authorize.ts';
import type { S3Operation } from './call.ts';
import { xml } from './call.ts';
import { invalidArgument, notImplemented } from './errors.ts';
import type { ObjectVersion } from './model.ts';
import type { ListedKey } from './pages.ts';
import { keysFrom, listFacts, listRequest } from './pages.ts';
import { isoDate } from './times.ts';

export const listObjectsV2: S3Operation = (call) => {
  if (call.query.get('list-type') !== '2') throw notImplemented('ListObjects (version 1)');
  const { name } = authorizedBucket(call, 's3:ListBucket', listFacts(call));
  const request = listRequest(call);
  const { encode, encodingType, maxKeys, prefix, delimiter } = request;
  const token = call.query.get('continuation-token');
  const startAfter = call.query.get('start-after') ?? '';
  const after = token === undefined ? startAfter : readToken(token);
  const entries: ListedKey[] = [];
  for (const listed of keysFrom(liveKeys(), request, after)) {
    if (entries.length > maxKeys) break;
    const isPast = 'key' in listed ? listed.key !== after : !after.startsWith(listed.commonPrefix);
    if (isPast) entries.push(listed);
  }
  const shown = entries.slice(0, maxKeys);
  const last = entries.length > maxKeys ? shown.at(-1) : undefined;
  return xml('ListBucketResult', {
    Name: name,
    Prefix: encode(prefix),
    ...(delimiter === '' ? {} : { Delimiter: encode(delimiter) }),
    MaxKeys: maxKeys,
    KeyCount: shown.length,
    ...(encodingType === undefined ? {} : { EncodingType: encodingType }),
    ...(token === undefined ? {} : { ContinuationToken: token }),
    ...(startAfter === '' ? {} : { StartAfter: encode(startAfter) }),
    IsTruncated: last !== undefined,
    ...(last === undefined ? {} : { NextContinuationToken: makeToken('key' in last ? last.key : last.commonPrefix) }),
    Contents: shown.flatMap((each) => {
      const [newest] = 'key' in each ? call.store.versions(name, each.key) : [];
      return newest === undefined ? [] : [written(newest, encode)];
    }),
    CommonPrefixes: shown.flatMap((each) => ('commonPrefix' in each ? [{ Prefix: encode(each.commonPrefix) }] : [])),
  });

  function liveKeys(): readonly string[] {
    return call.store.keys(name).filter((key) => call.store.versions(name, key)[0]?.marker === false);
  }
};

function written({ key, etag, size, modifiedAt, checksum }: ObjectVersion, encode: (key: string) => string): XmlNode {
  return {
    Key: encode(key),
    LastModified: isoDate(modifiedAt),
    ETag: `"${etag}"`,
    ...(checksum === undefined ? {} : { ChecksumAlgorithm: checksum.algorithm, ChecksumType: 'FULL_OBJECT' }),
    Size: size,
    StorageClass: 'STANDARD',
  };
}

function makeToken(last: string): string {
  return Buffer.from(last).toString('base64');
}

function readToken(token: string): string {
  const last = Buffer.from(token, 'base64');
  if (last.toString('base64') === token && token !== '') return last.toString();
  throw invalidArgument('The continuation token provided is incorrect', 'continuation-token', token);
}
