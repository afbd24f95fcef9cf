/**
 * What enclaves seal and hand to the host: state records and sets of wrapped keys. Ciphertext, named by its SHA-256,
 * written once and kept as long as the collaboration: what an enclave was told is stored must be found again, whatever
 * stops in between. So nothing of it stands in the database, which does not outlive a power cut to the last write:
 * the folder is the index.
 *
 *     <folder>/<collaboration id>/<sha256>    one record, flushed before it has its name
 *     <folder>/<collaboration id>/keys        the name of the newest set of wrapped keys
 *
 * The host cannot tell which record made another one useless, so it removes none; what an enclave may store is bounded
 * by the policy's quotas (one record a call) and, against a runaway, by `MOST_RECORDS` and `MOST_BYTES`.
 */
import { mkdir, open, readFile, readdir, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { syncFolder } from '../../build/disk.ts';
import { Failure } from '../../policies/failure.ts';
import { serially } from '../serially.ts';
import type { Serially } from '../serially.ts';
import { openBlobs } from './blobs.ts';
import type { Blobs } from './blobs.ts';

export type RecordCode =
  | 'store/records-full' // the collaboration has stored as much as it may
  | 'store/record-changed'; // the bytes are not those of the name

export const MOST_RECORDS = 200_000;
/** 8 GiB. */
export const MOST_BYTES: number = 8 * 1024 ** 3;

export interface RecordsLimits {
  readonly records: number;
  readonly bytes: number;
}

export interface RecordUpload {
  readonly source: AsyncIterable<Uint8Array>;
  readonly bytes: number;
  /** Lower-case hex, as announced. */
  readonly sha256: string;
}

export interface StoredRecord {
  readonly bytes: number;
  readonly stream: Readable;
}

export interface RecordsUsage {
  readonly records: number;
  readonly bytes: number;
}

export interface SealedRecords {
  /** On the disk when it resolves; the same record again is the same record. Throws `RecordCode`, `store/…`. */
  put(id: string, upload: RecordUpload): Promise<void>;
  get(id: string, sha256: string): Promise<StoredRecord | undefined>;
  /** Like `put`, and remembered as the newest set of wrapped keys. */
  putKeys(id: string, upload: RecordUpload): Promise<void>;
  keys(id: string): Promise<StoredRecord | undefined>;
  usage(id: string): Promise<RecordsUsage>;
}

const NAME = /^[0-9a-f]{64}$/;
const KEYS = 'keys';

interface Shelf {
  readonly folder: string;
  readonly blobs: Blobs;
  readonly names: Set<string>;
  readonly stored: { records: number; bytes: number };
  /** One at a time: the older of two newest sets never wins by being slow. */
  readonly naming: Serially;
  /** Bytes and records that are being received. */
  readonly coming: { records: number; bytes: number };
}

/** Makes `folder` where it is missing. What was half-written when an earlier process ended is removed. */
export async function openRecords(
  folder: string,
  limits: RecordsLimits = { records: MOST_RECORDS, bytes: MOST_BYTES },
): Promise<SealedRecords> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const shelves = new Map<string, Promise<Shelf>>();
  const shelfOf = (id: string): Promise<Shelf> => {
    const known = shelves.get(id) ?? openShelf(folder, id);
    shelves.set(id, known);
    known.catch(() => shelves.delete(id));
    return known;
  };

  const put = async (id: string, { source, bytes, sha256 }: RecordUpload): Promise<Shelf> => {
    const shelf = await shelfOf(id);
    demandRoom(shelf, bytes, sha256, limits);
    shelf.coming.records += 1;
    shelf.coming.bytes += bytes;
    try {
      const received = await shelf.blobs.receive(source, { maxBytes: bytes, expectedBytes: bytes });
      if (received.sha256 !== sha256) {
        await received.discard();
        throw new Failure<RecordCode>('malformed', 'store/record-changed', 'the record is not the one announced');
      }
      await received.keep();
      if (!shelf.names.has(sha256)) {
        shelf.names.add(sha256);
        shelf.stored.records += 1;
        shelf.stored.bytes += bytes;
      }
      return shelf;
    } finally {
      shelf.coming.records -= 1;
      shelf.coming.bytes -= bytes;
    }
  };
  const get = async (id: string, sha256: string): Promise<StoredRecord | undefined> => {
    const { blobs, names } = await shelfOf(id);
    return names.has(sha256) ? blobs.read(sha256) : undefined;
  };

  return {
    put: async (id, upload) => void (await put(id, upload)),
    get,
    async putKeys(id, upload) {
      const shelf = await put(id, upload);
      await shelf.naming(() => writeName(shelf.folder, upload.sha256));
    },
    async keys(id) {
      const name = await readName((await shelfOf(id)).folder);
      return name === undefined ? undefined : get(id, name);
    },
    async usage(id) {
      return { ...(await shelfOf(id)).stored };
    },
  };
}

async function openShelf(records: string, id: string): Promise<Shelf> {
  const folder = join(records, id);
  const blobs = await openBlobs(folder);
  await syncFolder(records);
  const names = (await readdir(folder)).filter((name) => NAME.test(name));
  await blobs.sweep(new Set([...names, KEYS]));
  let bytes = 0;
  for (const name of names) bytes += (await stat(join(folder, name))).size;
  const stored = { records: names.length, bytes };
  return { folder, blobs, names: new Set(names), stored, naming: serially(), coming: { records: 0, bytes: 0 } };
}

function demandRoom(shelf: Shelf, bytes: number, sha256: string, limits: RecordsLimits): void {
  const { names, stored, coming } = shelf;
  if (names.has(sha256)) return;
  const fits = stored.records + coming.records < limits.records;
  if (fits && stored.bytes + coming.bytes + bytes <= limits.bytes) return;
  throw new Failure<RecordCode>(
    'environment',
    'store/records-full',
    `the collaboration stores ${stored.records} records of ${stored.bytes} bytes, and may store ${limits.records} of ${limits.bytes}`,
  );
}

/** Whole or not at all, and after the record that it names. */
async function writeName(folder: string, sha256: string): Promise<void> {
  const partial = join(folder, `${KEYS}.part`);
  const file = await open(partial, 'w', 0o600);
  try {
    await file.writeFile(sha256);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(partial, join(folder, KEYS));
  await syncFolder(folder);
}

async function readName(folder: string): Promise<string | undefined> {
  const name = await readFile(join(folder, KEYS), 'latin1').catch(() => '');
  return NAME.test(name) ? name : undefined;
}
