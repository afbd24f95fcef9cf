/**
 * Shapes: each knows its JSON Schema and how to read a source into a typed value, so that what is published and what is
 * enforced cannot drift apart. Reading goes on after a fault, to report all of them at once; it never throws.
 * Nothing here needs YAML or code generation: the enclave reads its canonical policy with the same shapes.
 */
import type { Fault, PolicyCode, Position } from '../fault.ts';
import { formatPath, type Path, type Source } from './source.ts';

export type JsonSchema = { readonly [keyword: string]: JsonSchemaValue };
type JsonSchemaValue = string | number | boolean | null | readonly JsonSchemaValue[] | JsonSchema;

/** What a document is read with: where faults go, and the names that references may point at. */
export interface Reading {
  readonly faults: Fault[];
  readonly parties: ReadonlySet<string>;
  /** Where each key of the format belongs, for a key that stands in the wrong place. */
  readonly homes: ReadonlyMap<string, string>;
}

export interface Shape<T> {
  readonly schema: JsonSchema;
  /** The value, or undefined after at least one fault was reported. */
  readonly read: (source: Source, path: Path, reading: Reading) => T | undefined;
}

/** What is wrong with a value. Where it stands is added by whoever reports it. */
export interface Objection {
  readonly code: PolicyCode;
  readonly message: string;
  readonly hint?: string;
}

export function report(reading: Reading, at: Position, path: Path, objection: Objection): undefined {
  const { code, message, hint } = objection;
  const { file, line, column } = at;
  const place = { file, line, column, path: formatPath(path), code, message };
  reading.faults.push(hint === undefined ? place : { ...place, hint });
  return undefined;
}

/** What was written, for a message; long texts are cut. */
export function describeSource(source: Source): string {
  if (source.kind === 'map') return 'a mapping';
  if (source.kind === 'list') return 'a list';
  if (source.value === null) return 'nothing';
  const text = source.text.length > 60 ? `${source.text.slice(0, 60)}…` : source.text;
  return typeof source.value === 'string' ? JSON.stringify(text) : text;
}

export function wrongType(reading: Reading, source: Source, path: Path, wanted: string, hint?: string): undefined {
  const message = `expected ${wanted}, found ${describeSource(source)}`;
  const objection = { code: 'policy/wrong-type', message } as const;
  return report(reading, source.at, path, hint === undefined ? objection : { ...objection, hint });
}

/** One shape for scalars, another for everything else: `model: bob` or `model: { from: bob, … }`. */
export function scalarOr<A, B>(scalar: Shape<A>, other: Shape<B>, description: string): Shape<A | B> {
  return {
    schema: { description, oneOf: [scalar.schema, other.schema] },
    read: (source, path, reading) =>
      source.kind === 'scalar' && source.value !== null
        ? scalar.read(source, path, reading)
        : other.read(source, path, reading),
  };
}

/** Another view of the same text. */
export function map<A, B>(shape: Shape<A>, convert: (value: A) => B): Shape<B> {
  return {
    schema: shape.schema,
    read(source, path, reading) {
      const value = shape.read(source, path, reading);
      return value === undefined ? undefined : convert(value);
    },
  };
}

/** An objection to a whole that may name a part of it. */
export type PartObjection = Objection & { readonly at?: Path };

/** A further condition on a value that was read. */
export function refine<T>(shape: Shape<T>, check: (value: T, reading: Reading) => PartObjection | undefined): Shape<T> {
  return refineAll(shape, (value, reading) => {
    const objection = check(value, reading);
    return objection === undefined ? [] : [objection];
  });
}

/** Further conditions on a value that was read, of which several may fail. */
export function refineAll<T>(
  shape: Shape<T>,
  check: (value: T, reading: Reading) => readonly PartObjection[],
): Shape<T> {
  return {
    schema: shape.schema,
    read(source, path, reading) {
      const value = shape.read(source, path, reading);
      if (value === undefined) return undefined;
      const objections = check(value, reading);
      for (const objection of objections) {
        const below = objection.at ?? [];
        report(reading, deepest(source, below).at, [...path, ...below], objection);
      }
      return objections.length === 0 ? value : undefined;
    },
  };
}

/** The source at the path, or the last mapping on the way to it. */
function deepest(source: Source, path: Path): Source {
  let here = source;
  for (const step of path) {
    const next = here.kind === 'map' ? here.entries.get(step)?.value : undefined;
    if (next === undefined) return here;
    here = next;
  }
  return here;
}
