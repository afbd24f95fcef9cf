/** The files that a verb is given: every one is read here, and every fault of one is told alike. */
import * as fs from 'node:fs';
import { stat } from 'node:fs/promises';
import { Socket } from 'node:net';
import { resolve } from 'node:path';
import { addAbortSignal } from 'node:stream';
import { ReadStream, isatty } from 'node:tty';
import { promisify } from 'node:util';
import { Failure } from '../../policies/failure.ts';
import { fileFailure } from '../files.ts';
import type { FileCode } from '../files.ts';
import type { Io } from './verb.ts';

export type TextCode = 'file/not-text';

/** 1 MiB of characters: far more than any text that has no bound of its own. */
const MOST_CHARACTERS = 1_048_576;
const PIECE_BYTES = 262_144;

/** The absolute path of a file or folder. @throws Failure<FileCode> `usage` for an empty name, which `resolve` takes for `cwd` */
export function pathOf(io: Pick<Io, 'cwd'>, file: string): string {
  if (file !== '') return resolve(io.cwd, file);
  throw new Failure<FileCode>('usage', 'file/absent', 'the name of a file is empty', {
    hint: 'is a variable of the shell not set?',
  });
}

/** The file in pieces, `-` being stdin. @throws Failure<FileCode>: `usage` where there is none, else `environment` */
export async function* contentOf(io: Io, file: string): AsyncGenerator<Uint8Array, void, undefined> {
  const name = file === '-' ? 'stdin' : file;
  try {
    yield* file === '-' ? io.stdin() : await openContent(pathOf(io, file), io.signal);
  } catch (cause) {
    io.signal.throwIfAborted();
    throw fileFailure(cause, name, 'read');
  }
}

/** The first bytes, `most` + 1 of them where there are so many: the last one tells that there are more. Throws as `contentOf` */
export async function readHead(io: Io, file: string, most: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of contentOf(io, file)) {
    pieces.push(piece.subarray(0, most + 1 - bytes));
    bytes += pieces.at(-1)?.length ?? 0;
    if (bytes > most) break;
  }
  const head = new Uint8Array(bytes);
  for (const piece of pieces.toReversed()) head.set(piece, (bytes -= piece.length));
  return head;
}

/** The whole file, of at most `most` bytes. @throws Failure<FileCode>: also `malformed` for what is longer */
export async function readBytes(io: Io, file: string, most: number): Promise<Uint8Array> {
  const bytes = await readHead(io, file, most);
  if (bytes.length <= most) return bytes;
  throw tooLarge(file, `${most} bytes`);
}

/** Likewise, as UTF-8 text of at most `most` characters, counted in UTF-16. @throws Failure<FileCode | TextCode> */
export async function readText(io: Io, file: string, most: number = MOST_CHARACTERS): Promise<string> {
  // A character is at most three bytes, and a byte order mark is none.
  const head = await readHead(io, file, 3 * most + 3);
  const isCut = head.length > 3 * most + 3;
  const text = decode(head, file, isCut);
  if (!isCut && text.length <= most) return text;
  throw tooLarge(file, `${most} characters`);
}

/** In bytes; undefined of a pipe, which has no size. A folder is none. @throws Failure<FileCode> */
export async function sizeOf(io: Io, file: string): Promise<number | undefined> {
  const path = pathOf(io, file);
  try {
    const found = await stat(path);
    if (found.isDirectory()) throw Object.assign(new Error('a folder'), { code: 'EISDIR' });
    return found.isFIFO() ? undefined : found.size;
  } catch (cause) {
    throw fileFailure(cause, file, 'read');
  }
}

/**
 * Opened without waiting: opening a pipe that nobody writes to, like reading a terminal, would hold a thread that nothing
 * ends, and the process with it.
 */
async function openContent(path: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  const fd = await promisify(fs.open)(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  if (isatty(fd)) return addAbortSignal(signal, new ReadStream(fd));
  if (fs.fstatSync(fd).isFIFO()) return addAbortSignal(signal, new Socket({ fd, readable: true, writable: false }));
  return addAbortSignal(signal, fs.createReadStream('', { fd, highWaterMark: PIECE_BYTES }));
}

function decode(bytes: Uint8Array, file: string, isCut: boolean): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: isCut });
  } catch (cause) {
    throw new Failure<TextCode>('malformed', 'file/not-text', `${file} is not UTF-8 text`, {
      where: file,
      hint: 'is this the right file?',
      cause,
    });
  }
}

function tooLarge(file: string, most: string): Failure<FileCode> {
  const message = `${file === '-' ? 'the input' : file} has more than ${most}, which is the most that is taken`;
  return new Failure('malformed', 'file/too-large', message, { where: file, hint: 'is this the right file?' });
}
