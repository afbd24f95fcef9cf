/**
 * Buckets and objects, as files of the data folder:
 *
 *     s3/BUCKET/bucket.json             owner, Region, versioning, lock, policy
 *     s3/BUCKET/versions/SEQUENCE-ID    one version (or delete marker): a line of JSON, then the object's bytes
 *
 * What was answered is on disk: each file is written beside, flushed and renamed, and the folder flushed. A start reads the
 * first lines of all of them; bytes are read when first asked for. The order of versions is that of their sequence numbers.
 */
import { mkdir, open, readFile, readdir, rename, rm, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { syncFolder } from '../../../build/disk.ts';
import { serially } from '../../serially.ts';
import type { Serially } from '../../serially.ts';
import { writeAtomically } from '../files.ts';
import type { Bucket, ObjectVersion } from './model.ts';
import { insertKey } from './keys.ts';

export interface S3Store {
  /** By name. */
  buckets(): readonly Bucket[];
  bucket(name: string): Bucket | undefined;
  createBucket(bucket: Bucket): Promise<void>;
  saveBucket(bucket: Bucket): Promise<void>;
  deleteBucket(name: string): Promise<void>;
  /** Newest first; empty where the key was never written. */
  versions(bucket: string, key: string): readonly ObjectVersion[];
  /** All keys with a version or a delete marker, in the order of their UTF-8 bytes. */
  keys(bucket: string): readonly string[];
  add(bucket: string, version: Omit<ObjectVersion, 'sequence'>, bytes: Uint8Array): Promise<ObjectVersion>;
  /** The same version with other properties; the bytes stay. */
  replace(bucket: string, version: ObjectVersion): Promise<void>;
  remove(bucket: string, version: ObjectVersion): Promise<void>;
  read(bucket: string, version: ObjectVersion): Promise<Uint8Array>;
  /** Runs work on one key (or, without key, on the bucket itself) when what was asked before has ended. */
  exclusively<T>(bucket: string, key: string | undefined, work: () => Promise<T>): Promise<T>;
}

interface OpenBucket {
  bucket: Bucket;
  readonly keys: string[];
  readonly versions: Map<string, readonly ObjectVersion[]>;
}

const LINE_FEED = 10;
/** Bytes. Objects up to this length, as anchors' entries are, stay in memory once written or read. */
const SMALL = 1024;

export async function openS3Store(dataDir: string): Promise<S3Store> {
  const root = join(dataDir, 's3');
  await mkdir(root, { recursive: true, mode: 0o700 });
  const buckets = await loadAll(root);
  let sequence = Math.max(0, ...[...buckets.values()].flatMap(latest));
  const queues = new Map<string, { readonly run: Serially; waiting: number }>();

  const small = new Map<number, Uint8Array>();
  const keep = ({ sequence: number }: ObjectVersion, bytes: Uint8Array): Uint8Array => {
    if (bytes.length <= SMALL) small.set(number, Uint8Array.from(bytes));
    return bytes;
  };
  const folderOf = (bucket: string): string => join(root, bucket, 'versions');
  const pathOf = (bucket: string, version: ObjectVersion): string => join(folderOf(bucket), fileName(version));
  const opened = (name: string): OpenBucket => {
    const found = buckets.get(name);
    if (found === undefined) throw new Error(`no bucket ${name}`);
    return found;
  };
  const write = (bucket: string, version: ObjectVersion, bytes: Uint8Array): Promise<void> =>
    writeAtomically(
      pathOf(bucket, version),
      Buffer.concat([Buffer.from(`${JSON.stringify(version)}\n`), bytes]),
      0o600,
    );
  const read = async (bucket: string, version: ObjectVersion): Promise<Uint8Array> => {
    const kept = small.get(version.sequence);
    if (kept !== undefined) return kept;
    const file = await readFile(pathOf(bucket, version));
    return keep(version, file.subarray(file.indexOf(LINE_FEED) + 1));
  };

  return {
    buckets: () => [...buckets.values()].map(({ bucket }) => bucket).sort((a, b) => (a.name < b.name ? -1 : 1)),
    bucket: (name) => buckets.get(name)?.bucket,
    createBucket: async (bucket) => {
      const draft = join(root, `.new-${bucket.name}`);
      await rm(draft, { recursive: true, force: true });
      await mkdir(join(draft, 'versions'), { recursive: true, mode: 0o700 });
      await writeAtomically(join(draft, 'bucket.json'), JSON.stringify(bucket), 0o600);
      await rename(draft, join(root, bucket.name));
      await syncFolder(root);
      buckets.set(bucket.name, { bucket, keys: [], versions: new Map() });
    },
    saveBucket: async (bucket) => {
      await writeAtomically(join(root, bucket.name, 'bucket.json'), JSON.stringify(bucket), 0o600);
      opened(bucket.name).bucket = bucket;
    },
    deleteBucket: async (name) => {
      const gone = join(root, `.gone-${name}`);
      await rm(gone, { recursive: true, force: true });
      buckets.delete(name);
      await rename(join(root, name), gone);
      await syncFolder(root);
      await rm(gone, { recursive: true, force: true });
    },
    versions: (bucket, key) => buckets.get(bucket)?.versions.get(key) ?? [],
    keys: (bucket) => buckets.get(bucket)?.keys ?? [],
    add: async (bucket, without, bytes) => {
      const version: ObjectVersion = { ...without, sequence: ++sequence };
      await write(bucket, version, bytes);
      keep(version, bytes);
      const { keys, versions } = opened(bucket);
      const before = versions.get(version.key);
      if (before === undefined) insertKey(keys, version.key);
      versions.set(version.key, [version, ...(before ?? [])]);
      return version;
    },
    replace: async (bucket, version) => {
      await write(bucket, version, await read(bucket, version));
      const { versions } = opened(bucket);
      const all = versions.get(version.key) ?? [];
      versions.set(
        version.key,
        all.map((each) => (each.sequence === version.sequence ? version : each)),
      );
    },
    remove: async (bucket, version) => {
      await unlink(pathOf(bucket, version));
      await syncFolder(folderOf(bucket));
      small.delete(version.sequence);
      const { keys, versions } = opened(bucket);
      const left = (versions.get(version.key) ?? []).filter(({ sequence: each }) => each !== version.sequence);
      if (left.length > 0) versions.set(version.key, left);
      else {
        versions.delete(version.key);
        keys.splice(keys.indexOf(version.key), 1);
      }
    },
    read,
    exclusively: async (bucket, key, work) => {
      const name = key === undefined ? bucket : `${bucket}/${key}`;
      const queue = queues.get(name) ?? { run: serially(), waiting: 0 };
      queues.set(name, queue);
      queue.waiting += 1;
      try {
        return await queue.run(work);
      } finally {
        queue.waiting -= 1;
        if (queue.waiting === 0) queues.delete(name);
      }
    },
  };
}

function fileName({ sequence, versionId }: ObjectVersion): string {
  return `${String(sequence).padStart(12, '0')}-${versionId}`;
}

async function loadAll(root: string): Promise<Map<string, OpenBucket>> {
  const buckets = new Map<string, OpenBucket>();
  for (const name of await readdir(root)) {
    // What creating or deleting a bucket left half done was never answered, or is gone.
    if (name.startsWith('.')) await rm(join(root, name), { recursive: true, force: true });
    else buckets.set(name, await loadBucket(join(root, name)));
  }
  return buckets;
}

async function loadBucket(folder: string): Promise<OpenBucket> {
  const bucket: Bucket = JSON.parse(await readFile(join(folder, 'bucket.json'), 'utf8'));
  const all: ObjectVersion[] = [];
  for (const name of (await readdir(join(folder, 'versions'))).sort()) {
    const path = join(folder, 'versions', name);
    if (name.endsWith('.draft')) await unlink(path);
    else all.push(await firstLine(path));
  }
  const versions = new Map<string, readonly ObjectVersion[]>();
  for (const version of all) {
    const before = versions.get(version.key) ?? [];
    // What has no versions is overwritten by writing the next and then removing the last: the end may have come between.
    const replaced = before.filter(({ versionId }) => versionId === 'null' && version.versionId === 'null');
    for (const each of replaced) await unlink(join(folder, 'versions', fileName(each)));
    versions.set(version.key, [version, ...before.filter((each) => !replaced.includes(each))]);
  }
  const keys: string[] = [];
  for (const key of versions.keys()) insertKey(keys, key);
  return { bucket, keys, versions };
}

async function firstLine(path: string): Promise<ObjectVersion> {
  const file = await open(path);
  try {
    let head = Buffer.alloc(0);
    while (!head.includes(LINE_FEED)) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(8192), 0, 8192, head.length);
      if (bytesRead === 0) throw new Error(`${path} has no first line`);
      head = Buffer.concat([head, buffer.subarray(0, bytesRead)]);
    }
    const version: ObjectVersion = JSON.parse(head.subarray(0, head.indexOf(LINE_FEED)).toString());
    return version;
  } finally {
    await file.close();
  }
}

function latest({ versions }: OpenBucket): readonly number[] {
  return [...versions.values()].flatMap(([newest]) => newest?.sequence ?? 0);
}
