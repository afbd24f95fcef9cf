/**
 * Protobuf messages as a tree that can be changed and written again. Reading knows no schema: what is delimited and reads
 * as a message is taken for one, which is right often enough.
 */
import { concat } from '../../enclave/encoding/bytes.ts';
import { mutate } from './mutate.ts';
import type { Random } from './random.ts';

export interface Field {
  readonly number: number;
  readonly wire: number;
  /** Of a varint. */
  readonly value?: bigint;
  readonly content?: Uint8Array;
  readonly message?: readonly Field[];
}

const VARINT = 0;
const DELIMITED = 2;
const SIZES: Readonly<Record<number, number>> = { 1: 8, 5: 4 };
const MAX_DEPTH = 8;
const VALUES: readonly bigint[] = [0n, 1n, 2n, 7n, 13n, 127n, 128n, 2n ** 27n, 2n ** 27n + 1n, 2n ** 31n, 2n ** 32n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]; // prettier-ignore

export function readMessage(bytes: Uint8Array, depth = 0): readonly Field[] | undefined {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): bigint | undefined => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) return undefined;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return undefined;
  };
  while (at < bytes.length) {
    const key = varint();
    if (key === undefined || key >> 3n === 0n || key > 0xffffn) return undefined;
    const number = Number(key >> 3n);
    const wire = Number(key & 7n);
    if (wire === VARINT) {
      const value = varint();
      if (value === undefined) return undefined;
      fields.push({ number, wire, value });
      continue;
    }
    const size = wire === DELIMITED ? varint() : SIZES[wire];
    if (size === undefined || Number(size) > bytes.length - at) return undefined;
    const content = bytes.slice(at, at + Number(size));
    at += Number(size);
    const message =
      wire === DELIMITED && depth < MAX_DEPTH && content.length > 1 ? readMessage(content, depth + 1) : undefined;
    fields.push({ number, wire, content, ...(message === undefined ? {} : { message }) });
  }
  return fields;
}

export function writeMessage(fields: readonly Field[]): Uint8Array {
  return concat(
    ...fields.map(({ number, wire, value, content, message }) => {
      const key = varintOf((BigInt(number) << 3n) | BigInt(wire));
      if (value !== undefined) return concat(key, varintOf(value));
      const body = message === undefined ? (content ?? new Uint8Array()) : writeMessage(message);
      return wire === DELIMITED ? concat(key, varintOf(BigInt(body.length)), body) : concat(key, body);
    }),
  );
}

function varintOf(value: bigint): Uint8Array {
  const bytes: number[] = [];
  let left = value;
  for (; left > 0x7fn; left >>= 7n) bytes.push(Number(left & 0x7fn) | 0x80);
  return Uint8Array.from([...bytes, Number(left)]);
}

const fieldsOf = (fields: readonly Field[]): readonly Field[] =>
  fields.flatMap((field) => [field, ...(field.message === undefined ? [] : fieldsOf(field.message))]);

/** A message like this one with one field changed, dropped, doubled, or put in the place of another. */
export function varyMessage(fields: readonly Field[], random: Random): readonly Field[] {
  const all = fieldsOf(fields);
  if (all.length === 0) return fields;
  const chosen = random.pick(all);
  const walk = (list: readonly Field[]): readonly Field[] =>
    list.flatMap((field) => {
      if (field === chosen) return varyField(field, all, random);
      return field.message === undefined ? [field] : [{ ...field, message: walk(field.message) }];
    });
  return walk(fields);
}

function varyField(field: Field, all: readonly Field[], random: Random): readonly Field[] {
  switch (random.int(7)) {
    case 0:
      return [];
    case 1:
      return Array.from({ length: random.pick([2, 2, 3, 40]) }, () => field);
    case 2:
      return [random.pick(all)];
    case 3:
      return [field, random.pick(all)];
    case 4:
      return [{ ...field, number: random.chance(0.5) ? 1 + random.int(16) : random.int(32) }];
    default:
      if (field.value !== undefined) return [{ ...field, value: random.pick(VALUES) }];
      return [changedContent(field, random)];
  }
}

function changedContent({ number, wire, content = new Uint8Array() }: Field, random: Random): Field {
  const longest = wire === DELIMITED ? content.length + random.pick([0, 1, 600]) : content.length;
  const changed = mutate(content, random, { others: [content], words: [], maxBytes: longest });
  return wire === DELIMITED ? { number, wire, content: changed } : { number, wire, content };
}
