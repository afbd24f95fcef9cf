/**
 * A strict reader of protobuf messages, for bytes that nobody vouches for. Of the format it takes:
 *
 * - varints of at most 10 bytes that fit 64 bits, 32- and 64-bit fixed values, length-delimited values; no groups;
 * - only fields that the caller's table names, each with its wire type (a repeated number may also be packed);
 * - a singular field once: protobuf would merge or overwrite, and readers differ in how.
 *
 * Nothing is copied: values are numbers and ranges of the caller's bytes. Every message is read against a budget of
 * fields, so that the work is bounded whatever the bytes say.
 */
import { modelFailure, type ModelCode } from '../../functions/model-refusal.ts';

export interface Range {
  readonly start: number;
  readonly end: number;
}

/** What a field may hold: how it stands on the wire, whether it may come again, or why it is refused. */
export type FieldRule =
  | { readonly is: 'int' | 'float' | 'double' | 'bytes'; readonly many?: true; readonly name: string }
  | { readonly is: 'refused'; readonly code: ModelCode; readonly name: string };

export type MessageRule = { readonly message: string; readonly fields: Readonly<Record<number, FieldRule>> };

export interface Message {
  /** Values of integer fields, in order, packed ones unpacked. */
  ints(field: number): readonly bigint[];
  /** Contents of length-delimited fields. */
  ranges(field: number): readonly Range[];
  /** How many values of a float or double field there are; what they are nobody asks. */
  count(field: number): number;
}

export interface Reader {
  readonly bytes: Uint8Array;
  /** Fields that may still be read before the message is refused. */
  budget: number;
}

const WIRE = { int: 0, float: 5, double: 1, bytes: 2 } as const;

/** Reads one message. `where` names it in refusals. Throws `Failure<ModelCode>`. */
export function readMessage(reader: Reader, range: Range, rule: MessageRule, where: string): Message {
  const { bytes } = reader;
  const ints = new Map<number, bigint[]>();
  const ranges = new Map<number, Range[]>();
  const counts = new Map<number, number>();
  const seen = new Set<number>();
  let at = range.start;

  const malformed = (what: string): never => {
    throw modelFailure('model/malformed-onnx', `the ONNX file is malformed: ${what}`, `${where}, offset ${at}`);
  };
  const varint = (end: number): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      if (at >= end) malformed('a number is cut off');
      const byte = bytes[at++] ?? 0;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value <= 0xffff_ffff_ffff_ffffn ? value : malformed('a number is over 64 bits');
    }
    return malformed('a number is longer than 10 bytes');
  };
  const advance = (length: number): Range => {
    if (length > range.end - at) malformed(`a value of ${length} bytes reaches past the end of its message`);
    const start = at;
    at += length;
    return { start, end: at };
  };
  const push = <T>(into: Map<number, T[]>, field: number, value: T): void => {
    const values = into.get(field);
    if (values === undefined) into.set(field, [value]);
    else values.push(value);
  };

  while (at < range.end) {
    if (reader.budget-- <= 0) throw modelFailure('model/too-complex', 'the ONNX file has too many fields', where);
    const key = varint(range.end);
    const number = Number(key >> 3n);
    const wire = Number(key & 7n);
    const field = rule.fields[number];
    if (field === undefined) {
      throw modelFailure('model/unsupported-field', `field ${number} of ${rule.message} is not taken`, where);
    }
    if (field.is === 'refused') {
      throw modelFailure(field.code, `${field.name} (${rule.message}) is not taken`, where);
    }
    if (field.many === undefined && seen.has(number)) malformed(`${field.name} stands twice`);
    seen.add(number);
    const packed = field.many !== undefined && field.is !== 'bytes' && wire === 2;
    if (!packed && wire !== WIRE[field.is]) malformed(`${field.name} has wire type ${wire}`);
    if (packed) {
      const inside = advance(length(varint(range.end), malformed));
      if (field.is === 'int') {
        at = inside.start;
        while (at < inside.end) {
          if (reader.budget-- <= 0) throw modelFailure('model/too-complex', 'the ONNX file has too many fields', where);
          push(ints, number, varint(inside.end));
        }
      } else {
        const size = field.is === 'float' ? 4 : 8;
        if ((inside.end - inside.start) % size !== 0) malformed(`${field.name} is cut off`);
        counts.set(number, (counts.get(number) ?? 0) + (inside.end - inside.start) / size);
      }
    } else if (field.is === 'int') {
      push(ints, number, varint(range.end));
    } else if (field.is === 'bytes') {
      push(ranges, number, advance(length(varint(range.end), malformed)));
    } else {
      advance(field.is === 'float' ? 4 : 8);
      counts.set(number, (counts.get(number) ?? 0) + 1);
    }
  }
  return {
    ints: (field) => ints.get(field) ?? [],
    ranges: (field) => ranges.get(field) ?? [],
    count: (field) => counts.get(field) ?? 0,
  };
}

const length = (value: bigint, malformed: (what: string) => never): number =>
  value <= 0x7fff_ffffn ? Number(value) : malformed('a length is over 2 GiB');

/** UTF-8 text of at most `max` bytes. Throws `Failure<ModelCode>`. */
export function text({ bytes }: Reader, range: Range, max: number, where: string): string {
  if (range.end - range.start > max) {
    throw modelFailure(
      'model/too-complex',
      `a name has ${range.end - range.start} bytes; at most ${max} are taken`,
      where,
    );
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(range.start, range.end));
  } catch {
    throw modelFailure('model/malformed-onnx', 'the ONNX file is malformed: a name is not UTF-8', where);
  }
}
