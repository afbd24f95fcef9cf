/** Where a suite of S3 runs: an S3 that is not ours, or the one in miniature. */
import type { S3Client } from '@aws-sdk/client-s3';
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  ListObjectVersionsCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { createHash } from 'node:crypto';
import type { Anchor } from '../../../enclave/claims/anchor.ts';
import { createS3 } from '../../../enclave/claims/s3.ts';
import type { S3, S3Settings } from '../../../enclave/claims/s3.ts';
import { createS3Anchor } from '../../../enclave/claims/s3-anchor.ts';
import { realTimers } from '../real-timers.ts';

export const RETAIN_UNTIL: number = Date.parse('2031-03-31T00:00:00Z');
export const REGION = 'eu-west-1';

export interface S3Place {
  /** Who owns the buckets, and may do everything. */
  readonly owner: S3Client;
  readonly settings: Omit<S3Settings, 'bucket'>;
  /** Whether a COMPLIANCE lock cannot be shortened, and whether what was never there can be marked as deleted: as in S3. */
  readonly keepsLocks: boolean;
  readonly marksAbsent: boolean;
}

export interface Bucket {
  readonly name: string;
  readonly s3: S3;
  readonly anchor: Anchor;
  /** Writes an object as its owner: over what is there. */
  readonly put: (
    key: string,
    body: Uint8Array | string,
    lock?: { readonly mode: 'COMPLIANCE' | 'GOVERNANCE'; readonly until: number },
  ) => Promise<string>; // prettier-ignore
  /** Sets a delete marker. */
  readonly hide: (key: string) => Promise<void>;
  readonly versions: () => Promise<number>;
}

const md5 = (body: Uint8Array | string): string => createHash('md5').update(body).digest('base64');
let count = 0;

export async function makeBucket(place: S3Place, options: { readonly lock?: boolean } = {}): Promise<Bucket> {
  count += 1;
  const name = `anchor-${process.pid}-${count}`;
  await place.owner.send(
    new CreateBucketCommand({
      Bucket: name,
      ObjectLockEnabledForBucket: options.lock ?? true,
      CreateBucketConfiguration: { LocationConstraint: REGION },
    }),
  );
  return openBucket(place, name);
}

export function openBucket(place: S3Place, name: string, changes: Partial<S3Settings> = {}): Bucket {
  const { owner } = place;
  const s3 = createS3({ ...place.settings, bucket: name, ...changes });
  return {
    name,
    s3,
    anchor: anchorOver(s3, name),
    async put(key, body, lock) {
      const locked = lock === undefined ? {} : { ObjectLockMode: lock.mode, ObjectLockRetainUntilDate: new Date(lock.until) }; // prettier-ignore
      const reply = await owner.send(
        new PutObjectCommand({ Bucket: name, Key: key, Body: body, ContentMD5: md5(body), ...locked }),
      );
      return reply.VersionId ?? '';
    },
    async hide(key) {
      await owner.send(new DeleteObjectCommand({ Bucket: name, Key: key }));
    },
    async versions() {
      return (await owner.send(new ListObjectVersionsCommand({ Bucket: name }))).Versions?.length ?? 0;
    },
  };
}

export const anchorOver = (s3: S3, bucket = 'bucket'): Anchor =>
  createS3Anchor({
    owner: 'alice',
    s3,
    place: `s3://${bucket}/accord/`,
    prefix: 'accord/',
    retainUntil: RETAIN_UNTIL,
    timers: realTimers,
  });
