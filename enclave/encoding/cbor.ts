/**
 * CBOR (RFC 8949) as Accord speaks it. Writing is deterministic: definite lengths, shortest heads, map entries in the
 * order given. Reading checks the bytes against a strict subset (see `cbor-check.ts`) before `cbor-x` decodes them,
 * since a general decoder accepts more: it merges duplicate keys, interprets tags, repairs text, reads records.
 *
 * `cbor-x` is imported in its build without code generation and without native add-on, so that the same file runs
 * under `--disallow-code-generation-from-strings`, in a browser and in a bundle.
 */
import { Decoder } from 'cbor-x/decode-no-eval';
import { Failure } from '../../policies/failure.ts';
import { concat } from './bytes.ts';
import { checkCbor } from './cbor-check.ts';
import { isCborArray } from './cbor-value.ts';
import type { CborCode, CborKey, CborLimits, CborValue } from './cbor-value.ts';

export { isCborArray } from './cbor-value.ts';
export { mapReader } from './map-reader.ts';
export type { MapFaultCodes, MapReader } from './map-reader.ts';
export type { CborCode, CborKey, CborLimits, CborValue } from './cbor-value.ts';

const DECODER = new Decoder({ useRecords: false, mapsAsObjects: false, copyBuffers: true });
const VIEWING = new Decoder({ useRecords: false, mapsAsObjects: false, copyBuffers: false });

/**
 * The one value that `bytes` hold. Byte strings are copies (unless `views`); maps are `Map`; integers are numbers where exact, else
 * bigints. Throws `Failure<CborCode>` of kind `malformed`, with the offset.
 */
export function decodeCbor(bytes: Uint8Array, limits: CborLimits): CborValue {
  const { wideIntegers } = checkCbor(bytes, limits);
  // A view of our own: the decoder hangs a property on the array it is given.
  const view = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const value: CborValue = (limits.views === true ? VIEWING : DECODER).decode(view);
  return wideIntegers ? narrow(value) : value;
}

/** `cbor-x` gives every integer of 8 bytes as a bigint; a millisecond timestamp is one, and a safe number. */
function narrow(value: CborValue): CborValue {
  if (typeof value === 'bigint') return isSafe(value) ? Number(value) : value;
  if (value instanceof Map) {
    return new Map([...value].map(([key, entry]): [CborKey, CborValue] => [narrowKey(key), narrow(entry)]));
  }
  return isCborArray(value) ? value.map(narrow) : value;
}

function narrowKey(key: CborKey | bigint): CborKey {
  return typeof key === 'bigint' ? Number(key) : key;
}

function isSafe(value: bigint): boolean {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER);
}

/** How the outermost map is written. The NSM has written its payload with indefinite length since 2025. */
export interface CborEncoding {
  readonly indefiniteMap?: boolean;
}

/**
 * Deterministic encoding. Numbers must be integers that JavaScript holds exactly (larger ones are bigints, to 64 bits);
 * other numbers become 64-bit floats. Throws `cbor/not-encodable`.
 */
export function encodeCbor(value: CborValue, { indefiniteMap = false }: CborEncoding = {}): Uint8Array {
  const parts: Uint8Array[] = [];
  write(value, parts);
  if (indefiniteMap && value instanceof Map) {
    parts[0] = INDEFINITE_MAP;
    parts.push(BREAK);
  }
  return concat(...parts);
}

const UTF8 = new TextEncoder();
const INDEFINITE_MAP = Uint8Array.of(0xbf);
const BREAK = Uint8Array.of(0xff);
const SIMPLE = { false: Uint8Array.of(0xf4), true: Uint8Array.of(0xf5), null: Uint8Array.of(0xf6) } as const;

function write(value: CborValue, parts: Uint8Array[]): void {
  if (value === null) {
    parts.push(SIMPLE.null);
  } else if (typeof value === 'boolean') {
    parts.push(value ? SIMPLE.true : SIMPLE.false);
  } else if (typeof value === 'number') {
    parts.push(Number.isInteger(value) && !Object.is(value, -0) ? integer(value) : float(value));
  } else if (typeof value === 'bigint') {
    parts.push(integer(value));
  } else if (typeof value === 'string') {
    writeText(value, parts);
  } else if (value instanceof Uint8Array) {
    parts.push(head(2, value.length), value);
  } else if (isCborArray(value)) {
    parts.push(head(4, value.length));
    for (const entry of value) write(entry, parts);
  } else if (value instanceof Map) {
    writeMap(value, parts);
  } else {
    throw notEncodable(`a value of type ${typeof value}; use a Map for a map`);
  }
}

function writeMap(value: ReadonlyMap<CborKey, CborValue>, parts: Uint8Array[]): void {
  parts.push(head(5, value.size));
  for (const [key, entry] of value) {
    if (typeof key === 'number' && !Number.isSafeInteger(key)) {
      throw notEncodable('a map key that is not a plain integer');
    }
    write(key, parts);
    write(entry, parts);
  }
}

function writeText(value: string, parts: Uint8Array[]): void {
  if (/\p{Surrogate}/u.test(value)) throw notEncodable('a text with half a surrogate pair');
  if (value.startsWith('\uFEFF')) throw notEncodable('a text that starts with a byte order mark');
  const encoded = UTF8.encode(value);
  parts.push(head(3, encoded.length), encoded);
}

function integer(value: number | bigint): Uint8Array {
  if (typeof value === 'bigint') return value >= 0n ? head(0, value) : head(1, -1n - value);
  if (!Number.isSafeInteger(value)) throw notEncodable('an integer beyond 2^53; give it as a bigint');
  return value >= 0 ? head(0, value) : head(1, -1 - value);
}

function float(value: number): Uint8Array {
  const bytes = new Uint8Array(9);
  bytes[0] = 0xfb;
  new DataView(bytes.buffer).setFloat64(1, value);
  return bytes;
}

/** Initial byte and argument in the shortest form. */
function head(major: number, argument: number | bigint): Uint8Array {
  const top = major << 5;
  if (argument < 24) return Uint8Array.of(top | Number(argument));
  const width = argument < 2 ** 8 ? 0 : argument < 2 ** 16 ? 1 : argument < 2 ** 32 ? 2 : 3;
  if (argument >= 2 ** 64) throw notEncodable('an integer beyond 64 bits');
  const bytes = new Uint8Array(1 + (1 << width));
  const view = new DataView(bytes.buffer);
  bytes[0] = top | (24 + width);
  if (width === 0) view.setUint8(1, Number(argument));
  else if (width === 1) view.setUint16(1, Number(argument));
  else if (width === 2) view.setUint32(1, Number(argument));
  else view.setBigUint64(1, BigInt(argument));
  return bytes;
}

function notEncodable(what: string): Failure<CborCode> {
  return new Failure('malformed', 'cbor/not-encodable', `CBOR cannot hold ${what}`);
}
