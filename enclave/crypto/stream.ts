/**
 * STREAM (Hoang, Reyhanitabar, Rogaway, Vizár 2015) over AES-256-GCM: files of any size in constant memory, where no
 * chunk can be swapped, dropped, repeated or appended unnoticed.
 *
 *     struct {
 *       opaque sealed[0..65536 + 16];   // 64 KiB of plaintext and a tag; only the last may be shorter,
 *     } Chunk;                          // and it is empty only in an empty file
 *     Chunk stream[1..2^32];
 *
 *     nonce of chunk i = prefix[7] || uint32(i) || uint8(1 if it is the last, else 0)
 *
 * The prefix must be fresh for each file under one key. Additional data is the same for every chunk: it binds the file
 * to its header.
 */
import { Failure } from '../../policies/failure.ts';
import { AEAD, open, seal } from './aead.ts';
import type { AeadKey } from './aead.ts';
import { concat } from '../encoding/bytes.ts';

export type StreamCode = 'stream/unauthentic' | 'stream/too-long';

export const STREAM = { prefixBytes: 7, chunkBytes: 65_536, maxChunks: 4_294_967_296 } as const;

export interface StreamKey {
  readonly key: AeadKey;
  /** 7 bytes, fresh for each stream under this key. */
  readonly prefix: Uint8Array;
  readonly additionalData: Uint8Array;
}

/** Bytes of ciphertext for so many bytes of plaintext. */
export function sealedStreamBytes(plaintextBytes: number): number {
  return plaintextBytes + AEAD.tagBytes * Math.max(1, Math.ceil(plaintextBytes / STREAM.chunkBytes));
}

/** Yields one sealed chunk after the other; `source` may be cut as it likes. */
export async function* sealStream(
  stream: StreamKey,
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { key, prefix, additionalData } = copied(stream);
  for await (const { bytes, index, last } of recut(source, STREAM.chunkBytes)) {
    yield seal(key, streamNonce(prefix, index, last), additionalData, bytes);
  }
}

/**
 * Yields one authenticated chunk of plaintext after the other. A stream that was cut short fails only at its end: the
 * reader must not act on what it has before the generator is done. Throws `stream/unauthentic`.
 */
export async function* openStream(
  stream: StreamKey,
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { key, prefix, additionalData } = copied(stream);
  for await (const { bytes, index, last } of recut(source, STREAM.chunkBytes + AEAD.tagBytes)) {
    // One plaintext has one ciphertext: an empty last chunk is allowed in an empty file alone.
    if (bytes.length < AEAD.tagBytes || (bytes.length === AEAD.tagBytes && index > 0)) throw unauthentic(index);
    yield await openChunk(key, streamNonce(prefix, index, last), additionalData, bytes, index);
  }
}

async function openChunk(
  key: AeadKey,
  nonce: Uint8Array,
  additionalData: Uint8Array,
  bytes: Uint8Array,
  index: number,
): Promise<Uint8Array> {
  try {
    return await open(key, nonce, additionalData, bytes);
  } catch {
    throw unauthentic(index);
  }
}

function unauthentic(index: number): Failure<StreamCode> {
  return new Failure('refused', 'stream/unauthentic', `chunk ${index} is not authentic: changed, moved or cut`, {
    where: `chunk ${index}`,
    hint: 'take the file from its source again; if it was encrypted for another key or purpose, name the right one',
  });
}

interface Cut {
  readonly bytes: Uint8Array;
  readonly index: number;
  readonly last: boolean;
}

/** Cuts a source into pieces of exactly `size` bytes and one last piece of 0 to `size`. Holds one piece at a time. */
async function* recut(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  size: number,
): AsyncGenerator<Cut, void, undefined> {
  let held = new Uint8Array(size);
  let filled = 0;
  let index = 0;
  for await (const part of source) {
    for (let at = 0; at < part.length;) {
      // A full piece is handed on only when more follows: till then it may be the last.
      if (filled === size) {
        yield { bytes: held, index, last: false };
        if (++index >= STREAM.maxChunks) {
          throw new Failure<StreamCode>('malformed', 'stream/too-long', 'the file has more than 2^32 chunks of 64 KiB');
        }
        held = new Uint8Array(size);
        filled = 0;
      }
      const taken = part.subarray(at, at + size - filled);
      held.set(taken, filled);
      filled += taken.length;
      at += taken.length;
    }
  }
  yield { bytes: held.subarray(0, filled), index, last: true };
}

/** 7 bytes of prefix, the chunk's number, and whether it is the last. */
export function streamNonce(prefix: Uint8Array, index: number, last: boolean): Uint8Array {
  const nonce = new Uint8Array(AEAD.nonceBytes);
  nonce.set(prefix, 0);
  new DataView(nonce.buffer).setUint32(STREAM.prefixBytes, index);
  nonce[AEAD.nonceBytes - 1] = last ? 1 : 0;
  return nonce;
}

function copied({ key, prefix, additionalData }: StreamKey): StreamKey {
  if (prefix.length !== STREAM.prefixBytes) throw new RangeError(`a stream prefix has 7 bytes, not ${prefix.length}`);
  return { key, prefix: concat(prefix), additionalData: concat(additionalData) };
}
