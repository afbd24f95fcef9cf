/**
 * The part of BER (X.690) that KMS writes its envelopes in, read into a tree. DER would be simpler, but KMS wraps with
 * indefinite lengths.
 *
 *     element    = identifier length content
 *     identifier   one byte; high tag numbers (low five bits all ones) are refused
 *     length       short form, or long form in its shortest writing with at most 3 bytes (16 MiB), or 0x80 (indefinite),
 *                  which only a constructed element may have and which ends at 00 00
 *
 * Limits: depth 12, 64 elements; trailing bytes are refused.
 */
import { Failure } from '../../policies/failure.ts';

export type BerCode = 'kms/ber-malformed';

export type BerNode =
  | { readonly tag: number; readonly offset: number; readonly children: readonly BerNode[] }
  | { readonly tag: number; readonly offset: number; readonly value: Uint8Array };

const MAX_DEPTH = 12;
const MAX_ELEMENTS = 64;
const CONSTRUCTED = 0x20;
const INDEFINITE = -1;

function malformed(offset: number, what: string): Failure<BerCode> {
  return new Failure('malformed', 'kms/ber-malformed', `not BER as KMS writes it: ${what}`, {
    where: `byte ${offset}`,
  });
}

/** Reads exactly one element that fills `bytes`. */
export function parseBer(bytes: Uint8Array): BerNode {
  let position = 0;
  let elements = 0;

  const byteAt = (offset: number): number => {
    const byte = bytes[offset];
    if (byte === undefined) throw malformed(offset, 'the bytes end early');
    return byte;
  };

  const readLength = (): number => {
    const start = position;
    const first = byteAt(position++);
    if (first < 0x80) return first;
    if (first === 0x80) return INDEFINITE;
    const count = first & 0x7f;
    if (count > 3) throw malformed(start, 'a length of more than three bytes');
    let length = 0;
    for (let index = 0; index < count; index += 1) length = length * 256 + byteAt(position++);
    const shortest = length < 0x80 ? 0 : length < 0x100 ? 1 : length < 0x1_0000 ? 2 : 3;
    if (count !== shortest) throw malformed(start, 'a length that is not in its shortest form');
    return length;
  };

  const readElement = (end: number, depth: number): BerNode => {
    const offset = position;
    elements += 1;
    if (depth > MAX_DEPTH) throw malformed(offset, `nested deeper than ${MAX_DEPTH}`);
    if (elements > MAX_ELEMENTS) throw malformed(offset, `more than ${MAX_ELEMENTS} elements`);
    const tag = byteAt(position++);
    if ((tag & 0x1f) === 0x1f || tag === 0) throw malformed(offset, `tag 0x${tag.toString(16)}`);
    const constructed = (tag & CONSTRUCTED) !== 0;
    const length = readLength();
    if (length === INDEFINITE) {
      if (!constructed) throw malformed(offset, 'an indefinite length on a primitive element');
      return { tag, offset, children: readUntilEndOfContents(end, depth) };
    }
    const contentEnd = position + length;
    if (contentEnd > end) throw malformed(offset, 'an element that reaches beyond its surroundings');
    if (constructed) return { tag, offset, children: readUntil(contentEnd, depth) };
    const value = bytes.slice(position, contentEnd);
    position = contentEnd;
    return { tag, offset, value };
  };

  const readUntil = (end: number, depth: number): BerNode[] => {
    const children: BerNode[] = [];
    for (;;) {
      if (position === end) return children;
      children.push(readElement(end, depth + 1));
    }
  };

  const readUntilEndOfContents = (end: number, depth: number): BerNode[] => {
    const children: BerNode[] = [];
    for (;;) {
      if (position + 2 > end) throw malformed(position, 'an indefinite length that never ends');
      if (byteAt(position) === 0 && byteAt(position + 1) === 0) {
        position += 2;
        return children;
      }
      children.push(readElement(end, depth + 1));
    }
  };

  const root = readElement(bytes.length, 0);
  if (position !== bytes.length) throw malformed(position, 'bytes after the end');
  return root;
}
