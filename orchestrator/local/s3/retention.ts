/** Object Lock of one version: until when it cannot be removed, and who may still change that. */
import { readXml, textAt } from '../wire/xml-read.ts';
import type { Facts } from './authorize.ts';
import { authorize, authorizedBucket } from './authorize.ts';
import { malformedXml } from './buckets.ts';
import type { S3Call, S3Operation } from './call.ts';
import { empty, xml } from './call.ts';
import { S3Error, accessDenied, invalidArgument } from './errors.ts';
import type { Bucket, LockMode, ObjectVersion, Retention } from './model.ts';
import { isoDate, readDate } from './times.ts';
import { namedVersion } from './versions.ts';

const DAY = 86_400_000;

/** The lock that a PutObject asks for, else the bucket's default. */
export function retentionOfNew(asked: Retention | undefined, bucket: Bucket, now: number): Retention | undefined {
  if (bucket.lock === undefined) {
    if (asked === undefined) return undefined;
    throw new S3Error('InvalidRequest', 'Bucket is missing Object Lock Configuration');
  }
  if (asked !== undefined) return asked;
  const standing = bucket.lock.retention;
  if (standing === undefined) return undefined;
  const until = new Date(now);
  if (standing.unit === 'Days') until.setUTCDate(until.getUTCDate() + standing.count);
  else until.setUTCFullYear(until.getUTCFullYear() + standing.count);
  return { mode: standing.mode, until: until.getTime() };
}

/** What the headers of a PutObject ask for, whether or not the bucket could give it. */
export function askedRetention(headers: ReadonlyMap<string, string>, now: number): Retention | undefined {
  const mode = headers.get('x-amz-object-lock-mode');
  const until = headers.get('x-amz-object-lock-retain-until-date');
  if (mode === undefined && until === undefined) return undefined;
  if (mode === undefined || until === undefined) {
    throw new S3Error(
      'InvalidArgument',
      'x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied',
    );
  }
  return { mode: lockMode(mode), until: futureDate(until, now) };
}

function lockMode(mode: string): LockMode {
  if (mode === 'COMPLIANCE' || mode === 'GOVERNANCE') return mode;
  throw invalidArgument('Unknown wormMode directive.', 'x-amz-object-lock-mode', mode);
}

function futureDate(text: string, now: number): number {
  const name = 'x-amz-object-lock-retain-until-date';
  const until = readDate(text);
  if (until === undefined)
    throw invalidArgument('The retain until date must be provided in ISO 8601 format', name, text);
  if (until <= now) throw invalidArgument('The retain until date must be in the future!', name, text);
  return Math.floor(until / 1000) * 1000;
}

/** Condition keys about a lock that is asked for. */
export function lockFacts(retention: Retention | undefined, now: number): Facts {
  if (retention === undefined) return {};
  return {
    's3:object-lock-mode': retention.mode,
    's3:object-lock-retain-until-date': isoDate(retention.until),
    's3:object-lock-remaining-retention-days': String(Math.ceil((retention.until - now) / DAY)),
  };
}

/** Headers of GetObject and HeadObject. */
export function retentionHeaders({ retention }: ObjectVersion): Readonly<Record<string, string>> {
  if (retention === undefined) return {};
  return {
    'x-amz-object-lock-mode': retention.mode,
    'x-amz-object-lock-retain-until-date': isoDate(retention.until),
  };
}

export const getObjectRetention: S3Operation = (call) => {
  const bucket = authorizedBucket(call, 's3:GetObjectRetention');
  demandLock(bucket);
  const { retention } = namedVersion(call, bucket);
  if (retention === undefined) {
    throw new S3Error(
      'NoSuchObjectLockConfiguration',
      'The specified object does not have a ObjectLock configuration',
      {
        details: { Key: call.key },
      },
    );
  }
  return xml('Retention', { Mode: retention.mode, RetainUntilDate: isoDate(retention.until) });
};

export const putObjectRetention: S3Operation = async (call) => {
  const root = readXml(new TextDecoder().decode(call.body));
  if (root?.name !== 'Retention') throw malformedXml();
  const mode = textAt(root, 'Mode');
  const until = textAt(root, 'RetainUntilDate');
  if ((mode === undefined) !== (until === undefined)) throw malformedXml();
  const next =
    mode === undefined || until === undefined
      ? undefined
      : { mode: lockMode(mode), until: futureDate(until, call.now) };
  const bucket = authorizedBucket(call, 's3:PutObjectRetention', lockFacts(next, call.now));
  demandLock(bucket);
  return await call.store.exclusively(bucket.name, call.key, async () => {
    const { retention: before, ...version } = namedVersion(call, bucket);
    if (isWeaker(next, before, call.now)) demandBypass(call, bucket, before);
    await call.store.replace(bucket.name, next === undefined ? version : { ...version, retention: next });
    return empty(200);
  });
};

function demandLock({ lock }: Bucket): void {
  if (lock !== undefined) return;
  throw new S3Error('InvalidRequest', 'Bucket is missing Object Lock Configuration');
}

/** Whether a lock that still holds would end earlier, or change its kind. */
function isWeaker(next: Retention | undefined, before: Retention | undefined, now: number): boolean {
  if (before === undefined || before.until <= now) return false;
  return (
    next === undefined || next.until < before.until || (before.mode === 'COMPLIANCE' && next.mode !== 'COMPLIANCE')
  );
}

/** Throws where the lock holds; COMPLIANCE knows no bypass, GOVERNANCE one that must be asked for and allowed. */
export function demandUnlocked(call: S3Call, bucket: Bucket, { retention }: ObjectVersion): void {
  if (retention !== undefined && retention.until > call.now) demandBypass(call, bucket, retention);
}

function demandBypass(call: S3Call, bucket: Bucket, lock: Retention | undefined): void {
  const asked = call.headers.get('x-amz-bypass-governance-retention')?.toLowerCase() === 'true';
  if (lock?.mode === 'COMPLIANCE' || !asked) {
    throw accessDenied('Access Denied because object protected by object lock.');
  }
  authorize(call, bucket, 's3:BypassGovernanceRetention');
}
