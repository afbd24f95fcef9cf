/**
 * The inputs of a rebuild: a folder of its own, made like the cache's, that has of the cache no more than it may believe.
 *
 *     inputs/       what was downloaded, each file a link to the cache's; it is checked against the lock when it is used
 *     kernel, init  the cache's, unless they are to be compiled again
 *
 * All else that was derived from downloads (the unpacked toolchain, the C library's archive) is made anew. A daemon may keep
 * layers: each file that an engine gives back is compared with what went in. A download that was missing goes into the cache
 * at the end.
 */
import { mkdtemp, readdir, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { diskFailure, makeFolder } from './disk.ts';

/** Named by digest: `SHA256.deb`, `SHA256-node`, `SHA256.tar.xz`. Whatever else stands there was made here. */
const DOWNLOAD = /^[0-9a-f]{64}(?:-node|\.deb|\.dsc|\.tar\.[a-z0-9]+)$/;
const COMPILED = ['kernel', 'init'] as const;

export interface RebuildInputs {
  /** In place of the cache's folder. */
  readonly folder: string;
  /** Keeps what was downloaded, removes the rest. */
  readonly close: () => Promise<void>;
}

/** Throws `disk/…`. */
export async function openRebuildInputs(cacheDir: string, fromSource: boolean): Promise<RebuildInputs> {
  try {
    const kept = join(cacheDir, 'inputs');
    await makeFolder(kept, 0o700);
    const folder = await mkdtemp(join(cacheDir, 'rebuild-'));
    const inputs = join(folder, 'inputs');
    await makeFolder(inputs, 0o700);
    for (const name of await readdir(kept)) {
      if (DOWNLOAD.test(name)) await symlink(join(kept, name), join(inputs, name));
    }
    for (const name of fromSource ? [] : COMPILED) {
      await makeFolder(join(cacheDir, name), 0o700);
      await symlink(join(cacheDir, name), join(folder, name));
    }
    return { folder, close: () => closeInputs(folder, inputs, kept) };
  } catch (error) {
    throw diskFailure(error, cacheDir, 'preparing the rebuild');
  }
}

async function closeInputs(folder: string, inputs: string, kept: string): Promise<void> {
  try {
    for (const entry of await readdir(inputs, { withFileTypes: true })) {
      if (entry.isFile() && DOWNLOAD.test(entry.name)) await rename(join(inputs, entry.name), join(kept, entry.name));
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
