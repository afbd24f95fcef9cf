/** What a killed process left behind: folders that nobody has touched for a day. */
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

const STALE_MS = 24 * 3600 * 1000;

/** Removes those of `home` whose names start so. That one cannot be removed, or that there is no `home`, is no failure. */
export async function removeStale(home: string, prefixes: readonly string[]): Promise<void> {
  for (const name of await readdir(home).catch(() => [])) {
    if (!prefixes.some((prefix) => name.startsWith(prefix))) continue;
    const path = join(home, name);
    const found = await stat(path).catch(() => undefined);
    if (found === undefined || Date.now() - found.mtimeMs < STALE_MS) continue;
    await rm(path, { recursive: true, force: true }).catch(() => {});
  }
}
