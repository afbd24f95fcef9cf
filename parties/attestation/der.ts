/**
 * DER (X.690), as much of it as certificates, keys and signatures need.
 *
 *     element = identifier (1 byte: tag numbers below 31) || length || content
 *     length  = 1 byte below 128, or 0x81..0x84 and that many bytes; always the shortest form; never indefinite
 *
 * Reading is strict and lazy: an element is checked when it is read, nothing is copied, nothing follows the end.
 */
import { Failure } from '../../policies/failure.ts';

export type DerCode =
  | 'der/truncated' // the data ends inside an element
  | 'der/trailing-bytes' // something follows where the content should end
  | 'der/length' // an indefinite, over-long or unusual length
  | 'der/tag' // another element than the one expected here
  | 'der/value'; // content that its type does not allow

/** Identifier bytes by name. Context-specific ones are made by `context`. */
export const DER = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Identifier byte of the context-specific tag [number]. */
export function context(number: number, constructed: boolean): number {
  return 0x80 | (constructed ? 0x20 : 0) | number;
}

export interface DerElement {
  readonly identifier: number;
  /** The whole element, identifier and length included. */
  readonly bytes: Uint8Array;
  readonly content: Uint8Array;
  /** Of the element, from the start of the outermost data. */
  readonly offset: number;
}

/** Reads the elements that stand one after the other in one content. */
export interface DerReader {
  /** The next element, which must be there and, if given, have this identifier. */
  next(identifier?: number): DerElement;
  /** The next element if it has this identifier, else undefined. */
  optional(identifier: number): DerElement | undefined;
  readonly atEnd: boolean;
  /** Refuses anything left over. */
  done(): void;
}

/** The one element that `bytes` hold, with nothing after it. */
export function readDer(bytes: Uint8Array, identifier?: number): DerElement {
  const reader = readerOver(bytes, 0);
  const element = reader.next(identifier);
  reader.done();
  return element;
}

/** A reader over the content of a constructed element. */
export function within(element: DerElement): DerReader {
  return readerOver(element.content, element.offset + element.bytes.length - element.content.length);
}

function readerOver(bytes: Uint8Array, base: number): DerReader {
  let position = 0;
  const reader: DerReader = {
    next(identifier) {
      const element = elementAt(bytes, position, base);
      if (identifier !== undefined && element.identifier !== identifier) {
        throw at('der/tag', base + position, `expected ${hex(identifier)}, found ${hex(element.identifier)}`);
      }
      position += element.bytes.length;
      return element;
    },
    optional: (identifier) => (bytes[position] === identifier ? reader.next(identifier) : undefined),
    get atEnd() {
      return position === bytes.length;
    },
    done() {
      if (position !== bytes.length) {
        throw at('der/trailing-bytes', base + position, `${bytes.length - position} bytes are left over`);
      }
    },
  };
  return reader;
}

function elementAt(bytes: Uint8Array, start: number, base: number): DerElement {
  const truncated = (): Failure<DerCode> => at('der/truncated', base + start, 'the data ends inside an element');
  const identifier = bytes[start];
  const first = bytes[start + 1];
  if (identifier === undefined || first === undefined) throw truncated();
  if ((identifier & 0x1f) === 0x1f) throw at('der/tag', base + start, 'a tag number above 30');
  let position = start + 2;
  let length = first;
  if (first >= 0x80) {
    const width = first & 0x7f;
    if (width < 1 || width > 4) throw at('der/length', base + start, 'an indefinite or unusual length');
    if (bytes.length - position < width) throw truncated();
    length = 0;
    for (let i = 0; i < width; i++) length = length * 256 + (bytes[position++] ?? 0);
    if (length < 0x80 || length < 256 ** (width - 1))
      throw at('der/length', base + start, 'a length not in its shortest form');
  }
  if (length > bytes.length - position) throw truncated();
  const end = position + length;
  return {
    identifier,
    bytes: bytes.subarray(start, end),
    content: bytes.subarray(position, end),
    offset: base + start,
  };
}

/** True or false; DER knows 0xff and 0x00 alone. */
export function readBoolean(element: DerElement): boolean {
  const { content } = expect(element, DER.boolean);
  const value = content[0];
  if (content.length !== 1 || (value !== 0 && value !== 0xff)) throw at('der/value', element.offset, 'not a boolean');
  return value === 0xff;
}

/** The magnitude of a non-negative integer, big-endian, without leading zeros (zero is one zero byte). */
export function readUnsigned(element: DerElement): Uint8Array {
  const { content } = expect(element, DER.integer);
  const [first = 0x80, second = 0] = content;
  if (first >= 0x80) throw at('der/value', element.offset, 'an integer that is empty or negative');
  if (first === 0 && content.length > 1 && second < 0x80) {
    throw at('der/value', element.offset, 'an integer with superfluous zeros');
  }
  return first === 0 && content.length > 1 ? content.subarray(1) : content;
}

/** A non-negative integer below 2^31. */
export function readSmall(element: DerElement): number {
  const magnitude = readUnsigned(element);
  const value = magnitude.reduce((sum, byte) => sum * 256 + byte, 0);
  if (value >= 2 ** 31) throw at('der/value', element.offset, 'an integer that is too large here');
  return value;
}

/** Dotted decimal, for example `1.2.840.10045.4.3.3`. */
export function readOid(element: DerElement): string {
  const { content, offset } = expect(element, DER.oid);
  const arcs: number[] = [];
  let arc = 0;
  let started = false;
  for (const byte of content) {
    if (!started && byte === 0x80) throw at('der/value', offset, 'an object identifier with superfluous zeros');
    arc = arc * 128 + (byte & 0x7f);
    if (arc > Number.MAX_SAFE_INTEGER / 128) throw at('der/value', offset, 'an object identifier that is too large');
    started = byte >= 0x80;
    if (started) continue;
    arcs.push(arc);
    arc = 0;
  }
  const [first] = arcs;
  if (first === undefined || started) throw at('der/value', offset, 'an object identifier that is not whole');
  const root = Math.min(Math.floor(first / 40), 2);
  return [root, first - 40 * root, ...arcs.slice(1)].join('.');
}

/** A bit string with its count of unused bits at the end, which DER demands to be zero. */
export function readBits(element: DerElement): { readonly bytes: Uint8Array; readonly unused: number } {
  const { content, offset } = expect(element, DER.bitString);
  const [unused = 8] = content;
  const last = content.length > 1 ? (content.at(-1) ?? 0) : 0;
  if (unused > 7 || (content.length === 1 && unused > 0) || (last & ((1 << unused) - 1)) !== 0) {
    throw at('der/value', offset, 'a bit string that is not well formed');
  }
  return { bytes: content.subarray(1), unused };
}

/** Milliseconds since 1970 of a UTCTime (years 1950 to 2049) or GeneralizedTime, both to the second and in UTC. */
export function readTime(element: DerElement): number {
  const utc = element.identifier === DER.utcTime;
  const { content, offset } = expect(element, utc ? DER.utcTime : DER.generalizedTime);
  const text = String.fromCharCode(...content.subarray(0, 16));
  const century = utc ? (text < '5' ? '20' : '19') : '';
  const iso = (century + text).replace(/^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6.000Z');
  const time = Date.parse(iso);
  // Dates that do not exist, such as 30 February, are refused or roll over to another text.
  if (Number.isNaN(time) || new Date(time).toISOString() !== iso) {
    throw at('der/value', offset, 'a time that does not exist, or is not in UTC to the second');
  }
  return time;
}

function expect(element: DerElement, identifier: number): DerElement {
  if (element.identifier === identifier) return element;
  throw at('der/tag', element.offset, `expected ${hex(identifier)}, found ${hex(element.identifier)}`);
}

/** One element: identifier, shortest length, the contents one after the other. */
export function der(identifier: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const length = contents.reduce((sum, content) => sum + content.length, 0);
  const width = length < 0x80 ? 0 : length < 0x100 ? 1 : length < 0x10000 ? 2 : length < 0x1000000 ? 3 : 4;
  const bytes = new Uint8Array(2 + width + length);
  bytes[0] = identifier;
  bytes[1] = width === 0 ? length : 0x80 | width;
  for (let i = 0; i < width; i++) bytes[1 + width - i] = Math.floor(length / 256 ** i) & 0xff;
  let offset = 2 + width;
  for (const content of contents) {
    bytes.set(content, offset);
    offset += content.length;
  }
  return bytes;
}

function hex(identifier: number): string {
  return `0x${identifier.toString(16).padStart(2, '0')}`;
}

function at(code: DerCode, offset: number, what: string): Failure<DerCode> {
  return new Failure('malformed', code, `DER, offset ${offset}: ${what}`, { where: `offset ${offset}` });
}
