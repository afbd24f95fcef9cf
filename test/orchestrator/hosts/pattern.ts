/** Bytes that depend on their position, sent and received at the same time, and compared by their digest. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';

const WRITE_BYTES = 48 * 1024;

/** Any `length` bytes from position `from` on. No two positions within 16 MiB look alike. */
export function patternAt(from: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at++) {
    const position = from + at;
    bytes[at] = (position ^ (position >> 8) ^ (position >> 16) ^ (position * 31)) & 0xff;
  }
  return bytes;
}

/** The digest of `bytes` bytes of the pattern. */
export function patternSha256(bytes: number): string {
  return createHash('sha256').update(patternAt(0, bytes)).digest('hex');
}

/** Writes the pattern in pieces of 48 KiB while reading as many bytes; the SHA-256 of what came. */
export async function exchangePattern(stream: Duplex, bytes: number): Promise<string> {
  const write = async (): Promise<void> => {
    for (let at = 0; at < bytes; at += WRITE_BYTES) {
      if (!stream.write(patternAt(at, Math.min(WRITE_BYTES, bytes - at)))) await once(stream, 'drain');
    }
  };
  const read = async (): Promise<string> => {
    const hash = createHash('sha256');
    let got = 0;
    while (got < bytes) {
      const piece: unknown = stream.read(Math.min(bytes - got, Math.max(stream.readableLength, 1)));
      if (piece instanceof Uint8Array) {
        hash.update(piece);
        got += piece.length;
      } else if (stream.readableEnded || stream.destroyed) {
        throw new Error(`the stream ended after ${got} of ${bytes} bytes`);
      } else {
        await change(stream);
      }
    }
    return hash.digest('hex');
  };
  const [, sha256] = await Promise.all([write(), read()]);
  return sha256;
}

/** Resolves at the next event that a reader cares for, and leaves no listener behind. */
function change(stream: Duplex): Promise<void> {
  const events = ['readable', 'end', 'close', 'error'] as const;
  return new Promise((resolve) => {
    const done = (): void => {
      for (const event of events) stream.off(event, done);
      resolve();
    };
    for (const event of events) stream.on(event, done);
  });
}
