/**
 * What compiles the kernel and the init: Debian's packages from the lock in a folder of their own, so that the compiler and
 * all it reads are the same bytes on every machine.
 *
 *     CACHE/toolchain/KEY/root     made beside the others and renamed into place: there it is whole
 *
 * KEY is a digest of the packages and of what is done to them.
 */
import { createHash, randomBytes } from 'node:crypto';
import { chmod, mkdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { diskFailure, errorCode, makeFolder } from '../disk.ts';
import { removeStale } from '../stale.ts';
import { fetchPackages } from './fetch.ts';
import type { FetchOptions } from './fetch.ts';
import { readInputsLock } from './lock.ts';
import type { LockedPackage } from './lock.ts';
import { runInside } from './sandbox.ts';
import type { RunOptions } from './sandbox.ts';
import { unpackDebs } from './unpack.ts';

export type { RunOptions } from './sandbox.ts';

export interface Toolchain {
  /** 64 hex digits; changes with every package. */
  readonly key: string;
  /**
   * Runs one command with the toolchain as its root, `work` at /work (where it starts), nothing else of this machine and no
   * network. Throws `inputs/sandbox` where this user may not do that, `inputs/command` where the command fails.
   */
  run(command: readonly string[], options: RunOptions): Promise<void>;
}

export interface ToolchainOptions extends FetchOptions {
  /** Default: those in the lock. */
  readonly packages?: readonly LockedPackage[];
}

/** Increase when the layout below changes. */
const FORMAT = 1;
const DEVICES = ['full', 'null', 'random', 'urandom', 'zero'] as const;
const FOLDERS = ['dev', 'etc', 'proc', 'sys', 'tmp', 'var', 'work'] as const;
/** What maintainer scripts, or the alternatives they register, would have made. */
const LINKS = {
  'usr/bin/awk': 'mawk',
  'usr/bin/cc': 'gcc',
  'usr/bin/lex': 'flex',
  'usr/bin/sh': 'dash',
  'usr/bin/yacc': 'bison.yacc',
  'dev/fd': '/proc/self/fd',
  'dev/stdin': '/proc/self/fd/0',
  'dev/stdout': '/proc/self/fd/1',
  'dev/stderr': '/proc/self/fd/2',
} as const;
/** No compilation reads these; licences are kept. */
const LEFT_OUT = /^usr\/share\/(doc\/.*\/(?!copyright$)[^/]+$|info\/|locale\/|man\/|lintian\/|bug\/)/;

const opening = new Map<string, Promise<void>>();

/** Fetches and unpacks it if it is not there yet; two at once are safe. Failures as of `fetchPackages` and `unpackDebs`. */
export async function openToolchain(options: ToolchainOptions): Promise<Toolchain> {
  const packages = options.packages ?? readInputsLock().debian.toolchain;
  const key = createHash('sha256')
    .update(JSON.stringify(['accord/v1/toolchain', FORMAT, ...packages.map(({ sha256 }) => sha256)]))
    .digest('hex');
  const entry = join(options.cacheDir, 'toolchain', key);
  // Within this process it is unpacked once; another process may unpack it too, and one of them comes second.
  const whole = opening.get(entry) ?? make(entry, packages, options).finally(() => opening.delete(entry));
  opening.set(entry, whole);
  await whole;
  return { key, run: (command, run) => runInside(join(entry, 'root'), command, run) };
}

async function make(entry: string, packages: readonly LockedPackage[], options: FetchOptions): Promise<void> {
  if ((await stat(entry).catch(() => undefined)) !== undefined) return;
  const paths = await fetchPackages(packages, options);
  const temporary = join(dirname(entry), `.${process.pid}-${randomBytes(6).toString('hex')}`);
  const root = join(temporary, 'root');
  try {
    await makeFolder(root, 0o700);
    await removeStale(dirname(entry), ['.']);
    await unpackDebs(paths, root, {
      keep: (path) => !LEFT_OUT.test(path),
      onPackage: (done) => options.onProgress?.('unpacking the toolchain', done, paths.length),
      ...(options.signal !== undefined && { signal: options.signal }),
    });
    await finish(root);
    await rename(temporary, entry).catch((error: unknown) => {
      if (!['EEXIST', 'ENOTEMPTY'].includes(errorCode(error) ?? '')) throw error;
    });
  } catch (error) {
    throw diskFailure(error, entry, 'unpacking the toolchain');
  } finally {
    await rm(temporary, { recursive: true, force: true }).catch(() => {});
  }
}

/** Places to mount on, and the links that no package carries. */
async function finish(root: string): Promise<void> {
  for (const name of FOLDERS) {
    await mkdir(join(root, name), { recursive: true });
    await chmod(join(root, name), 0o755);
  }
  for (const name of DEVICES) await writeFile(join(root, 'dev', name), '');
  await writeFile(join(root, 'etc/passwd'), 'root:x:0:0:root:/tmp:/bin/sh\n');
  await writeFile(join(root, 'etc/group'), 'root:x:0:\n');
  for (const [path, target] of Object.entries(LINKS)) {
    await symlink(target, join(root, path)).catch((error: unknown) => {
      if (errorCode(error) !== 'EEXIST') throw error;
    });
  }
}
