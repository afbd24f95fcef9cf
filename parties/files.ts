/** Files that a person named, and what the system answered about them. */
import { stat } from 'node:fs/promises';
import { describeError, errorCode } from '../build/disk.ts';
import { Failure } from '../policies/failure.ts';

export type FileCode =
  | 'file/absent' // no such file, or a folder: a slip in the command
  | 'file/not-a-folder' // a file, where a folder is to be
  | 'file/exists'
  | 'file/itself' // the result would replace what it is made of
  | 'file/too-large'
  | 'file/unreadable'
  | 'file/unwritable';

const SPELLING = 'is the path right? a relative one starts at the folder where the command is run';

/** What the system said about a file, as a failure in words. What is no answer of the system passes through unchanged. */
export function fileFailure(cause: unknown, path: string, doing: 'read' | 'written'): unknown {
  const reason = errorCode(cause);
  if (cause instanceof Failure || reason === undefined || !/^E[A-Z0-9]+$/.test(reason)) return cause;
  const fail = (kind: 'usage' | 'environment', code: FileCode, message: string, hint?: string): Failure<FileCode> =>
    new Failure(kind, code, message, { where: path, ...(hint === undefined ? {} : { hint }), cause });
  if (doing === 'read' && (reason === 'ENOENT' || reason === 'ENOTDIR')) {
    return fail('usage', 'file/absent', `there is no file ${path}`, SPELLING);
  }
  if (doing === 'written' && (reason === 'ENOENT' || reason === 'ENOTDIR')) {
    return fail(
      'usage',
      'file/absent',
      `there is no folder for ${path}`,
      'make the folder first, or name another place',
    );
  }
  if (reason === 'EISDIR') return fail('usage', 'file/absent', `${path} is a folder`, 'name a file in it');
  if (reason === 'EEXIST') {
    return fail('usage', 'file/exists', `${path} exists already`, 'name another file, or remove this one');
  }
  const isFull = reason === 'ENOSPC' || reason === 'EDQUOT';
  const hint = isFull ? 'free some space on the disk, then try again' : 'check its owner and its mode';
  const code = doing === 'read' ? 'file/unreadable' : 'file/unwritable';
  return fail('environment', code, `${path} cannot be ${doing}: ${describeError(cause)}`, hint);
}

/** Refuses a place where no folder is nor can be made, before any work that would end in it. @throws Failure<FileCode> `usage` */
export async function demandFolderPlace(path: string): Promise<void> {
  const found = await stat(path).catch((cause: unknown) =>
    errorCode(cause) === 'ENOTDIR' ? 'below-a-file' : 'absent',
  );
  if (found === 'absent' || (typeof found === 'object' && found.isDirectory())) return;
  const what = found === 'below-a-file' ? 'is below a file' : found.isFile() ? 'is a file' : 'is no folder';
  throw new Failure<FileCode>('usage', 'file/not-a-folder', `${path} ${what}`, { where: path, hint: 'name a folder' });
}
