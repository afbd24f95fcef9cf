/**
 * Debian's files, by digest: from the cache, else from a mirror, else from Debian's snapshot archive. Plain HTTP will do,
 * since nothing is believed before its length and its SHA-256 are those of the lock. Kept as `CACHE/inputs/SHA256.deb`.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rename, rm, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Failure } from '../../policies/failure.ts';
import { describeError, diskFailure, makeFolder } from '../disk.ts';
import { removeStale } from '../stale.ts';
import { readInputsLock } from './lock.ts';
import type { InputsCode, LockedPackage } from './lock.ts';

export interface FetchOptions {
  /** The folder of all caches. */
  readonly cacheDir: string;
  /** `done` and `total` in bytes. */
  readonly onProgress?: (text: string, done: number, total: number) => void;
  readonly signal?: AbortSignal;
  /** Where Debian's `pool/` is, in the order to try. Default: `debianMirrors()`. */
  readonly mirrors?: readonly string[];
}

const DEFAULT_MIRROR = 'http://deb.debian.org/debian';
const ATTEMPTS = 4;
const STALL_MS = 30_000;
const AT_ONCE = 4;

/** `ACCORD_DEBIAN_MIRROR` or Debian's own, then the snapshot archive as it was when the lock was made. */
export function debianMirrors(
  env: Readonly<Record<string, string | undefined>> = process.env,
  snapshot: string = readInputsLock().debian.snapshot,
): readonly string[] {
  const mirror = (env['ACCORD_DEBIAN_MIRROR'] ?? '').replace(/\/+$/, '');
  return [mirror === '' ? DEFAULT_MIRROR : mirror, `https://snapshot.debian.org/archive/debian/${snapshot}`];
}

/** Path of the verified file. Throws `inputs/gone`, `inputs/unreachable`, `inputs/wrong-bytes` or a `disk/` failure. */
export async function fetchPackage(pkg: LockedPackage, options: FetchOptions): Promise<string> {
  const folder = join(options.cacheDir, 'inputs');
  const file = join(folder, `${pkg.sha256}${/\.(deb|dsc|tar\.[a-z0-9]+)$/.exec(pkg.path)?.[0] ?? ''}`);
  if (await isVerified(file, pkg, options.signal)) return file;
  const temporary = join(folder, `.${process.pid}-${randomBytes(6).toString('hex')}`);
  try {
    await makeFolder(folder, 0o700);
    await removeStale(folder, ['.']);
    await download(pkg, temporary, options);
    // Whoever comes second replaces the file by the same bytes.
    await rename(temporary, file);
    return file;
  } catch (error) {
    throw diskFailure(error, file, `keeping ${pkg.name}`);
  } finally {
    await rm(temporary, { force: true }).catch(() => {});
  }
}

/** Paths in the same order; progress over all of them, with the name of the one that just moved. */
export async function fetchPackages(
  packages: readonly LockedPackage[],
  options: FetchOptions,
): Promise<readonly string[]> {
  const total = packages.reduce((sum, { bytes }) => sum + bytes, 0);
  const done = packages.map(() => 0);
  const paths: string[] = [];
  const queue = [...packages.entries()];
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  const work = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const [index, pkg] = next;
      const report = (bytes: number): void => {
        done[index] = bytes;
        options.onProgress?.(
          pkg.name,
          done.reduce((sum, one) => sum + one, 0),
          total,
        );
      };
      paths[index] = await fetchPackage(pkg, { ...options, signal, onProgress: (_, bytes) => report(bytes) });
      report(pkg.bytes);
    }
  };
  const workers = Array.from({ length: AT_ONCE }, () =>
    work().catch((error: unknown) => {
      stop.abort(error);
      throw error;
    }),
  );
  await Promise.allSettled(workers); // no download outlives the call
  await Promise.all(workers);
  return paths;
}

/** Whether `file` is there and is what the lock says. */
export async function isVerified(
  file: string,
  { bytes, sha256 }: Pick<LockedPackage, 'bytes' | 'sha256'>,
  signal?: AbortSignal,
): Promise<boolean> {
  const found = await stat(file).catch(() => undefined);
  if (found?.size !== bytes || !found.isFile()) return false;
  const hash = createHash('sha256');
  await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), hash, { ...(signal !== undefined && { signal }) });
  return hash.digest('hex') === sha256;
}

type Answer = { readonly fault: 'gone' | 'unreachable' | 'wrong-bytes'; readonly url: string; readonly what: string };

/** Tries each mirror; says of all of them what they answered. */
async function download(pkg: LockedPackage, path: string, options: FetchOptions): Promise<void> {
  const answers: Answer[] = [];
  for (const mirror of options.mirrors ?? debianMirrors()) {
    const answer = await downloadFrom(`${mirror}/${pkg.path}`, pkg, path, options);
    if (answer === undefined) return;
    answers.push(answer);
  }
  throw notFetched(pkg, answers);
}

/** Undefined when `path` is the file; a connection that breaks is taken up again where it broke. */
async function downloadFrom(
  url: string,
  pkg: LockedPackage,
  path: string,
  { onProgress, signal }: FetchOptions,
): Promise<Answer | undefined> {
  const handle = await open(path, 'w', 0o600);
  const state: Download = { handle, hash: createHash('sha256'), done: 0, bytes: pkg.bytes };
  const progress = (): void => onProgress?.(pkg.name, state.done, pkg.bytes);
  try {
    for (let attempt = 1; ; attempt++) {
      signal?.throwIfAborted();
      const answer = await readOnce(url, state, progress, signal);
      if (answer === 'whole') break;
      if (answer.fault !== 'unreachable' || attempt === ATTEMPTS) return answer;
      await new Promise((resolve) => setTimeout(resolve, 100 * 2 ** attempt));
    }
    const digest = state.hash.digest('hex');
    if (digest !== pkg.sha256) return { fault: 'wrong-bytes', url, what: `its SHA-256 is ${digest}` };
    await handle.sync();
    return undefined;
  } finally {
    await handle.close();
  }
}

interface Download {
  readonly handle: FileHandle;
  hash: Hash;
  done: number;
  readonly bytes: number;
}

async function readOnce(
  url: string,
  state: Download,
  progress: () => void,
  signal: AbortSignal | undefined,
): Promise<'whole' | Answer> {
  const stall = new AbortController();
  const timer = setTimeout(() => stall.abort(new Error(`nothing came for ${STALL_MS / 1000} s`)), STALL_MS);
  const either = signal === undefined ? stall.signal : AbortSignal.any([signal, stall.signal]);
  const answer = (fault: Answer['fault'], what: string): Answer => ({ fault, url, what });
  let writing = false;
  try {
    const headers = { 'accept-encoding': 'identity', ...(state.done > 0 && { range: `bytes=${state.done}-` }) };
    const response = await fetch(url, { headers, signal: either });
    if (!response.ok || response.body === null) {
      await response.body?.cancel();
      const gone = response.status === 404 || response.status === 410;
      return answer(gone ? 'gone' : 'unreachable', `it answered HTTP ${response.status}`);
    }
    if (response.status !== 206) Object.assign(state, { hash: createHash('sha256'), done: 0 });
    for await (const piece of response.body) {
      timer.refresh();
      if (state.done + piece.length > state.bytes)
        return answer('wrong-bytes', `it has more than ${state.bytes} bytes`);
      writing = true;
      for (let from = 0; from < piece.length;) {
        from += (await state.handle.write(piece, from, piece.length - from, state.done + from)).bytesWritten;
      }
      writing = false;
      state.hash.update(piece);
      state.done += piece.length;
      progress();
    }
    // HTTP tells a connection that broke from a file that ended: this one is another file.
    return state.done === state.bytes ? 'whole' : answer('wrong-bytes', `it has ${state.done} bytes`);
  } catch (error) {
    signal?.throwIfAborted();
    if (writing) throw error;
    return answer('unreachable', reasonOf(stall.signal.aborted ? stall.signal.reason : error));
  } finally {
    clearTimeout(timer);
  }
}

/** `fetch` puts the reason (no such host, connection refused) into the cause. */
function reasonOf(error: unknown): string {
  const cause: unknown = error instanceof Error && error.cause !== undefined ? error.cause : error;
  return describeError(cause);
}

const HINTS = {
  gone: 'the package has been replaced by a newer one since the lock was made: set ACCORD_DEBIAN_MIRROR to a mirror that keeps old packages (snapshot.debian.org/archive/debian/TIME), copy CACHE/inputs from a machine that has it, or take a newer version of this repository',
  unreachable:
    'check the network, or set ACCORD_DEBIAN_MIRROR to a Debian mirror that this machine reaches, then run the same command again',
  'wrong-bytes':
    'the mirror (or something between) gives other bytes than those that were locked: nothing of them was kept; set ACCORD_DEBIAN_MIRROR to another mirror',
} as const satisfies Record<Answer['fault'], string>;

/** The worst is told: bytes that are wrong, else gone from a mirror that answered, else no answer at all. */
function notFetched(pkg: LockedPackage, answers: readonly Answer[]): Failure<InputsCode> {
  const fault = (['wrong-bytes', 'gone', 'unreachable'] as const).find((one) => answers.some((a) => a.fault === one));
  const said = answers.map(({ url, what }) => `${url}: ${what}`).join('; ');
  return new Failure(
    'environment',
    `inputs/${fault ?? 'unreachable'}`,
    `${pkg.name} ${pkg.version} (SHA-256 ${pkg.sha256.slice(0, 16)}…) could not be fetched: ${said}`,
    { where: pkg.path, hint: HINTS[fault ?? 'unreachable'] },
  );
}
