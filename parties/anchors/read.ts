/**
 * The tickets of one agreement as they stand in one anchor, read by a party itself with its own rights: not from the host,
 * and not from the enclave. An entry is what the enclave takes it to be, by the same code: the oldest version, locked.
 */
import { ListObjectVersionsCommand } from '@aws-sdk/client-s3';
import type { S3Client } from '@aws-sdk/client-s3';
import * as files from 'node:fs/promises';
import { join } from 'node:path';
import type { Anchor } from '../../enclave/claims/anchor.ts';
import { createFolderAnchor } from '../../enclave/claims/folder-anchor.ts';
import { retainUntil } from '../../enclave/claims/retention.ts';
import { createS3Anchor } from '../../enclave/claims/s3-anchor.ts';
import { bucketOver } from '../../enclave/claims/s3.ts';
import type { RandomSource } from '../../enclave/crypto/random.ts';
import type { Timers } from '../../enclave/deadline.ts';
import { errorCode } from '../../build/disk.ts';
import { Failure } from '../../policies/failure.ts';
import type { AnchorStore, PolicyDigest } from '../../policies/model.ts';
import type { AwsSettings } from '../kms/client.ts';
import { awsFailure, createS3 } from '../kms/client.ts';

export type ReadAnchorCode = 'anchor/unreadable';

/** `<function>/<party>/<k>` */
export type TicketPlace = string;

export type TicketFound =
  | { readonly at: 'entry'; readonly bytes: Uint8Array }
  /** Something stands there that does not count: `why` says what. */
  | { readonly at: 'foreign'; readonly why: string };

export interface ReadAnchor {
  readonly owner: string;
  readonly place: string;
  readonly tickets: ReadonlyMap<TicketPlace, TicketFound>;
  /** Delete markers, second versions, objects that are no tickets. */
  readonly reports: readonly string[];
}

export interface UnreadAnchor {
  readonly owner: string;
  readonly place: string;
  readonly unreadable: string;
}

export interface ReadOptions {
  readonly aws: AwsSettings;
  readonly policyDigest: PolicyDigest;
  readonly until: string;
  /** Account of the party that reads; its own anchor must be of it. */
  readonly account: string;
  readonly party: string;
  readonly timers: Timers;
  readonly random: RandomSource;
  readonly signal: AbortSignal;
}

/** Pages of a listing, of a thousand rows each. */
const MAX_PAGES = 200;
const PARALLEL = 8;

/** What cannot be read is an outcome: the others still tell something. */
export async function readAnchor(store: AnchorStore, options: ReadOptions): Promise<ReadAnchor | UnreadAnchor> {
  const place = 'folder' in store ? store.folder : `s3://${store.s3.bucket}/${store.s3.prefix}`;
  const name = `tickets/${options.policyDigest}`;
  const client = 'folder' in store ? undefined : createS3({ ...options.aws, region: store.s3.region });
  try {
    const opened = 'folder' in store ? openFolder(store, name, options) : openBucket(store, name, options, client);
    const found = await opened.list();
    const tickets = await readAll(opened.anchor, name, found, options.signal);
    return { owner: store.owner, place, tickets, reports: opened.anchor.reports };
  } catch (error) {
    options.signal.throwIfAborted();
    if (!(error instanceof Failure)) throw error;
    return { owner: store.owner, place, unreadable: error.message };
  } finally {
    client?.destroy();
  }
}

interface Opened {
  readonly anchor: Anchor;
  readonly list: () => Promise<readonly TicketPlace[]>;
}

function openBucket(
  { owner, s3: { bucket, prefix } }: Extract<AnchorStore, { readonly s3: unknown }>,
  name: string,
  { until, account, party, timers, signal }: ReadOptions,
  client: S3Client | undefined,
): Opened {
  if (client === undefined) throw new RangeError('a bucket needs a client');
  const s3 = bucketOver(client, {
    bucket,
    account: owner === party ? account : undefined,
    clockOffset: () => Promise.resolve(client.config.systemClockOffset),
  });
  const place = `s3://${bucket}/${prefix}`;
  const anchor = createS3Anchor({ owner, s3, place, prefix, retainUntil: retainUntil(until), timers });
  return { anchor, list: () => listKeys(client, bucket, `${prefix}${name}/`, signal) };
}

async function listKeys(
  client: S3Client,
  bucket: string,
  under: string,
  signal: AbortSignal,
): Promise<readonly TicketPlace[]> {
  const keys = new Set<string>();
  let after: { readonly KeyMarker?: string | undefined; readonly VersionIdMarker?: string | undefined } = {};
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const command = new ListObjectVersionsCommand({ Bucket: bucket, Prefix: under, ...after });
    const reply = await client.send(command, { abortSignal: signal }).catch((cause: unknown) => {
      throw awsFailure(cause, 'listing the anchor');
    });
    for (const { Key } of [...(reply.Versions ?? []), ...(reply.DeleteMarkers ?? [])])
      if (Key !== undefined) keys.add(Key.slice(under.length));
    if (reply.IsTruncated !== true) return [...keys];
    after = { KeyMarker: reply.NextKeyMarker, VersionIdMarker: reply.NextVersionIdMarker };
  }
  // A part of the tickets would be counted as all of them.
  throw new Failure<ReadAnchorCode>('refused', 'anchor/unreadable', `more stands under ${under} than is read`);
}

function openFolder(
  { owner, folder }: Extract<AnchorStore, { readonly folder: unknown }>,
  name: string,
  { random }: ReadOptions,
): Opened {
  return {
    anchor: createFolderAnchor({ owner, folder, files, random }),
    async list() {
      const unreadable = (cause: unknown): Failure<ReadAnchorCode> =>
        new Failure('environment', 'anchor/unreadable', `the folder ${folder} cannot be read here`, { cause });
      await files.access(folder).catch((cause: unknown) => {
        throw unreadable(cause);
      });
      const root = join(folder, ...name.split('/'));
      const found = await files.readdir(root, { recursive: true, withFileTypes: true }).catch((cause: unknown) => {
        if (errorCode(cause) === 'ENOENT') return [];
        throw unreadable(cause);
      });
      return found
        .filter((entry) => !entry.isDirectory())
        .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1));
    },
  };
}

/** `PLACE`: the names of functions and parties have no slash. */
const PLACE = /^([^/]+\/[^/]+)\/(0|[1-9]\d{0,8})$/;

async function readAll(
  anchor: Anchor,
  name: string,
  places: readonly TicketPlace[],
  signal: AbortSignal,
): Promise<ReadonlyMap<TicketPlace, TicketFound>> {
  const found = new Map<TicketPlace, TicketFound>();
  const left = [...places].sort();
  const work = async (): Promise<void> => {
    for (let place = left.pop(); place !== undefined; place = left.pop()) {
      const [, whose, k] = PLACE.exec(place) ?? [];
      if (whose === undefined) {
        found.set(place, { at: 'foreign', why: 'it is no ticket' });
        continue;
      }
      const ticket = await holderOf(anchor, `${name}/${whose}`, Number(k), signal);
      if (ticket !== undefined) found.set(place, ticket);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
  return found;
}

async function holderOf(
  anchor: Anchor,
  name: string,
  k: number,
  signal: AbortSignal,
): Promise<TicketFound | undefined> {
  try {
    // A signal of its own: many reads at once would otherwise all listen to one.
    const bytes = await anchor.holder(name, k, AbortSignal.any([signal]));
    return bytes === undefined ? undefined : { at: 'entry', bytes };
  } catch (error) {
    if (error instanceof Failure && error.code === 'anchor/tampered') return { at: 'foreign', why: error.message };
    throw error;
  }
}
