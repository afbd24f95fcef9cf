/**
 * Reads a decoded CBOR map field by field, with the type and the size that each must have, and refuses what nobody
 * asked for:
 *
 *     const map = mapReader(decodeCbor(bytes, limits), 'frame/malformed', 'hello');
 *     const hello = { v: map.uint('v', { max: 1 }), nonce: map.bytes('nonce', { exact: 32 }) };
 *     map.done();
 *
 * Failures are of kind `malformed` and carry the caller's code: one for all faults, or one a fault.
 */
import { Failure } from '../../policies/failure.ts';
import { isCborArray } from './cbor-value.ts';
import type { CborKey, CborValue } from './cbor-value.ts';

export type MapFault = 'type' | 'missing' | 'size' | 'unknown';

/** One code for each fault: a value of another type, an absent key, a size out of bounds, a key nobody asked for. */
export type MapFaultCodes<Code extends string> = Readonly<Record<MapFault, Code>>;

/** Bytes of a byte string, UTF-8 bytes of a text, entries of an array: all bounds inclusive. */
export interface SizeLimits {
  readonly min?: number;
  readonly max?: number;
  readonly exact?: number;
}

export interface MapReader {
  bytes(key: CborKey, size: SizeLimits): Uint8Array;
  text(key: CborKey, size: SizeLimits): string;
  /** A text that is one of `values`. */
  oneOf<const Value extends string>(key: CborKey, values: readonly Value[]): Value;
  /** An integer from 0 (or `min`) to 2^53 - 1 (or `max`). */
  uint(key: CborKey, range?: { readonly min?: number; readonly max?: number }): number;
  boolean(key: CborKey): boolean;
  array(key: CborKey, size?: SizeLimits): readonly CborValue[];
  /** A map below this one, to be read and closed by itself. */
  map(key: CborKey): MapReader;
  /** The value as it is, of whatever type. */
  value(key: CborKey): CborValue;
  /** Absent, or (with `orNull`) null: undefined. */
  optionalBytes(key: CborKey, size: SizeLimits, orNull?: boolean): Uint8Array | undefined;
  optionalText(key: CborKey, size: SizeLimits, orNull?: boolean): string | undefined;
  has(key: CborKey): boolean;
  /** All entries in the order of the wire, which makes them all asked for. */
  entries(): readonly (readonly [CborKey, CborValue])[];
  /** Refuses keys that nobody asked for. Call it last. */
  done(): void;
}

const UTF8 = new TextEncoder();

/** `where` names the map in messages (`hello`, `payload`). Throws at once if the value is not a map. */
export function mapReader<Code extends string>(
  value: CborValue,
  code: Code | MapFaultCodes<Code>,
  where = 'map',
): MapReader {
  const fail = (fault: MapFault, place: string, what: string): Failure<Code> =>
    new Failure('malformed', typeof code === 'string' ? code : code[fault], `${place} ${what}`, { where: place });
  const path = (key: CborKey): string => `${where}.${key}`;

  if (!(value instanceof Map)) throw fail('type', where, 'is not a map');
  const map: ReadonlyMap<CborKey, CborValue> = value;
  const asked = new Set<CborKey>();

  const take = (key: CborKey): CborValue => {
    const found = map.get(key);
    if (found === undefined) throw fail('missing', path(key), 'is missing');
    asked.add(key);
    return found;
  };

  const optional = (key: CborKey, orNull: boolean): boolean => {
    const found = map.get(key);
    if (found !== undefined && !(orNull && found === null)) return true;
    asked.add(key);
    return false;
  };

  const sized = (key: CborKey, size: number, limits: SizeLimits, unit: string): void => {
    const { min = limits.exact ?? 0, max = limits.exact ?? Number.MAX_SAFE_INTEGER } = limits;
    if (size >= min && size <= max) return;
    const demand = min === max ? `must have ${min}` : size < min ? `needs at least ${min}` : `may have at most ${max}`;
    throw fail('size', path(key), `has ${size} ${unit}; it ${demand}`);
  };

  const reader: MapReader = {
    bytes(key, size) {
      const found = take(key);
      if (!(found instanceof Uint8Array)) throw fail('type', path(key), 'is not a byte string');
      sized(key, found.length, size, 'bytes');
      return found;
    },
    text(key, size) {
      const found = take(key);
      if (typeof found !== 'string') throw fail('type', path(key), 'is not a text');
      sized(key, UTF8.encode(found).length, size, 'bytes');
      return found;
    },
    oneOf(key, values) {
      const found = take(key);
      const known = values.find((candidate) => candidate === found);
      if (known === undefined) throw fail('type', path(key), `is not one of ${values.join(', ')}`);
      return known;
    },
    uint(key, { min = 0, max = Number.MAX_SAFE_INTEGER } = {}) {
      const found = take(key);
      if (typeof found !== 'number' || !Number.isSafeInteger(found)) {
        throw fail('type', path(key), 'is not an integer below 2^53');
      }
      if (found < min || found > max) throw fail('size', path(key), `is ${found}; it must be from ${min} to ${max}`);
      return found;
    },
    boolean(key) {
      const found = take(key);
      if (typeof found !== 'boolean') throw fail('type', path(key), 'is not true or false');
      return found;
    },
    array(key, size = {}) {
      const found = take(key);
      if (!isCborArray(found)) throw fail('type', path(key), 'is not an array');
      sized(key, found.length, size, 'entries');
      return found;
    },
    map: (key) => mapReader(take(key), code, path(key)),
    value: take,
    optionalBytes: (key, size, orNull = false) => (optional(key, orNull) ? reader.bytes(key, size) : undefined),
    optionalText: (key, size, orNull = false) => (optional(key, orNull) ? reader.text(key, size) : undefined),
    has: (key) => map.has(key),
    entries() {
      for (const key of map.keys()) asked.add(key);
      return [...map];
    },
    done() {
      for (const key of map.keys()) {
        if (!asked.has(key)) throw fail('unknown', path(key), 'is not known here');
      }
    },
  };
  return reader;
}
