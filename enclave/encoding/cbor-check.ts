/**
 * The subset check that stands before the decoder. It walks the bytes once, allocates nothing that the bytes do not
 * pay for, and refuses what is not well formed (truncated, trailing, reserved: reported first, whatever else is wrong)
 * and what a general decoder would accept, repair or merge:
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

/** Throws `Failure<CborCode>`, or returns whether an integer of 8 bytes occurs. */
export function checkCbor(bytes: Uint8Array, limits: CborLimits): { readonly wideIntegers: boolean } {
  const { maxBytes, maxDepth = 8, maxItems = 4096, floats = false, foreign = false } = limits;
  if (bytes.length > maxBytes) {
    throw at('cbor/too-large', maxBytes, `${bytes.length} bytes are more than the limit of ${maxBytes}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let items = 0;
  let wideIntegers = false;
  let outside: Failure<CborCode> | undefined;

  /** Well formed, but outside of the subset: told once it is known that the rest is well formed too. */
  const note = (code: CborCode, position: number, what: string): void => {
    outside ??= at(code, position, what);
  };

  const need = (position: number, count: number): void => {
    if (count > bytes.length - position) throw at('cbor/truncated', bytes.length, 'the data ends inside an item');
  };

  const count = (position: number): void => {
    items += 1;
    if (items > maxItems) throw at('cbor/too-many-items', position, `more than ${maxItems} items`);
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
    if (major <= TAG && argument < (width === 1 ? 24 : 2 ** (4 * width)) && !foreign) {
      note('cbor/not-shortest', position, 'an integer or length in more bytes than it needs');
    }
    if (major <= NINT && width === 8) wideIntegers = true;
    return { major, info, argument, next: next + width };
  };

  const isAscii = (start: number, end: number): boolean => {
    for (let position = start; position < end; position++) if (view.getUint8(position) >= 0x80) return false;
    return true;
  };

  const text = (start: number, end: number): string | undefined => {
    // Short names in plain letters are most of what there is, and a decoder call is most of what they cost.
    if (end - start <= 64 && isAscii(start, end)) return String.fromCharCode(...bytes.subarray(start, end));
    try {
      const decoded = UTF8.decode(bytes.subarray(start, end));
      if (!decoded.startsWith('\uFEFF')) return decoded;
      note('cbor/text', start, 'a text that starts with a byte order mark');
    } catch {
      note('cbor/text', start, 'a text that is not UTF-8');
    }
    return undefined;
  };

  const atBreak = (position: number): boolean => {
    need(position, 1);
    return bytes[position] === BREAK;
  };

  /** Chunks of a string of indefinite length: never accepted, but walked to see whether the data is whole. */
  const chunks = (start: number, major: number): number => {
    note('cbor/indefinite-length', start - 1, 'a string of indefinite length');
    let end = start;
    while (!atBreak(end)) {
      const chunk = head(end);
      if (chunk.major !== major || chunk.argument === undefined) throw at('cbor/reserved', end, 'not a chunk');
      need(chunk.next, chunk.argument);
      end = chunk.next + chunk.argument;
    }
    return end + 1;
  };

  const key = (position: number, depth: number, seen: Set<string | number>): number => {
    const { major, argument, next } = head(position);
    let end: number;
    let value: string | number | undefined;
    if (major === TSTR && argument !== undefined) {
      count(position);
      need(next, argument);
      end = next + argument;
      value = text(next, end);
    } else {
      end = item(position, depth);
      if (major <= NINT && argument !== undefined && argument < Number.MAX_SAFE_INTEGER) {
        value = major === UINT ? argument : -1 - argument;
      } else {
        note('cbor/key-type', position, 'a map key that is neither text nor a plain integer');
      }
    }
    if (value === undefined) return end;
    if (seen.has(value)) note('cbor/duplicate-key', position, `the key ${JSON.stringify(value)} stands twice`);
    seen.add(value);
    return end;
  };

  const container = (position: number, { major, argument, next }: Head, depth: number): number => {
    if (depth >= maxDepth) throw at('cbor/too-deep', position, `nested deeper than ${maxDepth}`);
    if (argument === undefined && !foreign) note('cbor/indefinite-length', position, 'an indefinite length');
    // Each entry takes at least a byte: a count that the remaining bytes cannot pay for fails before the loop.
    if (argument !== undefined) need(next, major === MAP ? 2 * argument : argument);
    const seen = new Set<string | number>();
    let end = next;
    for (let entry = 0; argument === undefined ? !atBreak(end) : entry < argument; entry++) {
      if (major === MAP) end = key(end, depth + 1, seen);
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
        if (argument === undefined) return chunks(next, major);
        need(next, argument);
        if (major === TSTR) text(next, next + argument);
        return next + argument;
      case ARRAY:
      case MAP:
        return container(position, found, depth);
      case TAG:
        if (argument === undefined) throw at('cbor/reserved', position, 'a tag without a number');
        if (depth >= maxDepth) throw at('cbor/too-deep', position, `nested deeper than ${maxDepth}`);
        note('cbor/tag', position, 'a tag');
        return item(next, depth + 1);
      default:
        simple(position, info);
        return next;
    }
  };

  const simple = (position: number, info: number): void => {
    if (info === INDEFINITE) throw at('cbor/reserved', position, 'a break where none may stand');
    if (info >= 25 && info <= 27) {
      if (!floats) note('cbor/float', position, 'a floating-point number');
    } else if (info < 20 || info > 22) {
      note('cbor/simple-value', position, 'a simple value other than false, true and null');
    }
  };

  const end = item(0, 0);
  if (end !== bytes.length) {
    throw at('cbor/trailing-bytes', end, `${bytes.length - end} bytes follow the end of the data`);
  }
  if (outside !== undefined) throw outside;
  return { wideIntegers };
}

function at(code: CborCode, offset: number, what: string): Failure<CborCode> {
  return new Failure('malformed', code, `CBOR, offset ${offset}: ${what}`, { where: `offset ${offset}` });
}
