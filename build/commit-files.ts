/** Several files that belong together, written so that none of them is ever seen half. */
import { randomBytes } from 'node:crypto';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { diskFailure, makeFolder } from './disk.ts';

/** A file's name, and its content or what writes it to the path that it is given. */
export type FileToCommit =
  | { readonly name: string; readonly content: string }
  | { readonly name: string; readonly write: (path: string) => Promise<void> };

/**
 * Writes each file beside its final name, in the order given, then renames all. `content` may be asked for late, so a file
 * can describe one before it. On any failure (a full disk, Ctrl-C) everything temporary is removed and the old files
 * stay as they were. Throws `Failure` of kind `environment`.
 */
export async function commitFiles(
  folder: string,
  files: readonly (FileToCommit | (() => FileToCommit))[],
): Promise<void> {
  const mark = `${process.pid}-${randomBytes(4).toString('hex')}`;
  const written: { readonly from: string; readonly to: string }[] = [];
  let at = folder;
  try {
    await makeFolder(folder, 0o777);
    for (const given of files) {
      const file = typeof given === 'function' ? given() : given;
      const to = join(folder, file.name);
      const from = join(folder, `.${file.name}.${mark}`);
      at = to;
      written.push({ from, to });
      if ('write' in file) await file.write(from);
      else await writeFile(from, file.content, { flag: 'wx', mode: 0o644 });
    }
    for (const { from, to } of written) {
      at = to;
      await rename(from, to);
    }
  } catch (error) {
    await Promise.all(written.map(({ from }) => rm(from, { force: true })));
    throw diskFailure(error, at, 'writing the image');
  }
}
