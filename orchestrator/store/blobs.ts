/**
 * Contributions as files: ciphertext, named by its SHA-256. A blob is written beside its place, flushed, and renamed
 * into it, so a reader sees all of it or nothing, whenever the process or the machine stops.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { syncFolder } from '../../build/disk.ts';
import { Failure } from '../../policies/failure.ts';

export type BlobCode = 'store/disk-full' | 'store/too-large' | 'store/cut-short' | 'store/blob-missing';

export interface StoredBlob {
  readonly bytes: number;
  readonly sha256: string;
}

export interface ReceiveOptions {
  /** More than so many bytes are refused, and nothing is kept. */
  readonly maxBytes: number;
  /** What the sender announced; another length is refused. */
  readonly expectedBytes?: number;
  /** Looks at the first bytes (up to 16,388: an envelope's header) before anything is kept; throws to refuse. */
  readonly inspect?: (head: Uint8Array) => Promise<void>;
}

/** Whole and on the disk, but not yet under its name. Ends by `keep` or `discard`. */
export interface ReceivedBlob extends StoredBlob {
  keep(): Promise<void>;
  discard(): Promise<void>;
}

export interface Blobs {
  /** Throws, and leaves nothing behind, when the source breaks off, is too long, or the disk is full. */
  receive(source: AsyncIterable<Uint8Array>, options: ReceiveOptions): Promise<ReceivedBlob>;
  /** Throws `store/blob-missing`. */
  read(sha256: string): Promise<{ readonly bytes: number; readonly stream: Readable }>;
  /** Removes every blob that is not in use, and every half-written one. Only when nothing is being received. */
  sweep(inUse: ReadonlySet<string>): Promise<void>;
  remove(sha256: string): Promise<void>;
}

const HEAD_BYTES = 16_388;
const PARTIAL = '.part';

/** Makes `folder` where it is missing. */
export async function openBlobs(folder: string): Promise<Blobs> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  return {
    receive: (source, options) => receive(folder, source, options),
    read: (sha256) => readBlob(folder, sha256),
    sweep: async (inUse) => {
      for (const name of await readdir(folder)) {
        if (!inUse.has(name)) await rm(join(folder, name), { force: true });
      }
    },
    remove: (sha256) => rm(join(folder, sha256), { force: true }),
  };
}

async function receive(
  folder: string,
  source: AsyncIterable<Uint8Array>,
  options: ReceiveOptions,
): Promise<ReceivedBlob> {
  const partial = join(folder, `${randomBytes(12).toString('hex')}${PARTIAL}`);
  const discard = (): Promise<void> => rm(partial, { force: true });
  try {
    const file = await open(partial, 'wx', 0o600);
    try {
      const stored = await copy(source, file, options);
      await file.sync();
      return { ...stored, keep: () => keep(folder, partial, stored.sha256), discard };
    } finally {
      await file.close();
    }
  } catch (error) {
    await discard();
    throw diskFull(error, folder) ?? error;
  }
}

async function keep(folder: string, partial: string, sha256: string): Promise<void> {
  await rename(partial, join(folder, sha256));
  await syncFolder(folder);
}

async function copy(
  source: AsyncIterable<Uint8Array>,
  file: FileHandle,
  { maxBytes, expectedBytes, inspect }: ReceiveOptions,
): Promise<StoredBlob> {
  const hash = createHash('sha256');
  let bytes = 0;
  let head: Buffer | undefined = Buffer.alloc(0);
  for await (const chunk of source) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) throw tooLarge(maxBytes);
    if (head !== undefined && inspect !== undefined) {
      head = Buffer.concat([head, chunk.subarray(0, HEAD_BYTES - head.byteLength)]);
      if (head.byteLength === HEAD_BYTES) {
        await inspect(head);
        head = undefined;
      }
    }
    hash.update(chunk);
    await file.writeFile(chunk);
  }
  if (head !== undefined) await inspect?.(head);
  if (expectedBytes !== undefined && bytes !== expectedBytes) {
    throw new Failure<BlobCode>(
      'malformed',
      'store/cut-short',
      `the upload ended after ${bytes} of ${expectedBytes} bytes`,
      { hint: 'send it again' },
    );
  }
  return { bytes, sha256: hash.digest('hex') };
}

async function readBlob(folder: string, sha256: string): Promise<{ bytes: number; stream: Readable }> {
  const path = join(folder, sha256);
  try {
    const file = await open(path, 'r');
    const { size } = await file.stat();
    return { bytes: size, stream: file.createReadStream({ highWaterMark: 256 * 1024 }) };
  } catch (error) {
    throw new Failure<BlobCode>('environment', 'store/blob-missing', 'the stored contribution is gone from the disk', {
      where: path,
      hint: 'contribute it again',
      cause: error,
    });
  }
}

export function tooLarge(maxBytes: number): Failure<BlobCode> {
  return new Failure('malformed', 'store/too-large', `the upload is larger than the ${maxBytes} bytes allowed`);
}

const FULL: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

function diskFull(error: unknown, folder: string): Failure<BlobCode> | undefined {
  if (!(error instanceof Error) || !('code' in error) || !FULL.has(error.code)) return undefined;
  return new Failure('environment', 'store/disk-full', 'the disk of the data folder is full; nothing was kept', {
    where: folder,
    hint: 'free some space and send it again',
    cause: error,
  });
}
