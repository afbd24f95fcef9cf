/**
 * Debian packages, read without Debian's tools. A .deb file is an `ar` archive (deb(5)):
 *
 *     "!<arch>\n"
 *     { name[16] mtime[12] uid[6] gid[6] mode[8] size[10] "`\n"   ASCII, padded with spaces
 *       content[size], and one "\n" if size is odd } *
 *
 * with the members `debian-binary` ("2.0\n"), `control.tar.*` (not read: no maintainer script ever runs) and `data.tar.xz`.
 */
import { spawn } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { extract } from 'tar-stream';
import type { Entry } from 'tar-stream';
import { Failure } from '../../policies/failure.ts';
import { describeError, errorCode } from '../disk.ts';
import type { InputsCode } from './lock.ts';

const MAGIC = '!<arch>\n';
const HEADER = 60;

/**
 * Hands each entry of `data.tar.xz` to `visit`, in their order; what that does not read of an entry's body is skipped. Throws
 * `inputs/archive`, `inputs/tool-missing`, and what `visit` throws.
 */
export async function readDeb(
  path: string,
  visit: (entry: Entry) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  const { start, bytes } = await findData(path);
  const xz = spawn('xz', ['-dc'], { stdio: ['pipe', 'pipe', 'pipe'], env: { PATH: process.env['PATH'], LC_ALL: 'C' } });
  const source = createReadStream(path, { start, end: start + bytes - 1, highWaterMark: 1 << 20 });
  let said = '';
  xz.stderr.on('data', (data: Buffer) => (said += data.toString()));
  const ended = new Promise<void>((resolve, reject) => {
    xz.on('error', (error) => reject(noXz(error)));
    // By a signal it ends when nobody reads on; whoever stopped reading says why.
    xz.on('close', (code) => (code === 0 || code === null ? resolve() : reject(archiveFailure(path, said.trim()))));
  });
  const feeding = pipeline(source, xz.stdin).catch((error: unknown) => {
    if (errorCode(error) !== 'EPIPE' && errorCode(error) !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
  });
  const tar = extract();
  let fault: Error | undefined;
  tar.on('error', (error: Error) => (fault ??= error));
  const reading = pipeline(xz.stdout, tar, { ...(signal !== undefined && { signal }) });
  // They are awaited below; until then a rejection of theirs is not lost.
  for (const promise of [ended, feeding, reading]) promise.catch(() => {});
  try {
    for await (const entry of tar) {
      await visit(entry);
      entry.resume();
    }
    await Promise.all([ended, feeding, reading]);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof Failure || (error instanceof Error && 'syscall' in error)) throw error;
    // xz, where it failed, says more than the archive that therefore stops short.
    await ended;
    throw fault === undefined ? error : archiveFailure(path, describeError(fault));
  } finally {
    xz.kill('SIGKILL');
  }
}

/** Where `data.tar.xz` lies in the file. */
async function findData(path: string): Promise<{ readonly start: number; readonly bytes: number }> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const read = async (at: number, bytes: number): Promise<string> =>
      (await file.read(Buffer.alloc(bytes), 0, bytes, at)).buffer.toString('latin1');
    if ((await read(0, MAGIC.length)) !== MAGIC) throw archiveFailure(path, 'it is no ar archive');
    for (let at = MAGIC.length; at + HEADER <= size;) {
      const header = await read(at, HEADER);
      const name = header.slice(0, 16).trimEnd().replace(/\/$/, '');
      const length = /^(\d+) *`\n$/.exec(header.slice(48))?.[1];
      if (length === undefined) throw archiveFailure(path, `the header at byte ${at} is damaged`);
      const start = at + HEADER;
      const bytes = Number(length);
      if (start + bytes > size) throw archiveFailure(path, `it stops in the middle of ${name}`);
      if (name === 'data.tar.xz') return { start, bytes };
      if (name.startsWith('data.tar')) throw archiveFailure(path, `its contents are ${name}, and only xz is read`);
      at = start + bytes + (bytes % 2);
    }
    throw archiveFailure(path, 'it holds no data.tar.xz');
  } finally {
    await file.close();
  }
}

export function archiveFailure(path: string, what: string): Failure<InputsCode> {
  return new Failure('malformed', 'inputs/archive', `${path} is not a sound Debian package: ${what}`, {
    where: path,
    hint: 'remove the file and run the same command again; if that does not help, the locked package itself cannot be read',
  });
}

function noXz(error: Error): Failure<InputsCode> {
  return new Failure('environment', 'inputs/tool-missing', `xz cannot be started: ${describeError(error)}`, {
    where: 'xz',
    hint: 'install it (Debian, Ubuntu: xz-utils; Fedora, Amazon Linux: xz) and run the same command again',
    cause: error,
  });
}
