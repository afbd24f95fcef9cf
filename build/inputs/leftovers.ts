/** What a killed process left in a folder of the cache: temporary files have names that begin with a dot. */
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

const STALE_MS = 24 * 3600 * 1000;

/** Removes those that nobody can be writing any more. What cannot be removed stays. */
export async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    if (!name.startsWith('.')) continue;
    const path = join(folder, name);
    const found = await stat(path).catch(() => undefined);
    if (found === undefined || Date.now() - found.mtimeMs < STALE_MS) continue;
    await rm(path, { recursive: true, force: true }).catch(() => {});
  }
}
