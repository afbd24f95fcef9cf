/**
 * The subset check that stands before the decoder. It walks the bytes once, allocates nothing that the bytes do not
 * pay for, and refuses what a general decoder would accept, repair or merge:
 *
 *     item   = uint / nint / bstr / tstr / array / map / false / true / null  [/ float, by option]
 *     map    = { * (tstr / int) => item }       no key twice, compared by value
 *     tstr   = well-formed UTF-8 that does not start with U+FEFF (decoders disagree on whether that is text)
 *     head   = shortest form (RFC 8949, 4.2.1); definite lengths      [otherwise by the option `foreign`]
 *     never  = tags, undefined, other simple values, chunked strings, bytes after the item
 */
import { Failure } from '../../policies/failure.ts';
import type { CborCode, CborLimits } from './cbor-value.ts';

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const UINT = 0;
const NINT = 1;
const BSTR = 2;
const TSTR = 3;
const ARRAY = 4;
const MAP = 5;
const TAG = 6;
const INDEFINITE = 31;
const BREAK = 0xff;

interface Head {
  readonly major: number;
  /** Argument; `undefined` for indefinite length. Above 2^53 it is inexact, which matters to no check below. */
  readonly argument: number | undefined;
  readonly info: number;
  readonly next: number;
}

/** Throws `Failure<CborCode>` at the first byte outside of the subset. Returns whether an integer of 8 bytes occurs. */
export function checkCbor(bytes: Uint8Array, limits: CborLimits): { readonly wideIntegers: boolean } {
  const { maxBytes, maxDepth = 8, maxItems = 4096, floats = false, foreign = false } = limits;
  if (bytes.length > maxBytes) {
    throw at('cbor/too-large', maxBytes, `${bytes.length} bytes are more than the limit of ${maxBytes}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let items = 0;
  let wideIntegers = false;

  const need = (position: number, count: number): void => {
    if (count > bytes.length - position) throw at('cbor/truncated', bytes.length, 'the data ends inside an item');
  };

  const head = (position: number): Head => {
    need(position, 1);
    const first = view.getUint8(position);
    const major = first >> 5;
    const info = first & 31;
    const next = position + 1;
    if (info < 24) return { major, info, argument: info, next };
    if (info === INDEFINITE) return { major, info, argument: undefined, next };
    if (info > 27) throw at('cbor/reserved', position, 'a reserved length form');
    const width = 1 << (info - 24);
    need(next, width);
    const argument =
      width === 1
        ? view.getUint8(next)
        : width === 2
          ? view.getUint16(next)
          : width === 4
            ? view.getUint32(next)
            : view.getUint32(next) * 2 ** 32 + view.getUint32(next + 4);
    const least = width === 1 ? 24 : 2 ** (4 * width);
    if (major <= TAG && argument < least && !foreign) {
      throw at('cbor/not-shortest', position, 'an integer or length in more bytes than it needs');
    }
    if (major <= NINT && width === 8) wideIntegers = true;
    return { major, info, argument, next: next + width };
  };

  const text = (position: number, end: number): string => {
    let decoded: string;
    try {
      decoded = UTF8.decode(bytes.subarray(position, end));
    } catch {
      throw at('cbor/text', position, 'a text that is not UTF-8');
    }
    if (decoded.startsWith('\uFEFF')) throw at('cbor/text', position, 'a text that starts with a byte order mark');
    return decoded;
  };

  const count = (position: number): void => {
    items += 1;
    if (items > maxItems) throw at('cbor/too-many-items', position, `more than ${maxItems} items`);
  };

  const isBreak = (position: number): boolean => {
    need(position, 1);
    return bytes[position] === BREAK;
  };

  const key = (position: number, seen: Set<string | number>): number => {
    count(position);
    const { major, argument, next } = head(position);
    let value: string | number;
    let end = next;
    if (argument !== undefined && major === TSTR) {
      need(next, argument);
      end = next + argument;
      value = text(next, end);
    } else if (argument !== undefined && major <= NINT && argument < Number.MAX_SAFE_INTEGER) {
      value = major === UINT ? argument : -1 - argument;
    } else {
      throw at('cbor/key-type', position, 'a map key that is neither text nor a plain integer');
    }
    if (seen.has(value)) throw at('cbor/duplicate-key', position, `the key ${JSON.stringify(value)} stands twice`);
    seen.add(value);
    return end;
  };

  const container = (position: number, { major, argument, next }: Head, depth: number): number => {
    if (depth >= maxDepth) throw at('cbor/too-deep', position, `nested deeper than ${maxDepth}`);
    if (argument === undefined && !foreign) throw at('cbor/indefinite-length', position, 'an indefinite length');
    // Each entry takes at least a byte: a count that the remaining bytes cannot pay for fails before the loop.
    if (argument !== undefined) need(next, major === MAP ? 2 * argument : argument);
    const seen = new Set<string | number>();
    let end = next;
    for (let entry = 0; argument === undefined ? !isBreak(end) : entry < argument; entry++) {
      if (major === MAP) end = key(end, seen);
      end = item(end, depth + 1);
    }
    return argument === undefined ? end + 1 : end;
  };

  const item = (position: number, depth: number): number => {
    count(position);
    const found = head(position);
    const { major, argument, info, next } = found;
    switch (major) {
      case UINT:
      case NINT:
        if (argument === undefined) throw at('cbor/reserved', position, 'an integer without a length');
        return next;
      case BSTR:
      case TSTR:
        if (argument === undefined) throw at('cbor/indefinite-length', position, 'a string of indefinite length');
        need(next, argument);
        if (major === TSTR) text(next, next + argument);
        return next + argument;
      case ARRAY:
      case MAP:
        return container(position, found, depth);
      case TAG:
        throw at('cbor/tag', position, 'a tag');
      default:
        if (info >= 20 && info <= 22) return next;
        if (info >= 25 && info <= 27) {
          if (!floats) throw at('cbor/float', position, 'a floating-point number');
          return next;
        }
        if (info === INDEFINITE) throw at('cbor/reserved', position, 'a break where none may stand');
        throw at('cbor/simple-value', position, 'a simple value other than false, true and null');
    }
  };

  const end = item(0, 0);
  if (end !== bytes.length) {
    throw at('cbor/trailing-bytes', end, `${bytes.length - end} bytes follow the end of the data`);
  }
  return { wideIntegers };
}

function at(code: CborCode, offset: number, what: string): Failure<CborCode> {
  return new Failure('malformed', code, `CBOR, offset ${offset}: ${what}`, { where: `offset ${offset}` });
}
