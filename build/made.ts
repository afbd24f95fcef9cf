/**
 * Things that take long to make and depend on nothing but their inputs, kept outside of the checkout:
 *
 *     CACHE/KIND/KEY/FILE           what was made
 *     CACHE/KIND/KEY/FILE.sha256    its digest, by which it is checked when it is found
 *
 * KEY is the digest of all inputs. It is made in a folder beside the others and renamed into place: there it is whole.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { diskFailure, errorCode, makeFolder } from './disk.ts';

const PLACE_ATTEMPTS = 5;

export interface Recipe {
  readonly kind: 'kernel' | 'init';
  /** Everything that decides the bytes, as JSON. */
  readonly inputs: readonly unknown[];
  /** The file that is wanted. */
  readonly file: string;
  /** Leaves the file in `work`, which is empty. */
  readonly make: (work: string) => Promise<void>;
}

export interface Made {
  readonly path: string;
  readonly bytes: Uint8Array;
  /** 64 hex digits. */
  readonly sha256: string;
}

/** From the cache, else made now; with `anew` it is made whatever the cache holds. Throws what `make` does, or `disk/…`. */
export async function keepMade(recipe: Recipe, cacheDir: string, anew = false): Promise<Made> {
  const key = sha256(JSON.stringify(recipe.inputs));
  const home = join(cacheDir, recipe.kind);
  const entry = join(home, key);
  const kept = anew ? undefined : await find(entry, recipe.file);
  if (kept !== undefined) return kept;
  const work = join(home, `.${process.pid}-${randomBytes(6).toString('hex')}`);
  try {
    await makeFolder(home, 0o700);
    await mkdir(work, { mode: 0o700 });
    await recipe.make(work);
    await writeFile(join(work, digestFile(recipe.file)), `${sha256(await readFile(join(work, recipe.file)))}\n`);
    return await place(work, entry, recipe.file, anew);
  } catch (error) {
    throw diskFailure(error, home, `making the ${recipe.kind}`);
  } finally {
    await rm(work, { recursive: true, force: true }).catch(() => {});
  }
}

const digestFile = (file: string): string => `${file}.sha256`;

async function find(entry: string, file: string): Promise<Made | undefined> {
  const path = join(entry, file);
  try {
    const [bytes, digest] = await Promise.all([readFile(path), readFile(join(entry, digestFile(file)), 'latin1')]);
    return sha256(bytes) === digest.trim() ? { path, bytes, sha256: digest.trim() } : undefined;
  } catch {
    return undefined;
  }
}

/** What another process has placed meanwhile is as good; what is unsound, or to be made anew, gives way. */
async function place(work: string, entry: string, file: string, anew: boolean): Promise<Made> {
  for (let attempt = 0; ; attempt++) {
    const other = anew && attempt === 0 ? undefined : await find(entry, file);
    if (other !== undefined) return other;
    const old = `${work}.${attempt}`;
    try {
      await rename(entry, old).catch(unless('ENOENT'));
      await rename(work, entry);
    } catch (error) {
      if (attempt === PLACE_ATTEMPTS) throw error;
      unless('EEXIST', 'ENOTEMPTY')(error);
      continue;
    } finally {
      await rm(old, { recursive: true, force: true }).catch(() => {});
    }
  }
}

/** Passes over errors of these codes. */
const unless =
  (...codes: readonly string[]) =>
  (error: unknown): void => {
    if (!codes.includes(errorCode(error) ?? '')) throw error;
  };

const sha256 = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex');
