/** The files that a verb writes where it is told to: whole or not at all, and in place of another only where that is meant. */
import { randomBytes } from 'node:crypto';
import { link, open, rename, rm, stat } from 'node:fs/promises';
import { errorCode } from '../../build/disk.ts';
import { Failure } from '../../policies/failure.ts';
import { fileFailure } from '../files.ts';
import type { FileCode } from '../files.ts';

/**
 * Refuses, before any work, a name that is taken; with `force` only where no file is to be replaced, but a folder or a
 * device. @throws Failure<FileCode>
 */
export async function demandNew(path: string, force: boolean): Promise<void> {
  const found = await stat(path).catch((cause: unknown) => {
    if (errorCode(cause) === 'ENOENT') return undefined;
    throw fileFailure(cause, path, 'written');
  });
  if (found === undefined) return;
  if (found.isDirectory()) throw fileFailure(Object.assign(new Error('a folder'), { code: 'EISDIR' }), path, 'written');
  if (!force) throw taken(path);
  if (found.isFile()) return;
  throw new Failure<FileCode>(
    'usage',
    'file/exists',
    `${path} is a device, a pipe or a socket: --force replaces files`,
    {
      where: path,
      hint: 'name another file',
    },
  );
}

/**
 * The whole file or none: what is there under its name was written to the end. Gives its bytes.
 * @throws Failure<FileCode>; what `content` throws passes through
 */
export async function writeNew(
  path: string,
  content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  force: boolean,
  onProgress: (done: number) => void = () => {},
): Promise<number> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.new`;
  let written = 0;
  const file = await open(temporary, 'wx', 0o644).catch((cause: unknown) => {
    throw fileFailure(cause, path, 'written');
  });
  try {
    try {
      for await (const piece of content) {
        await file.writeFile(piece).catch((cause: unknown) => {
          throw fileFailure(cause, path, 'written');
        });
        onProgress((written += piece.length));
      }
      await file.sync();
    } finally {
      await file.close();
    }
    // A hard link fails where the name is taken: no check that somebody could slip in after.
    await (force ? rename(temporary, path) : link(temporary, path)).catch((cause: unknown) => {
      throw errorCode(cause) === 'EEXIST' ? taken(path, cause) : fileFailure(cause, path, 'written');
    });
    return written;
  } finally {
    await rm(temporary, { force: true });
  }
}

function taken(path: string, cause?: unknown): Failure<FileCode> {
  return new Failure('usage', 'file/exists', `${path} exists already`, {
    where: path,
    hint: 'name another file, or replace this one with --force',
    cause,
  });
}
