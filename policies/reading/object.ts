import type { Position } from '../fault.ts';
import { report, wrongType, type JsonSchema, type Reading, type Shape } from './shape.ts';
import type { Path } from './source.ts';
import { nearest } from './suggest.ts';

interface Required<T> {
  readonly shape: Shape<T>;
  readonly presence: 'required';
}
interface Optional<T> {
  readonly shape: Shape<T>;
  readonly presence: 'optional';
}
export interface Defaulted<T> {
  readonly shape: Shape<T>;
  readonly presence: 'defaulted';
  readonly value: T;
}

export const required = <T>(shape: Shape<T>): Required<T> => ({ shape, presence: 'required' });
export const optional = <T>(shape: Shape<T>): Optional<T> => ({ shape, presence: 'optional' });
export const defaulted = <T>(shape: Shape<T>, value: T): Defaulted<T> => ({ shape, presence: 'defaulted', value });

/** A field of T: an optional one may be absent from the result, any other is there. */
export type Fields<T> = {
  readonly [K in keyof T]-?: Partial<Pick<T, K>> extends Pick<T, K>
    ? Optional<NonNullable<T[K]>>
    : Required<T[K]> | Defaulted<T[K]>;
};

type AnyField = Required<unknown> | Optional<unknown> | Defaulted<unknown>;

export interface ObjectOptions {
  readonly description: string;
  /** For the message: `a function`. */
  readonly wanted: string;
  /** Keys of the format that this version does not enforce, with what they are. */
  readonly unsupported?: Readonly<Record<string, string>>;
  /** Keys that stand in mappings like this one, and why not here. */
  readonly foreign?: Readonly<Record<string, string>>;
}

/** A mapping with exactly these keys. */
export function object<T extends object>(fields: Fields<T>, options: ObjectOptions): Shape<T> {
  const known = new Map<string, AnyField>(Object.entries<AnyField>(fields));
  const later = new Map(Object.entries(options.unsupported ?? {}));
  const foreign = new Map(Object.entries(options.foreign ?? {}));
  return {
    schema: objectSchema(known, options.description),
    read(source, path, reading) {
      if (source.kind !== 'map') return wrongType(reading, source, path, options.wanted);
      const before = reading.faults.length;
      for (const [key, { keyAt }] of source.entries) {
        if (!known.has(key))
          reportUnknownKey(reading, keyAt, [...path, key], key, { known: known.keys(), later, foreign });
      }
      const result: Record<string, unknown> = {};
      for (const [key, field] of known) {
        const entry = source.entries.get(key);
        if (entry !== undefined) {
          result[key] = field.shape.read(entry.value, [...path, key], reading);
        } else if (field.presence === 'defaulted') {
          result[key] = field.value;
        } else if (field.presence === 'required') {
          report(reading, source.at, path, {
            code: 'policy/missing-key',
            message: `${key} is missing`,
            hint: describeField(key, field),
          });
        }
      }
      // Every field of T was read by a Shape of its own type, and none is missing: this is where T is earned.
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- as the line above says
      return reading.faults.length === before ? (result as T) : undefined;
    },
  };
}

function objectSchema(fields: ReadonlyMap<string, AnyField>, description: string): JsonSchema {
  const properties: Record<string, JsonSchema> = {};
  const requiredKeys: string[] = [];
  for (const [key, field] of fields) {
    properties[key] = field.shape.schema;
    if (field.presence === 'required') requiredKeys.push(key);
  }
  return { type: 'object', description, properties, required: requiredKeys, additionalProperties: false };
}

function describeField(key: string, field: AnyField): string {
  const { description } = field.shape.schema;
  return typeof description === 'string' ? `${key}: ${description}` : `add ${key}`;
}

interface KnownKeys {
  readonly known: Iterable<string>;
  readonly later: ReadonlyMap<string, string>;
  readonly foreign: ReadonlyMap<string, string>;
}

function reportUnknownKey(
  reading: Reading,
  at: Position,
  path: Path,
  key: string,
  { known, later, foreign }: KnownKeys,
): void {
  const what = later.get(key);
  if (what !== undefined) {
    report(reading, at, path, {
      code: 'policy/unsupported',
      message: `${what}: not enforced by this version, hence not accepted`,
      hint: `remove ${key}, or use a version that enforces it`,
    });
    return;
  }
  const why = foreign.get(key);
  if (why !== undefined) {
    report(reading, at, path, {
      code: 'policy/unknown-key',
      message: 'there is no such key here',
      hint: `remove ${key}: ${why}`,
    });
    return;
  }
  const words = [...known];
  const meant = nearest(key, [...words, ...later.keys()]);
  const home = reading.homes.get(key);
  const hint =
    meant !== undefined
      ? `did you mean ${meant}?`
      : home !== undefined
        ? `${key} belongs in ${home}`
        : `known keys here: ${words.join(', ')}`;
  report(reading, at, path, { code: 'policy/unknown-key', message: 'there is no such key', hint });
}
