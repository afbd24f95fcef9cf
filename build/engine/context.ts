/**
 * The folder that an engine builds in: the Dockerfile and all that it copies. Modes and times are set, not taken over from
 * this machine, since engines put them into layers and into what they remember.
 */
import { chmod, copyFile, link, mkdir, readFile, readdir, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { diskFailure, errorCode } from '../disk.ts';
import type { CpioEntry } from '../image/cpio.ts';
import { FILE_MODE, FOLDER_MODE, PATHS, PROGRAM_MODE } from '../image/ramdisk.ts';

export interface ContextParts {
  /** What stands in the image below `/accord`, with its folders. */
  readonly entries: readonly CpioEntry[];
  /** The Node program. */
  readonly node: string;
  /** The C library and bubblewrap as a tar archive; undefined where it comes from a registry. */
  readonly baseTar: string | undefined;
  /** The registry's image, by digest. */
  readonly image?: string | undefined;
}

const DOCKERFILE = join(import.meta.dirname, '..', 'Dockerfile');
const FIXED_TIME = new Date(0);
const STAGE = 'FROM scratch AS base\nADD base.tar /\n';
const FROM_STAGE = 'COPY --from=base ';

export const readDockerfile = (): Promise<string> => readFile(DOCKERFILE, 'utf8');

/** Of an image of a registry files are copied, and nothing else of it counts: no stage begins with it. */
function dockerfileFor(dockerfile: string, image: string | undefined): string {
  if (image === undefined) return dockerfile;
  if (!dockerfile.includes(STAGE)) throw new Error('the Dockerfile has no stage of the base to leave out');
  return dockerfile.replace(STAGE, '').replaceAll(FROM_STAGE, `COPY --from=${image} `);
}

/** `folder` is there and empty. Throws `disk/…` of kind `environment`. */
export async function makeContext(folder: string, { entries, node, baseTar, image }: ContextParts): Promise<void> {
  try {
    await writeFile(join(folder, 'Dockerfile'), dockerfileFor(await readDockerfile(), image), { mode: FILE_MODE });
    await copyFile(node, join(folder, 'node'));
    await chmod(join(folder, 'node'), PROGRAM_MODE);
    if (baseTar !== undefined) await linkOrCopy(baseTar, join(folder, 'base.tar'));
    for (const entry of entries) await place(folder, entry);
    await fixTimes(folder);
  } catch (error) {
    throw diskFailure(error, folder, 'making the folder that the image is built in');
  }
}

async function place(folder: string, entry: CpioEntry): Promise<void> {
  const below = `${dirname(PATHS.accord)}/`;
  const isOurs = entry.path === PATHS.accord || entry.path.startsWith(`${PATHS.accord}/`);
  if (!isOurs) return;
  const path = join(folder, entry.path.slice(below.length));
  if (entry.kind === 'directory') {
    await mkdir(path, { mode: FOLDER_MODE });
    await chmod(path, FOLDER_MODE); // whatever the umask is
    return;
  }
  if (entry.kind !== 'file') throw new Error(`${entry.path} is a ${entry.kind}; the enclave has files alone`);
  if (entry.content instanceof Uint8Array) await writeFile(path, entry.content);
  else await copyFile(entry.content.file, path);
  await chmod(path, entry.mode);
}

/** The archive is only read. */
async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (!['EXDEV', 'EPERM', 'EMLINK', 'EACCES'].includes(errorCode(error) ?? '')) throw error;
    await copyFile(from, to);
  }
}

async function fixTimes(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await fixTimes(path);
    if (entry.name !== 'base.tar') await utimes(path, FIXED_TIME, FIXED_TIME); // linked: its times are of the cache
  }
  await utimes(folder, FIXED_TIME, FIXED_TIME);
}
