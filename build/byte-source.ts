/** Bytes with a known length that are read a piece at a time: of a file, or in memory. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { Failure } from '../policies/failure.ts';
import { describeError } from './disk.ts';

export type SourceCode = 'file/unreadable' | 'file/changed';

export interface ByteSource {
  /** For messages: the file's path. */
  readonly name: string;
  readonly bytes: number;
  /** Fills `into` from `offset` on; fewer bytes only where the source ends. */
  read(offset: number, into: Uint8Array): Promise<number>;
}

const PIECE_BYTES = 2 * 1024 * 1024;

export function bytesSource(bytes: Uint8Array, name: string): ByteSource {
  return {
    name,
    bytes: bytes.length,
    read: async (offset, into) => {
      const part = bytes.subarray(offset, offset + into.length);
      into.set(part);
      return part.length;
    },
  };
}

/** A file that the caller opened, and closes. */
export function handleSource(handle: FileHandle, name: string, bytes: number): ByteSource {
  return {
    name,
    bytes,
    read: async (offset, into) => {
      let filled = 0;
      while (filled < into.length) {
        const { bytesRead } = await handle
          .read(into, filled, into.length - filled, offset + filled)
          .catch((error: unknown) => {
            throw unreadable(name, error);
          });
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return filled;
    },
  };
}

/** Opens `path` for the time of `use`. The descriptor is opened once: a file swapped by name meanwhile changes nothing. */
export async function withFileSource<Result>(
  path: string,
  use: (source: ByteSource) => Promise<Result>,
): Promise<Result> {
  // Opening a pipe that nobody writes to would otherwise never end.
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: unknown) => {
    throw unreadable(path, error);
  });
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw unreadable(path, 'it is not a regular file');
    return await use(handleSource(handle, path, stat.size));
  } finally {
    await handle.close();
  }
}

/**
 * Pieces from `start` on, `length` bytes in all. The next piece is read while the caller works on this one; two buffers
 * take turns, so a piece is the caller's until it asks for the next.
 */
export async function* readAhead(source: ByteSource, start: number, length: number): AsyncGenerator<Uint8Array> {
  const size = Math.min(PIECE_BYTES, length);
  const buffers = [new Uint8Array(size), new Uint8Array(size)] as const;
  const fetch = async (done: number, turn: number): Promise<Uint8Array> => {
    const into = (turn % 2 === 0 ? buffers[0] : buffers[1]).subarray(0, Math.min(size, length - done));
    const got = await source.read(start + done, into);
    if (got < into.length) throw changed(source.name, start + done + got);
    return into;
  };
  const ahead = (done: number, turn: number): Promise<Uint8Array> => {
    const piece = fetch(done, turn);
    piece.catch(() => {}); // told when the caller asks for it, which may be a while
    return piece;
  };
  let done = 0;
  let pending = length > 0 ? ahead(0, 0) : undefined;
  try {
    for (let turn = 1; pending !== undefined; turn++) {
      const piece = await pending;
      done += piece.length;
      pending = done < length ? ahead(done, turn) : undefined;
      yield piece;
    }
  } finally {
    await pending?.catch(() => {}); // never leave a read running into a buffer or on a closed descriptor
  }
}

export function changed(name: string, offset: number): Failure<SourceCode> {
  return new Failure('environment', 'file/changed', `${name} changed while it was read, at byte ${offset}`, {
    where: name,
    hint: 'run the same command again',
  });
}

function unreadable(path: string, cause: unknown): Failure<SourceCode> {
  return new Failure('environment', 'file/unreadable', `${path} cannot be read: ${describeError(cause)}`, {
    where: path,
    hint: 'name a file that exists and that this user may read',
    cause,
  });
}
