/**
 * An anchor in a folder, for trials on one machine: whoever runs that machine can change what stands there, and every
 * report says so.
 *
 *     FOLDER/<name>/<k>            one entry
 *     FOLDER/.incoming/<random>    an entry on its way
 *
 * An entry is written elsewhere, flushed, and linked into place: its name appears with all of its bytes or not at all, and
 * a link never replaces what is there. Folders are flushed too, so that what was answered is there after a power cut.
 */
import type * as fs from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Failure } from '../../policies/failure.ts';
import type { RandomSource } from '../crypto/random.ts';
import { toHex } from '../encoding/hex.ts';
import type { Anchor, AnchorCode } from './anchor.ts';
import { ENTRY_BYTES, demandPlace } from './entry.ts';

/** What a folder is asked for: functions of `node:fs/promises`. */
export type FolderFiles = Pick<typeof fs, 'link' | 'mkdir' | 'open' | 'unlink'>;

export interface FolderAnchorOptions {
  readonly owner: string;
  /** Absolute path of a folder that exists. */
  readonly folder: string;
  readonly files: FolderFiles;
  readonly random: RandomSource;
}

const INCOMING = '.incoming';

export function createFolderAnchor({ owner, folder, files, random }: FolderAnchorOptions): Anchor {
  const flushed = new Set<string>();

  const pathOf = (name: string, k: number): string => {
    demandPlace({ name, k });
    const steps = name.split('/');
    if (steps.some((step) => step === '' || step.startsWith('.'))) throw new RangeError('a name that is no path');
    return join(folder, ...steps, String(k));
  };

  const flush = async (path: string): Promise<void> => {
    const handle = await files.open(path, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  };

  /** Makes a folder below the anchor's, which must be there itself. */
  const makeFolder = async (path: string): Promise<void> => {
    if (flushed.has(path)) return;
    if (path === folder) return flush(path);
    await makeFolder(dirname(path));
    await files.mkdir(path, { mode: 0o700 }).catch(unless('EEXIST'));
    await flush(dirname(path));
    flushed.add(path);
  };

  const write = async (path: string, entry: Uint8Array): Promise<void> => {
    const handle = await files.open(path, 'wx', 0o600);
    try {
      await handle.writeFile(entry);
      await handle.sync();
    } finally {
      await handle.close();
    }
  };

  const read = async (path: string): Promise<Uint8Array | undefined> => {
    const handle = await files.open(path, 'r').catch(unless('ENOENT'));
    if (handle === undefined) return undefined;
    try {
      // One byte more than an entry has, to tell it from what is longer.
      const { bytesRead, buffer } = await handle.read(new Uint8Array(ENTRY_BYTES + 1), 0, ENTRY_BYTES + 1, 0);
      if (bytesRead !== ENTRY_BYTES) throw tampered(owner, path, `has ${bytesRead} bytes or more and is no entry`);
      return buffer.slice(0, ENTRY_BYTES);
    } finally {
      await handle.close();
    }
  };

  /** True where it stands there now, false where something else did before. */
  const place = async (path: string, entry: Uint8Array): Promise<boolean> => {
    const incoming = join(folder, INCOMING, toHex(await random(16)));
    await makeFolder(dirname(incoming));
    await makeFolder(dirname(path));
    try {
      await write(incoming, entry);
      const taken = await files.link(incoming, path).then(() => false, unlessTaken);
      await flush(dirname(path));
      return !taken;
    } finally {
      // What cannot be removed is in nobody's way.
      await files.unlink(incoming).catch(() => {});
    }
  };

  const guarded = async <Result>(signal: AbortSignal, work: () => Promise<Result>): Promise<Result> => {
    signal.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      throw folderFailure(owner, folder, error);
    }
  };

  return {
    owner,
    kind: 'folder',
    reports: [],
    check: (signal) =>
      guarded(signal, async () => {
        const probe = join(folder, INCOMING, toHex(await random(16)));
        await place(probe, new Uint8Array(ENTRY_BYTES));
        await files.unlink(probe);
      }),
    claim: (name, k, entry, signal) =>
      guarded(signal, async () => {
        const path = pathOf(name, k);
        if (await place(path, entry)) return entry.slice();
        const holder = await read(path);
        if (holder === undefined) throw tampered(owner, path, 'was there and is gone');
        return holder;
      }),
    holder: (name, k, signal) =>
      guarded(signal, async () => {
        const found = await read(pathOf(name, k));
        // Of a folder that is gone, nothing that is missing may be said to be free.
        if (found === undefined) await (await files.open(folder, 'r')).close();
        return found;
      }),
  };
}

type Told = { readonly code: AnchorCode; readonly means: string };

const MEANINGS: Readonly<Record<string, Told>> = {
  ENOSPC: { code: 'anchor/full', means: 'has no space left' },
  EDQUOT: { code: 'anchor/full', means: 'has no space left' },
  ENOENT: { code: 'anchor/misconfigured', means: 'does not exist' },
  ENOTDIR: { code: 'anchor/misconfigured', means: 'is no folder' },
  ENAMETOOLONG: { code: 'anchor/misconfigured', means: 'has too long a path' },
  ENOTSUP: { code: 'anchor/misconfigured', means: 'is on a file system without links' },
  EACCES: { code: 'anchor/refused', means: 'may not be written to' },
  EPERM: { code: 'anchor/refused', means: 'may not be written to' },
  EROFS: { code: 'anchor/refused', means: 'may not be written to' },
  EISDIR: { code: 'anchor/tampered', means: 'has a folder where an entry belongs' },
  ELOOP: { code: 'anchor/tampered', means: 'has a link where an entry belongs' },
};

function folderFailure(owner: string, folder: string, error: unknown): unknown {
  if (error instanceof Failure || error instanceof RangeError) return error;
  const { code, means } = MEANINGS[codeOf(error)] ?? {
    code: 'anchor/unavailable',
    means: 'did not do what it was asked',
  };
  const kind = code === 'anchor/unavailable' || code === 'anchor/full' ? 'environment' : 'refused';
  return new Failure<AnchorCode>(kind, code, `${owner}'s anchor, the folder ${folder}, ${means}`, {
    where: owner,
    cause: error,
  });
}

function tampered(owner: string, path: string, what: string): Failure<AnchorCode> {
  return new Failure('refused', 'anchor/tampered', `${owner}'s anchor: ${path} ${what}`, { where: owner });
}

function unless(code: string): (error: unknown) => undefined {
  return (error) => {
    if (codeOf(error) !== code) throw error;
  };
}

function unlessTaken(error: unknown): true {
  if (codeOf(error) !== 'EEXIST') throw error;
  return true;
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}
