/**
 * The archive format of ramdisks: cpio "newc", as the kernel reads it (Documentation/driver-api/early-userspace). Numbers
 * are eight hexadecimal digits in ASCII; name and content are padded with zeros to a multiple of four.
 *
 *     struct {
 *       char magic[6];                          // "070701"
 *       char ino[8], mode[8], uid[8], gid[8], nlink[8], mtime[8], filesize[8];
 *       char devmajor[8], devminor[8], rdevmajor[8], rdevminor[8];
 *       char namesize[8];                       // with the final zero
 *       char check[8];                          // 0
 *       char name[namesize]; pad; char content[filesize]; pad;
 *     } Entry;                                  // the last one is named "TRAILER!!!"
 *
 * Written deterministically: entries sorted by the bytes of their paths (parents so come first), no times, owner 0,
 * inode numbers counted from 1 in that order, content of a hard-linked file with the last of its names, and the archive
 * padded to 512 bytes, so that the next one starts aligned when a loader joins them.
 */
import { open } from 'node:fs/promises';
import { Failure } from '../../policies/failure.ts';
import { diskFailure } from '../disk.ts';
import { TRAILER, parentOf, pathFault, targetFault } from './entry-path.ts';

export const CPIO_MAGIC = '070701';
export const CPIO_HEADER_BYTES = 110;
export const FILE_TYPE = 0o170000;
export const TYPES = { directory: 0o040000, file: 0o100000, symlink: 0o120000 } as const;
const ARCHIVE_BLOCK = 512;
const PIECE_BYTES = 4 * 1024 * 1024;

export type CpioCode =
  | 'cpio/truncated'
  | 'cpio/format' // not a newc archive, or a field that is no number
  | 'cpio/compressed'
  | 'cpio/path' // absolute, with `..`, empty, or not text
  | 'cpio/duplicate'
  | 'cpio/parent-missing' // the folder of an entry was not made by the archive, or is a link
  | 'cpio/link' // a link that leads out, or to nothing
  | 'cpio/device'
  | 'cpio/setuid'
  | 'cpio/too-many'
  | 'cpio/too-large'
  | 'cpio/padding' // bytes that nobody would see
  | 'cpio/changed'; // a file changed while it was archived

export type Content = Uint8Array | FileRange;

/** A whole file, or from `offset` on `bytes` of one that holds more. */
export interface FileRange {
  readonly file: string;
  readonly bytes: number;
  readonly offset?: number;
}

/** Paths are relative to the archive's root, without `./`. Modes are permission bits alone. */
export type CpioEntry =
  | { readonly kind: 'directory'; readonly path: string; readonly mode: number }
  | { readonly kind: 'file'; readonly path: string; readonly mode: number; readonly content: Content }
  | { readonly kind: 'hardlink'; readonly path: string; readonly to: string }
  | { readonly kind: 'symlink'; readonly path: string; readonly target: string };

export interface CpioFields {
  readonly ino: number;
  readonly mode: number;
  readonly nlink: number;
  readonly bytes: number;
  readonly name: string;
}

/** Header, name and padding of one entry. */
export function encodeHeader({ ino, mode, nlink, bytes, name }: CpioFields): Uint8Array {
  const nameBytes = Buffer.from(`${name}\0`);
  const fields = [ino, mode, 0, 0, nlink, 0, bytes, 0, 0, 0, 0, nameBytes.length, 0];
  const text = CPIO_MAGIC + fields.map((field) => field.toString(16).toUpperCase().padStart(8, '0')).join('');
  const header = new Uint8Array(padded(CPIO_HEADER_BYTES + nameBytes.length, 4));
  header.set(Buffer.from(text, 'latin1'));
  header.set(nameBytes, CPIO_HEADER_BYTES);
  return header;
}

export const padded = (bytes: number, block: number): number => Math.ceil(bytes / block) * block;

/** What stands in the archive for each entry, in order: a header, and for some a content. */
interface ArchiveRecord {
  readonly path: string;
  readonly header: Uint8Array;
  readonly content: Content | undefined;
}

/** The archive's length is known before any file is read. */
export interface CpioPlan {
  readonly bytes: number;
  /** Of the files' contents alone, each counted once. */
  readonly unpacked: number;
  readonly records: readonly ArchiveRecord[];
}

/** Sorts and checks `entries`: no path twice, each in a folder of this archive, links to files of this archive. */
export function planCpio(entries: readonly CpioEntry[]): CpioPlan {
  const sorted = [...entries].sort((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)));
  const byPath = new Map(sorted.map((entry) => [entry.path, entry]));
  if (byPath.size < sorted.length) {
    const twice = sorted.find((entry, i) => sorted[i + 1]?.path === entry.path);
    throw refuse('cpio/duplicate', twice?.path ?? '', 'two entries have this path');
  }
  /** Names of each hard-linked file, by the path of its file entry. */
  const names = new Map<string, string[]>();
  for (const { path, ...entry } of sorted) {
    checkEntry(path, entry, byPath);
    const file = entry.kind === 'hardlink' ? entry.to : path;
    names.set(file, [...(names.get(file) ?? []), path]);
  }
  let inode = 0;
  const inodes = new Map<string, number>();
  const records = sorted.map((entry): ArchiveRecord => {
    const home = entry.kind === 'hardlink' ? entry.to : entry.path;
    const ino = inodes.get(home) ?? ++inode;
    inodes.set(home, ino);
    return recordOf(entry, ino, names.get(home) ?? [], byPath.get(home));
  });
  records.push({
    path: TRAILER,
    header: encodeHeader({ ino: 0, mode: 0, nlink: 1, bytes: 0, name: TRAILER }),
    content: undefined,
  });
  const bytes = records.reduce((sum, { header, content }) => sum + header.length + padded(lengthOf(content), 4), 0);
  const unpacked = sorted.reduce((sum, entry) => sum + (entry.kind === 'file' ? lengthOf(entry.content) : 0), 0);
  return { bytes: padded(bytes, ARCHIVE_BLOCK), unpacked, records };
}

function checkEntry(
  path: string,
  entry: Omit<CpioEntry, 'path'> & { to?: string; target?: string },
  byPath: ReadonlyMap<string, CpioEntry>,
): void {
  const fault = pathFault(path);
  if (fault !== undefined) throw refuse('cpio/path', path, fault);
  const parent = parentOf(path);
  if (parent !== '' && byPath.get(parent)?.kind !== 'directory') {
    throw refuse('cpio/parent-missing', path, 'its folder is no entry of the archive');
  }
  if (entry.to !== undefined && byPath.get(entry.to)?.kind !== 'file') {
    throw refuse('cpio/link', path, `it links to ${entry.to}, which is no file of the archive`);
  }
  const leads = entry.target === undefined ? undefined : targetFault(path, entry.target);
  if (leads !== undefined) throw refuse('cpio/link', path, leads);
}

function recordOf(entry: CpioEntry, ino: number, names: readonly string[], home: CpioEntry | undefined): ArchiveRecord {
  const { path } = entry;
  const record = (mode: number, nlink: number, content: Content | undefined): ArchiveRecord => {
    const bytes = lengthOf(content);
    if (bytes > 0xffff_ffff) throw refuse('cpio/too-large', path, 'the format ends at 4 GiB a file');
    return { path, header: encodeHeader({ ino, mode, nlink, bytes, name: path }), content };
  };
  switch (entry.kind) {
    case 'directory':
      return record(TYPES.directory | entry.mode, 1, undefined);
    case 'symlink':
      return record(TYPES.symlink | 0o777, 1, Buffer.from(entry.target));
    case 'file':
    case 'hardlink': {
      if (home?.kind !== 'file') throw refuse('cpio/link', path, 'it links to no file');
      const last = names.at(-1) === path;
      return record(TYPES.file | home.mode, names.length, last ? home.content : undefined);
    }
  }
}

function lengthOf(content: Content | undefined): number {
  return content === undefined ? 0 : content instanceof Uint8Array ? content.length : content.bytes;
}

/** The bytes of the archive, in pieces that the caller must be done with before it asks for the next. */
export async function* writeCpio(plan: CpioPlan): AsyncGenerator<Uint8Array> {
  let written = 0;
  for (const { header, content } of plan.records) {
    yield header;
    const bytes = lengthOf(content);
    if (content instanceof Uint8Array) yield content;
    else if (content !== undefined) yield* readRange(content);
    yield new Uint8Array(padded(bytes, 4) - bytes);
    written += header.length + padded(bytes, 4);
  }
  yield new Uint8Array(plan.bytes - written);
}

/** The same in memory, for archives whose contents are in memory. */
export function encodeCpio(entries: readonly (CpioEntry & { readonly content?: Uint8Array })[]): Uint8Array {
  const plan = planCpio(entries);
  const archive = new Uint8Array(plan.bytes);
  let at = 0;
  for (const { header, content } of plan.records) {
    archive.set(header, at);
    at += header.length;
    if (content instanceof Uint8Array) archive.set(content, at);
    at += padded(lengthOf(content), 4);
  }
  return archive;
}

/** Exactly the bytes that were planned: a file that grew or shrank meanwhile would shift all that follows. */
async function* readRange({ file, bytes, offset }: FileRange): AsyncGenerator<Uint8Array> {
  const handle = await open(file, 'r').catch((error: unknown) => {
    throw diskFailure(error, file, 'reading a file of the image');
  });
  try {
    const { size } = await handle.stat();
    const buffer = new Uint8Array(Math.min(bytes, PIECE_BYTES));
    const start = offset ?? 0;
    let done = offset !== undefined || size === bytes ? 0 : bytes + 1;
    while (done < bytes) {
      const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, bytes - done), start + done);
      if (bytesRead === 0) break;
      yield buffer.subarray(0, bytesRead);
      done += bytesRead;
    }
    if (done !== bytes) {
      throw new Failure<CpioCode>('environment', 'cpio/changed', `${file} changed while the image was made from it`, {
        where: file,
        hint: 'run the same command again',
      });
    }
  } finally {
    await handle.close();
  }
}

function refuse(code: CpioCode, path: string, why: string): Failure<CpioCode> {
  return new Failure('malformed', code, `"${path}" cannot stand in a ramdisk: ${why}`, { where: path });
}
