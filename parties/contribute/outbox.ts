/**
 * Envelopes on their way: written to the home's outbox first, so that length and digest are known before the first byte
 * is sent, and what is stored can be compared with what was meant. Nothing in it is readable without KMS.
 */
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileFailure } from '../files.ts';
import type { Home } from '../home.ts';
import { makePrivateFolder } from '../private-files.ts';

export interface Outgoing {
  readonly bytes: number;
  /** 32 bytes: of the whole envelope. */
  readonly sha256: Uint8Array;
  content(): AsyncIterable<Uint8Array>;
  /** Removes the file. */
  discard(): Promise<void>;
}

/** Writes the envelope to the end. What fails leaves no file behind. */
export async function spool(
  home: Pick<Home, 'path'>,
  envelope: AsyncIterable<Uint8Array>,
  onProgress: (done: number) => void,
): Promise<Outgoing> {
  const folder = join(home.path, 'outbox');
  await makePrivateFolder(folder);
  const path = join(folder, `${randomUUID()}.enc`);
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    const file = await open(path, 'wx', 0o600);
    try {
      for await (const piece of envelope) {
        hash.update(piece);
        await file.writeFile(piece);
        onProgress((bytes += piece.length));
      }
    } finally {
      await file.close();
    }
  } catch (cause) {
    await rm(path, { force: true });
    throw fileFailure(cause, path, 'written');
  }
  return {
    bytes,
    sha256: new Uint8Array(hash.digest()),
    content: () => createReadStream(path, { highWaterMark: 262_144 }),
    discard: () => rm(path, { force: true }),
  };
}
