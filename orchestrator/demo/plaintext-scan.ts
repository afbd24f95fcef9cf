/**
 * Looks for what nobody but its owner may have in what somebody else has. A secret is looked for by pieces taken from all
 * over it, as bytes and in the usual texts for bytes, so that a part of it is found too, and one that was encoded.
 */
import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';

export interface Secret {
  readonly name: string;
  readonly bytes: Uint8Array;
}

export interface Found {
  readonly secret: string;
  /** `bytes`, `hex` or `base64`. */
  readonly form: string;
  /** The file, or the name that the scanned bytes were given. */
  readonly where: string;
}

interface Needle {
  readonly secret: string;
  readonly form: string;
  readonly piece: Buffer;
}

const PIECES = 8;
const PIECE_BYTES = 24;
const CHUNK_BYTES = 8 * 1024 * 1024;

export interface Scanner {
  readonly needles: number;
  bytes(content: Uint8Array, where: string): readonly Found[];
  /** All files below `folder` but those in folders named `except`, and how many bytes they had. */
  folder(
    folder: string,
    except?: readonly string[],
  ): Promise<{ readonly found: readonly Found[]; readonly files: number; readonly bytes: number }>;
}

export function createScanner(secrets: readonly Secret[]): Scanner {
  const needles = secrets.flatMap(needlesOf);
  const longest = Math.max(...needles.map(({ piece }) => piece.length));
  const bytes: Scanner['bytes'] = (content, where) => {
    const haystack = Buffer.from(content.buffer, content.byteOffset, content.byteLength);
    return needles.filter(({ piece }) => haystack.includes(piece)).map(({ secret, form }) => ({ secret, form, where }));
  };
  return {
    needles: needles.length,
    bytes,
    async folder(folder, except = []) {
      const found: Found[] = [];
      let files = 0;
      let total = 0;
      for await (const path of filesBelow(folder, except)) {
        files += 1;
        let tail = Buffer.alloc(0);
        const source: AsyncIterable<Buffer> = createReadStream(path, { highWaterMark: CHUNK_BYTES });
        for await (const chunk of source) {
          total += chunk.length;
          const content = Buffer.concat([tail, chunk]);
          found.push(...bytes(content, relative(folder, path)));
          tail = content.subarray(Math.max(0, content.length - longest + 1));
        }
      }
      return { found, files, bytes: total };
    },
  };
}

/** Short secrets, such as labels, are looked for whole. */
function needlesOf({ name, bytes }: Secret): readonly Needle[] {
  const whole = Buffer.from(bytes);
  const last = Math.max(0, whole.length - PIECE_BYTES);
  const starts = new Set(Array.from({ length: PIECES }, (_, index) => Math.floor((last * index) / (PIECES - 1))));
  return [...starts].flatMap((start) => {
    const piece = whole.subarray(start, start + PIECE_BYTES);
    return [
      { secret: name, form: 'bytes', piece },
      { secret: name, form: 'hex', piece: Buffer.from(piece.toString('hex')) },
      ...[0, 1, 2].map((shift) => ({ secret: name, form: 'base64', piece: innerBase64(piece.subarray(shift)) })),
    ];
  });
}

/** The part of the Base64 of `piece` that does not depend on what stands behind it, where it begins a group of three. */
function innerBase64(piece: Buffer): Buffer {
  return Buffer.from(piece.subarray(0, piece.length - (piece.length % 3)).toString('base64'));
}

async function* filesBelow(folder: string, except: readonly string[]): AsyncGenerator<string> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && !except.includes(entry.name)) yield* filesBelow(path, except);
    else if (entry.isFile()) yield path;
  }
}
