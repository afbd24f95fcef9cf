/** PutObject: checksums, conditions and locks first, then a new version on top of those that are there. */
import { createHash } from 'node:crypto';
import type { HttpAnswer } from '../wire/http.ts';
import { authorize, authorizedBucket } from './authorize.ts';
import type { S3Call, S3Operation } from './call.ts';
import { empty } from './call.ts';
import { checkMd5, checkedChecksum, checksumHeader } from './checked-body.ts';
import { S3Error, notImplemented } from './errors.ts';
import type { Bucket, ObjectVersion } from './model.ts';
import { askedRetention, lockFacts, retentionOfNew } from './retention.ts';
import { newVersionId, versionHeader } from './versions.ts';

export const putObject: S3Operation = async (call) => {
  const { headers, key, now, store } = call;
  demandUnderstood(headers);
  if (Buffer.byteLength(key) > 1024) {
    throw new S3Error('KeyTooLongError', 'Your key is too long', { details: { MaxSizeAllowed: '1024' } });
  }
  const asked = askedRetention(headers, now);
  const lock = lockFacts(asked, now);
  const bucket = authorizedBucket(call, 's3:PutObject', { 's3:if-none-match': headers.get('if-none-match'), ...lock });
  if (asked !== undefined) authorize(call, bucket, 's3:PutObjectRetention', lock);
  const retention = retentionOfNew(asked, bucket, now);
  checkMd5(call);
  const checksum = checkedChecksum(call);
  if (bucket.lock !== undefined && checksum === undefined && !headers.has('content-md5')) {
    throw new S3Error(
      'InvalidRequest',
      'Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters',
    );
  }
  const version: Omit<ObjectVersion, 'sequence'> = {
    key,
    versionId: bucket.versioning === 'Enabled' ? newVersionId() : 'null',
    marker: false,
    size: call.body.length,
    etag: createHash('md5').update(call.body).digest('hex'),
    modifiedAt: now,
    headers: keptHeaders(headers),
    ...(checksum === undefined ? {} : { checksum }),
    ...(retention === undefined ? {} : { retention }),
  };
  return await store.exclusively(bucket.name, key, () => write(call, bucket, version));
};

async function write(call: S3Call, bucket: Bucket, version: Omit<ObjectVersion, 'sequence'>): Promise<HttpAnswer> {
  const before = call.store.versions(bucket.name, call.key);
  const newest = before[0];
  // A delete marker on top counts as absence: the write succeeds over it ("Conditional writes").
  if (call.headers.has('if-none-match') && newest !== undefined && !newest.marker) {
    throw new S3Error('PreconditionFailed', 'At least one of the pre-conditions you specified did not hold', {
      details: { Condition: 'If-None-Match' },
    });
  }
  const written = await call.store.add(bucket.name, version, call.body);
  if (version.versionId === 'null') {
    for (const old of before.filter(({ versionId }) => versionId === 'null')) {
      await call.store.remove(bucket.name, old);
    }
  }
  return empty(200, {
    etag: `"${written.etag}"`,
    'x-amz-server-side-encryption': 'AES256',
    ...versionHeader(bucket, written),
    ...checksumHeader(written.checksum),
  });
}

/** What changes an object and is not honoured here is refused, not dropped. */
function demandUnderstood(headers: ReadonlyMap<string, string>): void {
  if ((headers.get('if-none-match') ?? '*') !== '*') throw notImplemented('If-None-Match with anything but *');
  if (headers.has('if-match')) throw notImplemented('If-Match');
  const acl = headers.get('x-amz-acl');
  if (acl !== undefined && !/^(private|bucket-owner-full-control)$/.test(acl)) {
    throw new S3Error('AccessControlListNotSupported', 'The bucket does not allow ACLs');
  }
  for (const [name, value] of headers) {
    if (!name.startsWith('x-amz-') || UNDERSTOOD.test(name) || PLAIN[name] === value) continue;
    throw notImplemented(name);
  }
}

const UNDERSTOOD =
  /^x-amz-(acl|bypass-governance-retention|checksum-.+|content-sha256|date|decoded-content-length|expected-bucket-owner|meta-.+|object-lock-mode|object-lock-retain-until-date|sdk-checksum-algorithm|security-token|trailer|user-agent)$/;

/** Headers with the one value that changes nothing. */
const PLAIN: Readonly<Record<string, string>> = {
  'x-amz-object-lock-legal-hold': 'OFF',
  'x-amz-server-side-encryption': 'AES256',
  'x-amz-storage-class': 'STANDARD',
};

function keptHeaders(headers: ReadonlyMap<string, string>): Readonly<Record<string, string>> {
  const kept = [...headers].filter(([name]) => name.startsWith('x-amz-meta-') || KEPT.includes(name));
  return { 'content-type': 'binary/octet-stream', ...Object.fromEntries(kept) };
}

const KEPT: readonly string[] = [
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-type',
  'expires',
];
