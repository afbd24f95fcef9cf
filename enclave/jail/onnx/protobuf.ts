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
  | {
      readonly is: 'int' | 'float' | 'double' | 'bytes';
      readonly many?: true;
      readonly kept?: true;
      readonly name: string;
    }
  | { readonly is: 'refused'; readonly code: ModelCode; readonly name: string };

export type MessageRule = { readonly message: string; readonly fields: Readonly<Record<number, FieldRule>> };

export interface Message {
  /** Values of integer fields, in order, packed ones unpacked. */
  ints(field: number): readonly bigint[];
  /** Contents of length-delimited fields. */
  ranges(field: number): readonly Range[];
  /** How many values of a float or double field there are. */
  count(field: number): number;
  /** What they are, where the table says that a float field is kept. */
  floats(field: number): readonly number[];
}

export interface Reader {
  readonly bytes: Uint8Array;
  /** Fields that may still be read before the file is refused. */
  budget: number;
}

const WIRE = { int: 0, float: 5, double: 1, bytes: 2 } as const;
const SIZE = { float: 4, double: 8 } as const;

/** Reads one message. `where` names it in refusals. Throws `Failure<ModelCode>`. */
export function readMessage(reader: Reader, range: Range, rule: MessageRule, where: string): Message {
  const cursor = createCursor(reader, range, where);
  const ints = new Map<number, bigint[]>();
  const ranges = new Map<number, Range[]>();
  const counts = new Map<number, number>();
  const kept = new Map<number, Range[]>();
  const seen = new Set<number>();
  while (!cursor.atEnd()) {
    cursor.spend();
    const key = cursor.varint();
    const number = Number(key >> 3n);
    const wire = Number(key & 7n);
    const field = rule.fields[number];
    if (field === undefined) {
      return cursor.malformed(`field ${number} of ${rule.message} is not known (is it an ONNX file?)`);
    }
    if (field.is === 'refused') throw modelFailure(field.code, `${field.name} (${rule.message}) is not taken`, where);
    if (field.many === undefined && seen.has(number)) cursor.malformed(`${field.name} stands twice`);
    seen.add(number);
    const packed = field.many !== undefined && field.is !== 'bytes' && wire === WIRE.bytes;
    if (!packed && wire !== WIRE[field.is]) cursor.malformed(`${field.name} has wire type ${wire}`);
    switch (field.is) {
      case 'bytes':
        append(ranges, number, [cursor.delimited()]);
        break;
      case 'int':
        append(ints, number, packed ? cursor.packedVarints() : [cursor.varint()]);
        break;
      case 'float':
      case 'double': {
        const values = cursor.fixed(SIZE[field.is], packed, field.name);
        counts.set(number, (counts.get(number) ?? 0) + (values.end - values.start) / SIZE[field.is]);
        if (field.kept === true) append(kept, number, [values]);
        break;
      }
    }
  }
  return {
    ints: (field) => ints.get(field) ?? [],
    ranges: (field) => ranges.get(field) ?? [],
    count: (field) => counts.get(field) ?? 0,
    floats: (field) => (kept.get(field) ?? []).flatMap((range) => float32s(reader.bytes, range)),
  };
}

function float32s(bytes: Uint8Array, { start, end }: Range): readonly number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset + start, end - start);
  return Array.from({ length: (end - start) / SIZE.float }, (_, index) => view.getFloat32(index * SIZE.float, true));
}

function append<T>(into: Map<number, T[]>, field: number, values: readonly T[]): void {
  const list = into.get(field);
  if (list === undefined) into.set(field, [...values]);
  else for (const value of values) list.push(value);
}

interface Cursor {
  readonly atEnd: () => boolean;
  /** One field more has been read. */
  readonly spend: () => void;
  readonly varint: () => bigint;
  readonly packedVarints: () => readonly bigint[];
  readonly delimited: () => Range;
  /** Steps over fixed-size values; where they stand. */
  readonly fixed: (size: number, packed: boolean, name: string) => Range;
  readonly malformed: (what: string) => never;
}

function createCursor(reader: Reader, range: Range, where: string): Cursor {
  const { bytes } = reader;
  let at = range.start;
  const malformed = (what: string): never => {
    throw modelFailure('model/malformed-onnx', `the ONNX file is malformed: ${what}`, `${where}, offset ${at}`);
  };
  const spend = (): void => {
    if (reader.budget-- <= 0) throw modelFailure('model/too-complex', 'the ONNX file has too many fields', where);
  };
  const varintBefore = (end: number): bigint => {
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
    at += length;
    return { start: at - length, end: at };
  };
  const delimited = (): Range => {
    const length = varintBefore(range.end);
    return advance(length <= 0x7fff_ffffn ? Number(length) : malformed('a length is over 2 GiB'));
  };
  return {
    malformed,
    spend,
    delimited,
    atEnd: () => at >= range.end,
    varint: () => varintBefore(range.end),
    packedVarints() {
      const inside = delimited();
      const values: bigint[] = [];
      for (at = inside.start; at < inside.end; spend()) values.push(varintBefore(inside.end));
      return values;
    },
    fixed(size, packed, name) {
      if (!packed) return advance(size);
      const range = delimited();
      return (range.end - range.start) % size === 0 ? range : malformed(`${name} is cut off`);
    },
  };
}

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
    // With its byte order mark, where it has one: onnxruntime takes it for a part of the name.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.subarray(range.start, range.end));
  } catch {
    throw modelFailure('model/malformed-onnx', 'the ONNX file is malformed: a name is not UTF-8', where);
  }
}
