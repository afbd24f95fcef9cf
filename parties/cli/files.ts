/** The files that a verb is given: every one is read here, and every fault of one is told alike. */
import { readFile, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { Failure } from '../../policies/failure.ts';
import { fileFailure } from '../files.ts';
import type { Io } from './verb.ts';

export type TextCode = 'file/not-text';

/** The whole file, `-` being stdin. @throws Failure<FileCode>: `usage` where there is none, else `environment` */
export async function readBytes(io: Io, file: string): Promise<Uint8Array> {
  if (file === '-') return io.stdin();
  try {
    return new Uint8Array(await readFile(resolve(io.cwd, file), { signal: io.signal }));
  } catch (cause) {
    io.signal.throwIfAborted();
    throw fileFailure(cause, file, 'read');
  }
}

/** Likewise, as UTF-8 text. @throws Failure<FileCode | TextCode> */
export async function readText(io: Io, file: string): Promise<string> {
  const bytes = await readBytes(io, file);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new Failure<TextCode>('malformed', 'file/not-text', `${file} is not UTF-8 text`, {
      where: file,
      hint: 'is this the right file?',
      cause,
    });
  }
}

/** In bytes; a folder has none. @throws Failure<FileCode> */
export async function sizeOf(io: Io, file: string): Promise<number> {
  try {
    const found = await stat(resolve(io.cwd, file));
    if (found.isDirectory()) throw Object.assign(new Error('a folder'), { code: 'EISDIR' });
    return found.size;
  } catch (cause) {
    throw fileFailure(cause, file, 'read');
  }
}
