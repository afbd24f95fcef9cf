/**
 * How much an answer can say. From a JSON Schema follows how many values it admits, hence how many bits one of them can
 * carry at most: log2 of that number. Keywords that only narrow (`pattern`, `uniqueItems`, `not`, `if`…) are left out of
 * the account, so the figure may be too high and is never too low. Counted are values, not texts: the gate itself writes an
 * answer's JSON, in one way for one value.
 */
import type { JsonSchema } from './reading/shape.ts';

/** Bits, rounded up to hundredths; `unbounded` where a schema admits values without end, or of a size nobody bounded. */
export type Bits = number | 'unbounded';

/** The most that one value of the schema can carry. */
export function schemaBits(schema: JsonSchema | boolean): Bits {
  return rounded(valuesOf(schema, { root: schema, inside: new Set() }));
}

/** One value of either: `a` or `b` further ones. */
export function bitsWithOthers(bits: Bits, others: number): Bits {
  return bits === 'unbounded' ? bits : rounded(either([bits, log2(others)]));
}

export function timesBits(times: number, bits: Bits): Bits {
  if (times === 0) return 0;
  return bits === 'unbounded' ? bits : rounded(times * bits);
}

/** `at most 9.46 bits`, `without bound`. */
export function bitsInWords(bits: Bits): string {
  if (bits === 'unbounded') return 'bits without bound';
  const most = bits >= 100 ? Math.ceil(bits) : bits;
  return `at most ${most} ${most === 1 ? 'bit' : 'bits'}`;
}

/** Numbers of values are kept as their log2: -Infinity for none, Infinity without bound. */
type Log2 = number;

const NONE: Log2 = Number.NEGATIVE_INFINITY;
const WITHOUT_BOUND: Log2 = Number.POSITIVE_INFINITY;
/** Unicode scalar values: what a character of a JSON text can be. */
const CHARACTERS = 1_112_064;
/** Sums over lengths are exact up to here, and bounded from above beyond. */
const SUMMED_LENGTHS = 4_096;

function rounded(values: Log2): Bits {
  if (values === WITHOUT_BOUND) return 'unbounded';
  if (values <= 0) return 0;
  // A hair more than the sum, which is off by far less than this.
  return Math.ceil((values + 1e-9 * (1 + values)) * 100 - 1e-6) / 100;
}

const log2 = (values: number): Log2 => (values <= 0 ? NONE : Math.log2(values));

/** A pair of one of each. */
function both(parts: readonly Log2[]): Log2 {
  return parts.includes(NONE) ? NONE : parts.reduce((sum, part) => sum + part, 0);
}

/** One of any. */
function either(parts: readonly Log2[]): Log2 {
  const most = Math.max(NONE, ...parts);
  if (!Number.isFinite(most)) return most;
  return most + Math.log2(parts.reduce((sum, part) => sum + 2 ** (part - most), 0));
}

interface Walk {
  readonly root: JsonSchema | boolean;
  /** References that are being followed. */
  readonly inside: ReadonlySet<string>;
}

function valuesOf(schema: unknown, walk: Walk): Log2 {
  if (schema === false) return NONE;
  if (!isSchema(schema)) return WITHOUT_BOUND;
  const bounds = [ofTypes(schema, walk), ofListed(schema), ofReference(schema, walk)];
  for (const keyword of ['anyOf', 'oneOf']) {
    const branches = schema[keyword];
    if (isList(branches)) bounds.push(either(branches.map((branch) => valuesOf(branch, walk))));
  }
  if (isList(schema['allOf'])) bounds.push(...schema['allOf'].map((branch) => valuesOf(branch, walk)));
  // Whatever the value must fit all at once, it is one of the fewest.
  return Math.min(...bounds);
}

function ofListed(schema: JsonSchema): Log2 {
  if (Object.hasOwn(schema, 'const')) return 0;
  const listed = schema['enum'];
  return isList(listed) ? log2(new Set(listed.map((value) => JSON.stringify(value))).size) : WITHOUT_BOUND;
}

function ofReference(schema: JsonSchema, { root, inside }: Walk): Log2 {
  const reference = schema['$ref'];
  // One that stands inside of itself has values of any depth.
  if (typeof reference !== 'string' || !reference.startsWith('#/') || inside.has(reference)) return WITHOUT_BOUND;
  let here: unknown = root;
  for (const step of reference.slice(2).split('/')) here = isSchema(here) ? own(here, step) : undefined;
  return here === undefined ? WITHOUT_BOUND : valuesOf(here, { root, inside: new Set([...inside, reference]) });
}

function ofTypes(schema: JsonSchema, walk: Walk): Log2 {
  const { type } = schema;
  if (type === undefined) return WITHOUT_BOUND;
  return either((isList(type) ? type : [type]).map((one) => ofType(one, schema, walk)));
}

function ofType(type: unknown, schema: JsonSchema, walk: Walk): Log2 {
  switch (type) {
    case 'null':
      return 0;
    case 'boolean':
      return 1;
    case 'integer':
      return ofNumbers(schema, 1);
    case 'number':
      return ofNumbers(schema, 0);
    case 'string':
      return ofStrings(schema);
    case 'array':
      return ofArrays(schema, walk);
    case 'object':
      return ofObjects(schema, walk);
    default:
      return WITHOUT_BOUND;
  }
}

/** Multiples of a step between two bounds; `least` is a step that the type itself has. */
function ofNumbers(schema: JsonSchema, least: number): Log2 {
  const step = Math.max(least, numberOr(schema, 'multipleOf', 0));
  const from = Math.max(numberOr(schema, 'minimum', NONE), numberOr(schema, 'exclusiveMinimum', NONE));
  const to = Math.min(numberOr(schema, 'maximum', WITHOUT_BOUND), numberOr(schema, 'exclusiveMaximum', WITHOUT_BOUND));
  if (from > to) return NONE;
  if (from === to) return 0;
  if (step <= 0 || !Number.isFinite(from) || !Number.isFinite(to)) return WITHOUT_BOUND;
  // 0.29 / 0.01 is a little less than 29: quotients are widened, so that no multiple is missed.
  const slack = (quotient: number): number => 1e-6 + Math.abs(quotient) * 1e-12;
  const [first, last] = [from / step, to / step];
  return log2(Math.floor(last + slack(last)) - Math.ceil(first - slack(first)) + 1);
}

function ofStrings(schema: JsonSchema): Log2 {
  return ofLengths(
    numberOr(schema, 'minLength', 0),
    numberOr(schema, 'maxLength', WITHOUT_BOUND),
    Math.log2(CHARACTERS),
  );
}

/** Sequences of `from` to `to` items, each with so many values. */
function ofLengths(from: number, to: number, item: Log2): Log2 {
  if (from > to) return NONE;
  if (item === NONE || to === 0) return from <= 0 ? 0 : NONE;
  if (to === WITHOUT_BOUND || item === WITHOUT_BOUND) return WITHOUT_BOUND;
  if (to - from > SUMMED_LENGTHS) return Math.log2(to - from + 1) + to * item;
  return either(Array.from({ length: to - from + 1 }, (_, index) => (from + index) * item));
}

function ofArrays(schema: JsonSchema, walk: Walk): Log2 {
  const { prefixItems, items } = schema;
  const fixed = isList(prefixItems) ? prefixItems : isList(items) ? items : [];
  const after = isList(items) ? schema['additionalItems'] : items;
  const rest = after === undefined ? WITHOUT_BOUND : valuesOf(after, walk);
  const from = numberOr(schema, 'minItems', 0);
  const to = numberOr(schema, 'maxItems', WITHOUT_BOUND);
  const heads = fixed.map((item) => valuesOf(item, walk));
  const shorter = heads
    .map((_, length) => ({ length, values: both(heads.slice(0, length)) }))
    .filter(({ length }) => length >= from && length <= to);
  const longer =
    to < heads.length ? NONE : both([...heads, ofLengths(Math.max(0, from - heads.length), to - heads.length, rest)]);
  return either([...shorter.map(({ values }) => values), longer]);
}

function ofObjects(schema: JsonSchema, walk: Walk): Log2 {
  if (numberOr(schema, 'maxProperties', 1) === 0)
    return isList(schema['required']) && schema['required'].length > 0 ? NONE : 0;
  const closed = schema['additionalProperties'] === false || schema['unevaluatedProperties'] === false;
  if (!closed || isSchema(schema['patternProperties'])) return WITHOUT_BOUND;
  const properties = isSchema(schema['properties']) ? schema['properties'] : {};
  const required = new Set(isList(schema['required']) ? schema['required'] : []);
  if ([...required].some((name) => typeof name !== 'string' || !Object.hasOwn(properties, name))) return NONE;
  return both(
    Object.entries(properties).map(([name, property]) => {
      const values = valuesOf(property, walk);
      return required.has(name) ? values : either([values, 0]);
    }),
  );
}

function numberOr(schema: JsonSchema, keyword: string, otherwise: number): number {
  const value = own(schema, keyword);
  return typeof value === 'number' ? value : otherwise;
}

const own = (schema: JsonSchema, key: string): unknown => (Object.hasOwn(schema, key) ? schema[key] : undefined);
const isList = (value: unknown): value is readonly unknown[] => Array.isArray(value);
function isSchema(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
