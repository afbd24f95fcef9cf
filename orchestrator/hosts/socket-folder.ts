/**
 * Unix sockets in a folder whose path may be long. `sun_path` holds 107 bytes and a zero; longer paths fail, or worse,
 * are cut. Where a path would not fit, the folder is held open and named through `/proc/self/fd`, which is short.
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';

const SUN_PATH_BYTES = 107;

export interface SocketFolder {
  /** A path that a socket call takes, for a file of this folder. Valid in this process, until `close`. */
  path(name: string): string;
  close(): Promise<void>;
}

/** `longestName` is the longest file name that `path` will be asked for. */
export async function openSocketFolder(folder: string, longestName: string): Promise<SocketFolder> {
  if (Buffer.byteLength(join(folder, longestName)) <= SUN_PATH_BYTES) {
    return { path: (name) => join(folder, name), close: async () => {} };
  }
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  return { path: (name) => `/proc/self/fd/${handle.fd}/${name}`, close: () => handle.close() };
}
