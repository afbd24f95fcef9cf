/** What a CBOR text may hold in Accord, and what can be wrong with one. */

/** Integers are numbers where JavaScript holds them exactly, else bigints. Maps keep the order of the wire. */
export type CborValue =
  null | boolean | number | bigint | string | Uint8Array | readonly CborValue[] | ReadonlyMap<CborKey, CborValue>;

export type CborKey = string | number;

/** `Array.isArray`, which knows nothing of arrays that may not be changed. */
export function isCborArray(value: CborValue): value is readonly CborValue[] {
  return Array.isArray(value);
}

export type CborCode =
  | 'cbor/truncated' // the text ends inside an item
  | 'cbor/trailing-bytes' // something follows the one item
  | 'cbor/too-large' // more bytes than the limit
  | 'cbor/too-many-items' // more items than the limit
  | 'cbor/too-deep' // nested deeper than the limit
  | 'cbor/duplicate-key'
  | 'cbor/key-type' // a key that is neither text nor an integer JavaScript holds exactly
  | 'cbor/tag'
  | 'cbor/simple-value' // undefined, or any simple value but false, true and null
  | 'cbor/float'
  | 'cbor/indefinite-length'
  | 'cbor/not-shortest' // an integer or length in more bytes than it needs
  | 'cbor/text' // not UTF-8, or starts with a byte order mark
  | 'cbor/reserved' // additional information 28 to 30, or a break where none may stand
  | 'cbor/not-encodable'; // a value that the subset has no encoding for

export interface CborLimits {
  /** Longest text that is looked at, in bytes. */
  readonly maxBytes: number;
  /** Deepest nesting of arrays and maps. Default 8. */
  readonly maxDepth?: number;
  /** Most data items (a map of one entry has three: itself, key, value). Default 4096. */
  readonly maxItems?: number;
  /** Accept floating-point numbers. Default no. */
  readonly floats?: boolean;
  /** Accept arrays and maps of indefinite length, and integers and lengths in more bytes than needed: for signed data
   *  of others, whose encoder we do not choose. Strings of indefinite length are refused nevertheless. Default no. */
  readonly foreign?: boolean;
  /** Byte strings are views into the text, not copies: where its bytes never change again. Default no. */
  readonly views?: boolean;
}
