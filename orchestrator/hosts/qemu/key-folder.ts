/**
 * What QEMU's security module signs with, renewed before it expires:
 *
 *     FOLDER/nsm -> nsm.<n>      swapped in one step; the module opens it once for each document
 *     FOLDER/nsm.<n>/            leaf.key, leaf.der, ca-0.der (root) … ca-3.der
 */
import { rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { AttestationIssuer } from '../../local/attestation-issuer.ts';

export const KEY_FOLDER = 'nsm';

const LOOK_MS = 60_000;

export interface KeyFolder {
  /** Ends the renewal; the folder is the caller's to remove. */
  close(): void;
}

export interface KeyFolderOptions {
  readonly folder: string;
  readonly moduleId: string;
  readonly issuer: Pick<AttestationIssuer, 'writeKeyFolder'>;
  /** Milliseconds since 1970. Default: the system's clock. */
  readonly now?: () => number;
  /** How often it is looked whether the time for renewal has come. */
  readonly lookMs?: number;
  /** Told when a renewal failed; it is tried again. */
  readonly onFault: (error: unknown) => void;
}

/** Resolves when the first set is in place. */
export async function keepKeyFolder(options: KeyFolderOptions): Promise<KeyFolder> {
  const { folder, moduleId, issuer, onFault, now = Date.now } = options;
  let generation = 0;
  const write = async (): Promise<number> => {
    const name = `${KEY_FOLDER}.${generation}`;
    const until = await issuer.writeKeyFolder(join(folder, name), moduleId);
    const link = join(folder, `${KEY_FOLDER}.next`);
    await rm(link, { force: true });
    await symlink(name, link);
    await rename(link, join(folder, KEY_FOLDER));
    // The set before may be open still; the one before that is not.
    await rm(join(folder, `${KEY_FOLDER}.${generation - 2}`), { recursive: true, force: true });
    generation++;
    return until;
  };
  let renewAt = await write();
  let isWriting = false;
  const timer = setInterval(() => {
    if (isWriting || now() < renewAt) return;
    isWriting = true;
    write()
      .then((until) => (renewAt = until), onFault)
      .finally(() => (isWriting = false));
  }, options.lookMs ?? LOOK_MS);
  timer.unref();
  return { close: () => clearInterval(timer) };
}
