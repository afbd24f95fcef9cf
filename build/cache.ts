/**
 * The base ramdisk, kept between builds outside of the checkout:
 *
 *     CACHE/base/KEY/base.cpio     the archive
 *     CACHE/base/KEY/base.json     its length, that of the contents, its CRC-32 and the PCR2 of an image that has it alone
 *
 * KEY is a digest of all inputs. What is found is read whole and measured before it is used: that proves it sound, and
 * gives the hash states that every later policy resumes from. A new entry is made beside the others and renamed into
 * place, so two processes at once are safe: one of them comes second and throws its own away. `measure` and `reproduce`
 * never come here.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, open, readFile, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { handleSource, readAhead } from './byte-source.ts';
import type { ByteSource } from './byte-source.ts';
import { diskFailure, errorCode, makeFolder } from './disk.ts';
import { crc32 } from './eif/crc32.ts';
import type { CpioPlan } from './image/cpio.ts';
import { writeCpio } from './image/cpio.ts';
import type { Measurement } from './measure/pcr.ts';

/** What the bytes of the base are known to be. */
interface BaseRecord {
  readonly bytes: number;
  /** Of the contents alone. */
  readonly unpacked: number;
  readonly crc32: number;
  readonly PCR2: string;
}

export interface OpenBase {
  /** Readable until `close`, even if another process removes the entry. */
  readonly source: ByteSource;
  readonly crc32: number;
  /** What it unpacks to, in bytes. */
  readonly unpacked: number;
  /** All that comes before the base, and the base: fork it for each last ramdisk. */
  readonly measurement: Measurement;
  close(): Promise<void>;
}

/** What a base is made from, if it is not there yet. */
export interface BaseSource {
  /** Names the entry: 64 hex digits over all inputs. */
  readonly key: string;
  /** Hands the plan over for as long as `use` works with the files that it names. */
  withPlan<Result>(use: (plan: CpioPlan) => Promise<Result>): Promise<Result>;
}

export interface CacheOptions {
  /** The folder of all caches; undefined keeps nothing. */
  readonly cacheDir: string | undefined;
  /** A new measurement that has seen what comes before the base. */
  readonly measure: () => Measurement;
  /** Index of the base's section in the image. */
  readonly section: number;
  readonly onProgress?: (doing: 'verify' | 'make', done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

const KEPT_ENTRIES = 4;
const STALE_MS = 24 * 3600 * 1000;
const ARCHIVE = 'base.cpio';
const RECORD = 'base.json';

/** `XDG_CACHE_HOME/accord`, else `~/.cache/accord`. */
export function defaultCacheDir(env: Readonly<Record<string, string | undefined>>): string {
  const xdg = env['XDG_CACHE_HOME'];
  // The XDG specification: a relative path is to be ignored.
  return join(xdg?.startsWith('/') === true ? xdg : join(homedir(), '.cache'), 'accord');
}

/** The archive of `source`, from the cache if it is there and sound, else made now. */
export async function openBase(source: BaseSource, options: CacheOptions): Promise<OpenBase> {
  const makeApart = (): Promise<OpenBase> => source.withPlan((plan) => makeElsewhere(plan, options));
  if (options.cacheDir === undefined) return makeApart();
  const { key } = source;
  const home = join(options.cacheDir, 'base');
  const entry = join(home, key);
  const kept = await openEntry(entry, options);
  if (kept !== undefined) return kept;
  try {
    await makeFolder(home, 0o700);
  } catch (error) {
    if (['EACCES', 'EROFS', 'EPERM'].includes(errorCode(error) ?? '')) return makeApart();
    throw diskFailure(error, home, 'making the cache');
  }
  const temporary = join(home, `.${process.pid}-${randomBytes(6).toString('hex')}`);
  const made = await source.withPlan((plan) => make(plan, temporary, options));
  await rename(temporary, entry).catch(async () => {
    // Another process was first with the same bytes; ours stay readable through the open descriptor.
    await rm(temporary, { recursive: true, force: true });
  });
  await prune(home, key);
  return made;
}

/** Where nothing may be kept: a temporary file that loses its name at once. */
async function makeElsewhere(plan: CpioPlan, options: CacheOptions): Promise<OpenBase> {
  const folder = await mkdtemp(join(tmpdir(), 'accord-base-')).catch((error: unknown) => {
    throw diskFailure(error, tmpdir(), 'making a temporary folder');
  });
  try {
    return await make(plan, join(folder, 'base'), options);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function make(plan: CpioPlan, folder: string, options: CacheOptions): Promise<OpenBase> {
  const file = join(folder, ARCHIVE);
  const measurement = options.measure();
  let handle: FileHandle | undefined;
  try {
    await mkdir(folder, { mode: 0o700 });
    handle = await open(file, 'wx+', 0o600);
    let crc = 0;
    let done = 0;
    for await (const piece of writeCpio(plan)) {
      options.signal?.throwIfAborted();
      const written = writeAll(handle, piece, done);
      crc = crc32(piece, crc);
      measurement.update('ramdisk', options.section, piece);
      await written;
      done += piece.length;
      options.onProgress?.('make', done, plan.bytes);
    }
    const record: BaseRecord = { bytes: done, unpacked: plan.unpacked, crc32: crc, PCR2: fingerprint(measurement) };
    await writeFile(join(folder, RECORD), `${JSON.stringify(record)}\n`, { mode: 0o600 });
    return opened(handle, file, record, measurement);
  } catch (error) {
    await handle?.close();
    await rm(folder, { recursive: true, force: true });
    throw diskFailure(error, file, 'keeping the base of the image');
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += (await handle.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}

function opened(handle: FileHandle, file: string, record: BaseRecord, measurement: Measurement): OpenBase {
  return {
    source: handleSource(handle, file, record.bytes),
    crc32: record.crc32,
    unpacked: record.unpacked,
    measurement,
    close: () => handle.close(),
  };
}

/** PCR2 starts after the first ramdisk, so up to here it depends on the base alone. */
function fingerprint(measurement: Measurement): string {
  return measurement.fork().finish().PCR2;
}

/** Undefined where there is no entry, or one that is not what its record says: such a one is removed. */
async function openEntry(entry: string, options: CacheOptions): Promise<OpenBase | undefined> {
  const record = parseRecord(await readFile(join(entry, RECORD), 'utf8').catch(() => ''));
  const file = join(entry, ARCHIVE);
  const handle = await open(file, 'r').catch(() => undefined);
  if (handle === undefined) {
    await rm(entry, { recursive: true, force: true }); // nothing, or a record without its archive
    return undefined;
  }
  try {
    const measurement = options.measure();
    const isWhole =
      record !== undefined && (await isSound(handleSource(handle, file, record.bytes), record, measurement, options));
    if (isWhole) {
      const now = new Date();
      await utimes(entry, now, now).catch(() => {}); // used just now: see `prune`
      return opened(handle, file, record, measurement);
    }
  } catch (error) {
    await handle.close();
    throw error;
  }
  await handle.close();
  await rm(entry, { recursive: true, force: true });
  return undefined;
}

function parseRecord(text: string): BaseRecord | undefined {
  const form = /^\{"bytes":(\d+),"unpacked":(\d+),"crc32":(\d+),"PCR2":"([0-9a-f]{96})"\}\n$/;
  const [, bytes, unpacked, crc, PCR2] = form.exec(text) ?? [];
  if (bytes === undefined || unpacked === undefined || crc === undefined || PCR2 === undefined) return undefined;
  return { bytes: Number(bytes), unpacked: Number(unpacked), crc32: Number(crc), PCR2 };
}

async function isSound(
  source: ByteSource,
  record: BaseRecord,
  measurement: Measurement,
  { section, onProgress, signal }: CacheOptions,
): Promise<boolean> {
  let crc = 0;
  let done = 0;
  if ((await source.read(record.bytes, new Uint8Array(1))) > 0) return false; // longer than it should be
  if ((await source.read(record.bytes - 1, new Uint8Array(1))) < 1) return false;
  for await (const piece of readAhead(source, 0, record.bytes)) {
    signal?.throwIfAborted();
    crc = crc32(piece, crc);
    measurement.update('ramdisk', section, piece);
    done += piece.length;
    onProgress?.('verify', done, record.bytes);
  }
  return crc === record.crc32 && fingerprint(measurement) === record.PCR2;
}

/** Entries are 170 MB each: the least recently used go, and what a killed process left behind. */
async function prune(home: string, current: string): Promise<void> {
  const now = Date.now();
  const entries: { readonly name: string; readonly age: number }[] = [];
  for (const name of await readdir(home).catch(() => [])) {
    const found = await stat(join(home, name)).catch(() => undefined);
    if (found !== undefined && name !== current) entries.push({ name, age: now - found.mtimeMs });
  }
  const stale = entries.filter(({ name, age }) => name.startsWith('.') && age > STALE_MS);
  const old = entries
    .filter(({ name }) => !name.startsWith('.'))
    .sort((a, b) => a.age - b.age)
    .slice(KEPT_ENTRIES - 1);
  for (const { name } of [...stale, ...old]) {
    await rm(join(home, name), { recursive: true, force: true }).catch(() => {});
  }
}
