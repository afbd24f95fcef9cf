import type { Fault } from '../fault.ts';
import type { Shape } from './shape.ts';
import { formatPath } from './source.ts';

export interface VariantOptions<T> {
  /** The key whose value says which shape the mapping has. */
  readonly tag: string;
  /** Every value that the tag may have; what it says of another one is what the reader hears. */
  readonly tagShape: Shape<string>;
  readonly shapes: readonly Shape<T>[];
  /** The shape for a value of the tag, or for a mapping without one. */
  readonly choose: (tag: string | undefined) => Shape<T>;
  readonly description: string;
}

/** A mapping whose other keys depend on one of them. */
export function variants<T>({ tag, tagShape, shapes, choose, description }: VariantOptions<T>): Shape<T> {
  return {
    schema: { description, oneOf: shapes.map(({ schema }) => schema) },
    read(source, path, reading) {
      const entry = source.kind === 'map' ? source.entries.get(tag) : undefined;
      if (entry === undefined || source.kind !== 'map') return choose(undefined).read(source, path, reading);
      const before = reading.faults.length;
      const found = tagShape.read(entry.value, [...path, tag], reading);
      if (reading.faults.length === before) return choose(found).read(source, path, reading);
      // The rest is read for its own faults; of the tag, what was said by the shape that knows all its values stands.
      const rest = { ...reading, faults: new Array<Fault>() };
      choose(undefined).read(source, path, rest);
      const tagged = formatPath([...path, tag]);
      reading.faults.push(...rest.faults.filter((fault) => fault.path !== tagged));
      return undefined;
    },
  };
}
