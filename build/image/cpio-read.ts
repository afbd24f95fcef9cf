/**
 * Reads a newc archive as it streams by, and refuses whatever the kernel, another tool and we could understand
 * differently: other variants of the format, compression, bytes in the padding, anything but zeros behind the trailer.
 */
import { Failure } from '../../policies/failure.ts';
import { CPIO_HEADER_BYTES, CPIO_MAGIC, FILE_TYPE, TYPES, padded } from './cpio.ts';
import type { CpioCode } from './cpio.ts';
import { TRAILER, parentOf, pathFault } from './entry-path.ts';

export interface CpioHeader {
  readonly kind: 'directory' | 'file' | 'symlink';
  readonly path: string;
  /** The folder it stands in; '' for the root. */
  readonly parent: string;
  /** Permission bits, with sticky; setuid and setgid were refused. */
  readonly mode: number;
  /** Equal for names of one file, and only for those; undefined for a file with one name. */
  readonly inode: string | undefined;
  /** Of the content that follows. */
  readonly bytes: number;
}

/** What an archive's reader does with it. Calls are awaited one by one; pieces are the callee's until then. */
export interface CpioSink {
  directory(header: CpioHeader): Promise<void>;
  symlink(header: CpioHeader, target: string): Promise<void>;
  /** Then `content` until `header.bytes` have come, then `end`. */
  file(header: CpioHeader): Promise<void>;
  content(piece: Uint8Array): Promise<void>;
  end(): Promise<void>;
}

export interface CpioLimits {
  readonly entries: number;
  /** Sum of the contents, in bytes. */
  readonly bytes: number;
}

export interface CpioReader {
  push(piece: Uint8Array): Promise<void>;
  /** Throws unless the archive has come to its end. */
  finish(): void;
}

type Step = 'header' | 'name' | 'target' | 'content' | 'padding' | 'tail';

const MAX_NAME_FIELD = 4096;
const FIELDS = [
  'ino',
  'mode',
  'uid',
  'gid',
  'nlink',
  'mtime',
  'filesize',
  'devmajor',
  'devminor',
  'rdevmajor',
  'rdevminor',
  'namesize',
  'check',
] as const;
type Fields = Readonly<Record<(typeof FIELDS)[number], number>>;

/** `name` stands in messages (`ramdisk 2`). Throws `Failure<CpioCode>` of kind `malformed`, with the offset. */
export function createCpioReader(sink: CpioSink, limits: CpioLimits, name: string): CpioReader {
  let step: Step = 'header';
  let held = new Uint8Array(CPIO_HEADER_BYTES);
  let filled = 0;
  let left = 0; // content still to come
  let offset = 0; // of the byte that comes next
  let entryAt = 0;
  let entries = 0;
  let total = 0;
  let fields: Fields | undefined;
  let current: CpioHeader | undefined;

  const fault = (code: CpioCode, why: string, at = entryAt): Failure<CpioCode> =>
    new Failure('malformed', code, `${name} is not a sound ramdisk: at byte ${at}, ${why}`, {
      where: `${name}, byte ${at}`,
      hint: 'take the image from its source again, or build it again; do not use this one',
    });

  const collect = (next: Step, bytes: number): void => {
    step = next;
    held = new Uint8Array(bytes);
    filled = 0;
  };

  const next = (): void => collect('header', CPIO_HEADER_BYTES);

  const onHeader = (): void => {
    fields = readFields(held, fault);
    if (fields.namesize < 2 || fields.namesize > MAX_NAME_FIELD)
      throw fault('cpio/path', `a name of ${fields.namesize} bytes`);
    collect('name', padded(CPIO_HEADER_BYTES + fields.namesize, 4) - CPIO_HEADER_BYTES);
  };

  const onName = async (): Promise<void> => {
    if (fields === undefined) return;
    const text = readName(held, fields.namesize, fault);
    if (text === TRAILER) {
      if (fields.filesize !== 0) throw fault('cpio/format', 'the trailer has a content');
      step = 'tail';
      return;
    }
    if (++entries > limits.entries) throw fault('cpio/too-many', `more than ${limits.entries} entries`);
    total += fields.filesize;
    if (total > limits.bytes) throw fault('cpio/too-large', `the contents are more than ${limits.bytes} bytes`);
    current = headerOf(text, fields, fault);
    switch (current.kind) {
      case 'directory':
        if (current.bytes !== 0) throw fault('cpio/format', `the folder "${text}" has a content`);
        await sink.directory(current);
        next();
        return;
      case 'symlink':
        if (current.bytes === 0 || current.bytes >= MAX_NAME_FIELD)
          throw fault('cpio/link', `the link "${text}" has a target of ${current.bytes} bytes`);
        collect('target', padded(current.bytes, 4));
        return;
      case 'file':
        await sink.file(current);
        left = current.bytes;
        step = 'content';
        if (left === 0) await onContentEnd();
        return;
    }
  };

  const onTarget = async (): Promise<void> => {
    if (current === undefined) return;
    checkZeros(held.subarray(current.bytes), fault);
    await sink.symlink(current, decodeText(held.subarray(0, current.bytes), 'the target of a link', fault));
    next();
  };

  const onContentEnd = async (): Promise<void> => {
    await sink.end();
    const bytes = current?.bytes ?? 0;
    const padding = padded(bytes, 4) - bytes;
    if (padding === 0) next();
    else collect('padding', padding);
  };

  const onFilled = async (): Promise<void> => {
    switch (step) {
      case 'header':
        return onHeader();
      case 'name':
        return onName();
      case 'target':
        return onTarget();
      case 'padding':
        checkZeros(held, fault);
        return next();
      case 'content':
      case 'tail':
        return;
    }
  };

  return {
    async push(piece) {
      let rest = piece;
      while (rest.length > 0) {
        if (step === 'tail') return checkZeros(rest, fault, offset);
        if (step === 'header' && filled === 0) entryAt = offset;
        const take = Math.min(rest.length, step === 'content' ? left : held.length - filled);
        const part = rest.subarray(0, take);
        rest = rest.subarray(take);
        offset += take;
        if (step === 'content') {
          left -= take;
          await sink.content(part);
          if (left === 0) await onContentEnd();
        } else {
          held.set(part, filled);
          filled += take;
          if (filled === held.length) await onFilled();
        }
      }
    },
    finish() {
      if (step !== 'tail') throw fault('cpio/truncated', 'the archive ends without its trailer', offset);
    },
  };
}

type Fault = (code: CpioCode, why: string, at?: number) => Failure<CpioCode>;

function readFields(bytes: Uint8Array, fault: Fault): Fields {
  const compressed =
    (bytes[0] === 0x1f && bytes[1] === 0x8b) ||
    (bytes[0] === 0x28 && bytes[1] === 0xb5) ||
    (bytes[0] === 0xfd && bytes[1] === 0x37);
  if (compressed) throw fault('cpio/compressed', 'it is compressed; only plain archives are unpacked here');
  const text = Buffer.from(bytes).toString('latin1');
  if (!text.startsWith(CPIO_MAGIC)) throw fault('cpio/format', 'there is no cpio entry of the "newc" kind');
  const value = (i: number): number => {
    const digits = text.slice(CPIO_MAGIC.length + 8 * i, CPIO_MAGIC.length + 8 * (i + 1));
    if (!/^[0-9A-Fa-f]{8}$/.test(digits)) throw fault('cpio/format', `its field ${FIELDS[i]} is not hexadecimal`);
    return Number.parseInt(digits, 16);
  };
  return {
    ino: value(0),
    mode: value(1),
    uid: value(2),
    gid: value(3),
    nlink: value(4),
    mtime: value(5),
    filesize: value(6),
    devmajor: value(7),
    devminor: value(8),
    rdevmajor: value(9),
    rdevminor: value(10),
    namesize: value(11),
    check: value(12),
  };
}

function readName(held: Uint8Array, namesize: number, fault: Fault): string {
  checkZeros(held.subarray(namesize - 1), fault);
  return decodeText(held.subarray(0, namesize - 1), 'a name', fault);
}

function headerOf(path: string, fields: Fields, fault: Fault): CpioHeader {
  const why = pathFault(path);
  if (why !== undefined) throw fault('cpio/path', `the path ${JSON.stringify(path)} is refused: ${why}`);
  const type = fields.mode & FILE_TYPE;
  const kind = (['directory', 'file', 'symlink'] as const).find((candidate) => TYPES[candidate] === type);
  if (kind === undefined)
    throw fault('cpio/device', `"${path}" is a device, pipe or socket (mode ${fields.mode.toString(8)})`);
  if ((fields.mode & 0o6000) !== 0 && kind === 'file') throw fault('cpio/setuid', `"${path}" is setuid or setgid`);
  const linked = kind === 'file' && fields.nlink > 1;
  return {
    kind,
    path,
    parent: parentOf(path),
    mode: fields.mode & 0o1777,
    inode: linked ? `${fields.devmajor}:${fields.devminor}:${fields.ino}` : undefined,
    bytes: fields.filesize,
  };
}

function decodeText(bytes: Uint8Array, what: string, fault: Fault): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw fault('cpio/path', `${what} is not UTF-8`);
  }
}

function checkZeros(bytes: Uint8Array, fault: Fault, at?: number): void {
  const stray = bytes.findIndex((byte) => byte !== 0);
  if (stray === -1) return;
  throw fault('cpio/padding', 'there are bytes where only zeros may stand', at === undefined ? undefined : at + stray);
}
