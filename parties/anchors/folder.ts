/** A folder as an anchor, for local trials. */
import { stat } from 'node:fs/promises';

/** What is wrong with it, in words. */
export async function checkFolder(folder: string): Promise<string | undefined> {
  const found = await stat(folder).catch(() => undefined);
  if (found === undefined) return `there is no folder ${folder}: accord anchor make makes it`;
  return found.isDirectory() ? undefined : `${folder} is no folder`;
}
