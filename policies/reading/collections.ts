import { report, wrongType, type Reading, type Shape } from './shape.ts';
import type { Path, SourceMap } from './source.ts';

export interface RecordOptions<T> {
  readonly description: string;
  /** For the message: `parties by name`. */
  readonly wanted: string;
  readonly key: Shape<string>;
  readonly value: Shape<T>;
  readonly min: number;
  readonly max: number;
  /** Runs over the entries that could be read, also where others could not. */
  readonly check?: (entries: ReadonlyMap<string, T>, source: SourceMap, path: Path, reading: Reading) => void;
}

/** Names to values. The record has no prototype: `record['constructor']` is undefined unless somebody wrote it. */
export function record<T>(options: RecordOptions<T>): Shape<Readonly<Record<string, T>>> {
  const { description, wanted, key, value, min, max, check } = options;
  return {
    schema: {
      type: 'object',
      description,
      propertyNames: key.schema,
      additionalProperties: value.schema,
      minProperties: min,
      maxProperties: max,
    },
    read(source, path, reading) {
      if (source.kind !== 'map') return wrongType(reading, source, path, wanted);
      const before = reading.faults.length;
      const read = new Map<string, T>();
      for (const [name, entry] of source.entries) {
        const inner = [...path, name];
        key.read({ kind: 'scalar', at: entry.keyAt, value: name, text: name }, inner, reading);
        const item = value.read(entry.value, inner, reading);
        if (item !== undefined) read.set(name, item);
      }
      if (source.entries.size < min || source.entries.size > max) {
        report(reading, source.at, path, {
          code: 'policy/out-of-range',
          message: `has ${source.entries.size} entries; ${wanted} are ${min} to ${max}`,
        });
      }
      check?.(read, source, path, reading);
      return reading.faults.length === before ? recordOf(read) : undefined;
    },
  };
}

/** A record without prototype. */
export function recordOf<T>(entries: Iterable<readonly [string, T]>): Readonly<Record<string, T>> {
  const result: Record<string, T> = Object.create(null);
  for (const [name, value] of entries) result[name] = value;
  return result;
}

export interface ListOptions<T> {
  readonly description: string;
  readonly wanted: string;
  readonly item: Shape<T>;
  readonly min: number;
  readonly max: number;
}

/** Different items. */
export function list<T extends string>(options: ListOptions<T>): Shape<readonly T[]> {
  const { description, wanted, item, min, max } = options;
  return {
    schema: { type: 'array', description, items: item.schema, minItems: min, maxItems: max, uniqueItems: true },
    read(source, path, reading) {
      if (source.kind !== 'list') return wrongType(reading, source, path, wanted);
      const before = reading.faults.length;
      const read: T[] = [];
      for (const [index, inner] of source.items.entries()) {
        const innerPath = [...path, `[${index}]`];
        const value = item.read(inner, innerPath, reading);
        if (value === undefined) continue;
        if (read.includes(value)) {
          report(reading, inner.at, innerPath, { code: 'policy/bad-value', message: 'stands in the list twice' });
        }
        read.push(value);
      }
      if (source.items.length < min || source.items.length > max) {
        report(reading, source.at, path, {
          code: 'policy/out-of-range',
          message: `has ${source.items.length} items; ${wanted} has ${min} to ${max}`,
        });
      }
      return reading.faults.length === before ? read : undefined;
    },
  };
}

export interface SequenceOptions<T> {
  readonly description: string;
  readonly wanted: string;
  readonly item: Shape<T>;
  readonly min: number;
  readonly max: number;
}

/** Items of any kind; their order means something. */
export function sequence<T>({ description, wanted, item, min, max }: SequenceOptions<T>): Shape<readonly T[]> {
  return {
    schema: { type: 'array', description, items: item.schema, minItems: min, maxItems: max },
    read(source, path, reading) {
      if (source.kind !== 'list') return wrongType(reading, source, path, wanted);
      const before = reading.faults.length;
      const read = source.items.map((inner, index) => item.read(inner, [...path, `[${index}]`], reading));
      if (source.items.length < min || source.items.length > max) {
        report(reading, source.at, path, {
          code: 'policy/out-of-range',
          message: `has ${source.items.length} items; ${wanted} has ${min} to ${max}`,
        });
      }
      return reading.faults.length === before ? read.filter((one) => one !== undefined) : undefined;
    },
  };
}
