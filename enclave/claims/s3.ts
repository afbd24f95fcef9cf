/**
 * One bucket of S3, as an anchor uses it: write an object that is not there, list the versions of one key, read one of
 * them. The endpoint follows from the policy and the bucket's Region; nothing is read from the environment or from a
 * file, and nothing is tried twice here: what a failure means for a claim is for `s3-anchor.ts` to say.
 */
import type { ListObjectVersionsCommandOutput } from '@aws-sdk/client-s3';
import {
  GetBucketVersioningCommand,
  GetObjectCommand,
  GetObjectLockConfigurationCommand,
  ListObjectVersionsCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { createHash } from 'node:crypto';
import type { AwsSettings } from '../kms/aws.ts';
import { NOT_FROM_THE_ENVIRONMENT, requestHandler } from '../kms/aws.ts';
import { s3Endpoint } from '../kms/endpoint.ts';
import { answerOf, failed, isS3Failure, s3Failure } from './s3-failure.ts';

/** One version of a key: an object, or the mark of a deletion. */
export interface S3Version {
  readonly id: string;
  readonly kind: 'object' | 'delete-marker';
}

export interface S3Lock {
  readonly mode: string;
  /** Milliseconds since 1970. */
  readonly retainUntil: number;
}

export interface S3Object {
  readonly id: string;
  readonly bytes: Uint8Array;
  /** Absent where the object has none, or where the credential may not see it. */
  readonly lock?: S3Lock;
}

export interface S3BucketState {
  readonly versioning: boolean;
  readonly objectLock: boolean;
}

export type S3Created =
  | { readonly outcome: 'created'; readonly id: string }
  | { readonly outcome: 'exists' } // 412
  | { readonly outcome: 'conflict' }; // 409: another write of this key is under way

/** Every operation throws `Failure<S3Code>`, also when its `signal` is aborted. */
export interface S3 {
  /** Writes an object that is not there, locked (COMPLIANCE) until `retainUntil`, milliseconds since 1970. */
  create(key: string, bytes: Uint8Array, retainUntil: number, signal: AbortSignal): Promise<S3Created>;
  /** Every version of exactly this key: objects newest first, then the markers. */
  versions(key: string, signal: AbortSignal): Promise<readonly S3Version[]>;
  /** One version, or the current one. Undefined where there is none. */
  read(key: string, id: string | undefined, signal: AbortSignal): Promise<S3Object | undefined>;
  bucket(signal: AbortSignal): Promise<S3BucketState>;
}

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export interface S3Settings extends AwsSettings {
  readonly region: string;
  readonly bucket: string;
  /** Account that must own the bucket, 12 digits: sent with every request, so that another's bucket of this name is refused. */
  readonly account: string;
  readonly credentials: S3Credentials;
}

/** An entry has 101 bytes. What is larger is none of ours. */
export const MAX_OBJECT_BYTES = 1024;
/** The exact key sorts before every longer one: a short page holds all versions of an entry that nobody touched. */
const FIRST_PAGE = 4;
const NEXT_PAGE = 1000;
const MAX_PAGES = 16;

export function createS3(settings: S3Settings): S3 {
  return bucketOver(createClient(settings), settings);
}

/** Likewise over a client of one's own: a party's, with its own credentials, which may not know whose the bucket is. */
export function bucketOver(
  client: S3Client,
  settings: Pick<S3Settings, 'bucket' | 'clockOffset'> & { readonly account: string | undefined },
): S3 {
  const { bucket: Bucket, account: ExpectedBucketOwner } = settings;

  async function ask<Reply>(send: () => Promise<Reply>): Promise<Reply> {
    // Set before each request: what the SDK makes of a refusal's `Date` is not kept.
    client.config.systemClockOffset = await settings.clockOffset();
    return send();
  }

  async function bucketOf(
    owner: { readonly ExpectedBucketOwner?: string | undefined },
    abortSignal: AbortSignal,
  ): Promise<S3BucketState> {
    // prettier-ignore
    const of = { Bucket, ...owner };
    const [versioning, locked] = await Promise.all([
      ask(() => client.send(new GetBucketVersioningCommand(of), { abortSignal })),
      ask(() => client.send(new GetObjectLockConfigurationCommand(of), { abortSignal })).then(
        (reply) => reply.ObjectLockConfiguration?.ObjectLockEnabled === 'Enabled',
        (error: unknown) => {
          if (isS3Failure(s3Failure(error), 's3/no-lock')) return false;
          throw error;
        },
      ),
    ]);
    return { versioning: versioning.Status === 'Enabled', objectLock: locked };
  }

  return {
    async create(key, bytes, retainUntil, signal) {
      const command = new PutObjectCommand({
        Bucket,
        ExpectedBucketOwner,
        Key: key,
        Body: bytes,
        IfNoneMatch: '*',
        ContentType: 'application/octet-stream',
        // S3 wants this or a checksum with an object that is locked; it guards the way there, and TLS does too.
        ContentMD5: createHash('md5').update(bytes).digest('base64'),
        ObjectLockMode: 'COMPLIANCE',
        ObjectLockRetainUntilDate: new Date(retainUntil),
      });
      try {
        const reply = await ask(() => client.send(command, { abortSignal: signal }));
        return { outcome: 'created', id: reply.VersionId ?? '' };
      } catch (error) {
        const status = answerOf(error)?.status;
        if (status === 412) return { outcome: 'exists' };
        if (status === 409) return { outcome: 'conflict' };
        throw s3Failure(error);
      }
    },

    async versions(key, signal) {
      const of = { Bucket, ExpectedBucketOwner, Prefix: key };
      const page = (MaxKeys: number, after: PageMark): Promise<ListObjectVersionsCommandOutput> => {
        const command = new ListObjectVersionsCommand({ ...of, ...after, MaxKeys });
        return ask(() => client.send(command, { abortSignal: signal })).catch((error: unknown) => {
          throw s3Failure(error);
        });
      };
      return collectVersions(key, page);
    },

    async read(key, id, signal) {
      const version = id === undefined ? {} : { VersionId: id };
      const command = new GetObjectCommand({ Bucket, ExpectedBucketOwner, Key: key, ...version });
      const controller = new AbortController();
      try {
        const both = AbortSignal.any([signal, controller.signal]);
        const reply = await ask(() => client.send(command, { abortSignal: both }));
        if (reply.Body === undefined || (reply.ContentLength ?? Infinity) > MAX_OBJECT_BYTES) {
          controller.abort(); // closes the connection: nobody reads on
          throw failed('s3/oversize', key);
        }
        const { ObjectLockMode: mode, ObjectLockRetainUntilDate: until } = reply;
        const lock = mode === undefined || until === undefined ? {} : { lock: { mode, retainUntil: until.getTime() } };
        return { id: reply.VersionId ?? '', bytes: await reply.Body.transformToByteArray(), ...lock };
      } catch (error) {
        // A marker answers 404, or 405 where it is asked for by its id.
        if (['NoSuchKey', 'NoSuchVersion', 'MethodNotAllowed'].includes(answerOf(error)?.name ?? '')) return undefined;
        throw isS3Failure(error, 's3/oversize') ? error : s3Failure(error);
      }
    },

    async bucket(signal) {
      try {
        return await bucketOf({ ExpectedBucketOwner }, signal);
      } catch (error) {
        const failure = s3Failure(error);
        // S3 refuses another owner in the words of a missing permission: what it says without naming one tells them apart.
        if (failure.code === 's3/refused' && (await bucketOf({}, signal).catch(() => undefined)) !== undefined)
          throw failed('s3/wrong-owner', `not of account ${ExpectedBucketOwner}`, error);
        throw failure;
      }
    },
  };
}

interface PageMark {
  readonly KeyMarker?: string;
  readonly VersionIdMarker?: string;
}

/** Reads pages until another key begins. */
async function collectVersions(
  key: string,
  page: (maxKeys: number, after: PageMark) => Promise<ListObjectVersionsCommandOutput>,
): Promise<readonly S3Version[]> {
  const objects: S3Version[] = [];
  const markers: S3Version[] = [];
  let after: PageMark = {};
  for (let pages = 0; pages < MAX_PAGES; pages += 1) {
    const reply = await page(pages === 0 ? FIRST_PAGE : NEXT_PAGE, after);
    const [found, marked] = [reply.Versions ?? [], reply.DeleteMarkers ?? []];
    for (const { Key, VersionId: id } of found) if (Key === key) objects.push({ id: id ?? '', kind: 'object' });
    for (const { Key, VersionId: id } of marked) if (Key === key) markers.push({ id: id ?? '', kind: 'delete-marker' });
    const isPast = [...found, ...marked].some(({ Key }) => Key !== key);
    if (isPast || reply.IsTruncated !== true) return [...objects, ...markers];
    if (reply.NextKeyMarker === undefined) throw failed('s3/unavailable', 'a page without its end');
    after = { KeyMarker: reply.NextKeyMarker, VersionIdMarker: reply.NextVersionIdMarker ?? '' };
  }
  throw failed('s3/too-many-versions', key);
}

function createClient(settings: S3Settings): S3Client {
  const { trust, region, credentials } = settings;
  return new S3Client({
    ...NOT_FROM_THE_ENVIRONMENT,
    useArnRegion: false,
    disableS3ExpressSessionAuth: true,
    sigv4aSigningRegionSet: [region],
    region,
    endpoint: s3Endpoint(trust, region),
    forcePathStyle: true,
    credentials: { ...credentials },
    requestHandler: requestHandler(settings),
    maxAttempts: 1,
    followRegionRedirects: false,
    expectContinueHeader: false,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
}
