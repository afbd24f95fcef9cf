/**
 * The entries of a tar archive as it streams by: tar-stream's reader, with a bound on what an archive can make it hold in
 * memory, and with the reason why it broke off told once.
 */
import { pipeline } from 'node:stream/promises';
import { extract } from 'tar-stream';
import type { Entry } from 'tar-stream';
import { Failure } from '../../policies/failure.ts';

export type TarType = 'file' | 'directory' | 'symlink' | 'link' | 'device' | 'other';

export interface TarEntry {
  readonly name: string;
  /** `device`: also pipes. `other`: what is none of these, and has no use in an image. */
  readonly type: TarType;
  readonly mode: number;
  readonly bytes: number;
  /** '' where there is none. */
  readonly linkName: string;
  /** Names of the extended header's records. */
  readonly attributes: readonly string[];
  /** Once, or not at all: what is not read is skipped. A piece is the caller's until it asks for the next. */
  content(): AsyncGenerator<Uint8Array>;
}

const TYPES: Readonly<Record<string, TarType>> = {
  file: 'file',
  directory: 'directory',
  symlink: 'symlink',
  link: 'link',
  'character-device': 'device',
  'block-device': 'device',
  fifo: 'device',
};

/** Long names and extended headers are held whole, and the zeros at the end are waited out: no more than this of either. */
const MAX_HELD_BYTES = 1024 * 1024;
const CHUNK_BYTES = 64 * 1024;

/** What is wrong with an archive, as the caller tells it. */
export type TarFault = (what: 'damaged' | 'too-large', why: string) => Failure;

/** Throws what `fault` makes of an archive that is wrong; the archive's own errors pass through. */
export async function* tarEntries(archive: AsyncIterable<Uint8Array>, fault: TarFault): AsyncGenerator<TarEntry> {
  const reader = extract();
  let held = 0;
  const bounded = async function* (pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of pieces) {
      for (let at = 0; at < piece.length; at += CHUNK_BYTES) {
        if (held > MAX_HELD_BYTES) {
          throw fault('too-large', `a header, or what follows the end, is more than ${MAX_HELD_BYTES} bytes`);
        }
        const part = piece.subarray(at, at + CHUNK_BYTES);
        held += part.length;
        yield part;
      }
    }
  };
  const fed: Promise<unknown> = pipeline(archive, bounded, reader).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  /** The reader knows that its source broke off; the source knows why. */
  const reasonOf = async (error: unknown): Promise<unknown> => {
    const why = (await fed) ?? error;
    if (why instanceof Failure || isOfTheSystem(why)) return why;
    return fault('damaged', why instanceof Error ? why.message : String(why));
  };
  const entries = reader[Symbol.asyncIterator]();
  const next = async (): Promise<Entry | undefined> => {
    try {
      const { value, done } = await entries.next();
      return done === true ? undefined : value;
    } catch (error) {
      throw await reasonOf(error);
    }
  };
  try {
    for (let entry = await next(); entry !== undefined; entry = await next()) {
      held = 0;
      const current = entry;
      const { name, type, mode = 0, size = 0, linkname } = current.header;
      // For a size in base 256 that is none, the reader says null, and then waits for an end that never comes.
      if (!Number.isSafeInteger(size) || size < 0) throw fault('damaged', `the size of "${name}" is no number`);
      yield {
        name,
        type: TYPES[type ?? ''] ?? 'other',
        mode,
        bytes: size,
        linkName: linkname ?? '',
        attributes: paxNames(current.header),
        async *content() {
          try {
            for await (const piece of current) {
              held = 0;
              yield piece;
            }
          } catch (error) {
            throw await reasonOf(error);
          }
        },
      };
      held = 0;
      current.resume(); // what nobody asked for
    }
    const why = await fed;
    if (why !== undefined) throw await reasonOf(why);
  } finally {
    reader.destroy();
  }
}

/** Not part of the typed interface: the records of a pax header, where the entry has one. */
function paxNames(header: object): readonly string[] {
  const pax: unknown = 'pax' in header ? header.pax : undefined;
  return typeof pax === 'object' && pax !== null ? Object.keys(pax) : [];
}

function isOfTheSystem(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error;
}
