/** The anchors as their owners have them: to read every entry of some functions, and to meddle. */
import type { ListObjectVersionsCommandOutput, S3Client } from '@aws-sdk/client-s3';
import {
  DeleteBucketPolicyCommand,
  DeleteObjectCommand,
  GetBucketPolicyCommand,
  GetObjectCommand,
  ListObjectVersionsCommand,
  PutBucketPolicyCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { createHash } from 'node:crypto';
import { readFile, readdir, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Prng } from '../simulation/prng.ts';
import type { AwsFront } from './aws-front.ts';

export interface OwnedStore {
  /** Oldest object of every key of a ticket of these functions. */
  entries(functions: ReadonlySet<string>): Promise<ReadonlyMap<string, Uint8Array>>;
  /** Nobody reaches it any more, or everybody again. */
  hide(): Promise<void>;
  show(): Promise<void>;
  /** For so long, requests go wrong. Says whether they can. */
  unsettle(ms: number, random: Prng): boolean;
  /** A delete marker and another object over a ticket. Gives what was done. */
  hideTicket(random: Prng): Promise<readonly string[]>;
  /** An object that is no entry, where none is expected. */
  putForeign(random: Prng): Promise<readonly string[]>;
}

const MARKER = 'an owner puts a delete marker over a ticket';
const OBJECT = 'an owner puts an object over a ticket';
const FOREIGN = 'an owner puts a foreign object beside the tickets';

const isOf = (key: string, functions: ReadonlySet<string>): boolean =>
  functions.has(/tickets\/[0-9a-f]{96}\/([^/]+)\//.exec(key)?.[1] ?? '');

/** A folder has neither versions nor markers. */
export function folderStore(folder: string): OwnedStore {
  const files = async (): Promise<readonly string[]> =>
    (await readdir(folder, { recursive: true, withFileTypes: true }))
      .filter((found) => found.isFile())
      .map((found) => join(found.parentPath, found.name));
  return {
    async entries(functions) {
      const entries = new Map<string, Uint8Array>();
      for (const path of await files())
        if (isOf(path, functions)) entries.set(path.slice(folder.length + 1), new Uint8Array(await readFile(path)));
      return entries;
    },
    hide: () => rename(folder, `${folder}-hidden`),
    show: () => rename(`${folder}-hidden`, folder),
    unsettle: () => false,
    hideTicket: () => Promise.resolve([]),
    async putForeign(random) {
      const tickets = (await files()).filter((path) => /\/tickets\//.test(path));
      if (tickets.length === 0) return [];
      await writeFile(join(dirname(random.pick(tickets)), `note-${random.below(1_000_000)}`), 'mine');
      return [FOREIGN];
    },
  };
}

/** As the policy's default. */
const PREFIX = 'accord/';
const md5 = (body: string): string => createHash('md5').update(body).digest('base64');

/**
 * moto takes every Deny of a bucket's policy for one without conditions, and refuses the enclave as well: there the owner has
 * taken the policy away for good.
 */
export async function dropBucketPolicy(s3: S3Client, Bucket: string): Promise<void> {
  await s3.send(new DeleteBucketPolicyCommand({ Bucket }));
}

/** `hasPolicy`: the bucket's policy is in force. */
export function bucketStore(s3: S3Client, Bucket: string, front: AwsFront, hasPolicy: boolean): OwnedStore {
  const ofTickets = async (): Promise<readonly string[]> =>
    [...(await oldestVersions(s3, Bucket)).keys()].filter((key) => key.startsWith(`${PREFIX}tickets/`));

  /** The bucket's policy forbids its owner too; who owns it may take that away, and put it back. */
  async function lawless(work: () => Promise<void>): Promise<void> {
    if (!hasPolicy) return work();
    const { Policy } = await s3.send(new GetBucketPolicyCommand({ Bucket }));
    await s3.send(new DeleteBucketPolicyCommand({ Bucket }));
    try {
      await work();
    } finally {
      await s3.send(new PutBucketPolicyCommand({ Bucket, Policy }));
    }
  }
  const put = (Key: string, Body: string) =>
    s3.send(new PutObjectCommand({ Bucket, Key, Body, ContentMD5: md5(Body) }));

  return {
    async entries(functions) {
      const entries = new Map<string, Uint8Array>();
      for (const [Key, VersionId] of await oldestVersions(s3, Bucket)) {
        if (!isOf(Key, functions)) continue;
        const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key, VersionId }));
        entries.set(Key, (await Body?.transformToByteArray()) ?? new Uint8Array(0));
      }
      return entries;
    },
    hide: () => Promise.resolve(front.cut(Bucket)),
    show: () => Promise.resolve(front.mend(Bucket)),
    unsettle(ms, random) {
      front.unsettle(Bucket, ms, random);
      return true;
    },
    async hideTicket(random) {
      const tickets = await ofTickets();
      if (tickets.length === 0) return [];
      const Key = random.pick(tickets);
      const isMarker = random.chance(0.6);
      await lawless(async () => {
        if (isMarker) await s3.send(new DeleteObjectCommand({ Bucket, Key }));
        if (!isMarker || random.chance(0.5)) await put(Key, 'mine');
      });
      return isMarker ? [MARKER] : [OBJECT];
    },
    async putForeign(random) {
      const tickets = await ofTickets();
      const beside = tickets.length === 0 ? PREFIX : `${dirname(random.pick(tickets))}/`;
      await lawless(async () => void (await put(`${beside}note-${random.below(1_000_000)}`, 'mine')));
      return [FOREIGN];
    },
  };
}

/** Key to the id of its oldest version. */
async function oldestVersions(s3: S3Client, Bucket: string): Promise<ReadonlyMap<string, string>> {
  const oldest = new Map<string, string>();
  let next: { readonly KeyMarker?: string; readonly VersionIdMarker?: string } | undefined = {};
  while (next !== undefined) {
    const page: ListObjectVersionsCommandOutput = await s3.send(new ListObjectVersionsCommand({ Bucket, ...next }));
    // Newest first within a key: the last one seen is the oldest.
    for (const { Key = '', VersionId = '' } of page.Versions ?? []) oldest.set(Key, VersionId);
    next = page.IsTruncated === true ? markersOf(page) : undefined;
  }
  return oldest;
}

function markersOf({ NextKeyMarker, NextVersionIdMarker }: ListObjectVersionsCommandOutput): {
  readonly KeyMarker?: string;
  readonly VersionIdMarker?: string;
} {
  return {
    ...(NextKeyMarker === undefined ? {} : { KeyMarker: NextKeyMarker }),
    ...(NextVersionIdMarker === undefined ? {} : { VersionIdMarker: NextVersionIdMarker }),
  };
}
