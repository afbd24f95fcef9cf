/** Where two contents begin to differ. */
import type { ByteSource } from '../byte-source.ts';

export interface Range {
  readonly source: ByteSource;
  readonly at: number;
  readonly bytes: number;
}

const PIECE_BYTES = 1024 * 1024;

/** From the start of both; undefined where they are equal, the shorter length where one goes on after the other. */
export async function firstDifference(a: Range, b: Range): Promise<number | undefined> {
  const common = Math.min(a.bytes, b.bytes);
  for (let done = 0; done < common; done += PIECE_BYTES) {
    const length = Math.min(PIECE_BYTES, common - done);
    const [left, right] = await Promise.all([piece(a, done, length), piece(b, done, length)]);
    if (Buffer.compare(left, right) === 0) continue;
    return done + left.findIndex((byte, i) => byte !== right[i]);
  }
  return a.bytes === b.bytes ? undefined : common;
}

async function piece({ source, at }: Range, done: number, length: number): Promise<Uint8Array> {
  const into = new Uint8Array(length);
  return into.subarray(0, await source.read(at + done, into));
}

const WHOLE_BYTES = 400;
const EXCERPT_BEFORE = 40;
const EXCERPT_BYTES = 120;

/** A short text, or some of a longer one around a byte; on one line, for people. */
export async function excerpt({ source, at, bytes }: Range, offset: number): Promise<string> {
  const isWhole = bytes <= WHOLE_BYTES;
  const from = isWhole ? 0 : Math.max(0, Math.min(offset, bytes) - EXCERPT_BEFORE);
  const length = isWhole ? bytes : Math.min(EXCERPT_BYTES, bytes - from);
  const found = await piece({ source, at, bytes }, from, length);
  const text = new TextDecoder().decode(found).replaceAll('\n', ' ⏎ ');
  return `${from > 0 ? '…' : ''}${text}${from + found.length < bytes ? '…' : ''}`;
}
