/** Changes that know nothing of the format: bits, integers, pieces cut, doubled, moved, or taken from another input. */
import { concat } from '../../enclave/encoding/bytes.ts';
import type { Random } from './random.ts';

export interface Material {
  /** Other inputs to take pieces from. */
  readonly others: readonly Uint8Array[];
  readonly words: readonly string[];
  readonly maxBytes: number;
}

type Change = (bytes: Uint8Array, random: Random, material: Material) => Uint8Array;

const NUMBERS: readonly bigint[] = [0n, 1n, 2n, 0x7fn, 0x80n, 0xffn, 0x100n, 0x7fffn, 0x8000n, 0xffffn, 0x1_0000n, 0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn, 0x1_0000_0000n, 0x1f_ffff_ffff_ffffn, 0x20_0000_0000_0000n, 0x7fff_ffff_ffff_ffffn, 0xffff_ffff_ffff_ffffn]; // prettier-ignore
const DIGITS = ['0', '-1', '1e999', '-0', '00', '1.5', '9007199254740993', '4294967296', '1e-400', '0x10', 'NaN'];

const copy = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes);
const encoder = new TextEncoder();

function piece(bytes: Uint8Array, random: Random): { readonly start: number; readonly end: number } {
  const start = random.int(bytes.length + 1);
  const longest = random.chance(0.7) ? 16 : bytes.length;
  return { start, end: Math.min(bytes.length, start + 1 + random.int(longest + 1)) };
}

const replaced = (bytes: Uint8Array, start: number, end: number, by: Uint8Array): Uint8Array =>
  concat(bytes.subarray(0, start), by, bytes.subarray(end));

const CHANGES: readonly Change[] = [
  function flipBit(bytes, random) {
    const changed = copy(bytes);
    const at = random.int(bytes.length);
    changed[at] = (changed[at] ?? 0) ^ (1 << random.int(8));
    return changed;
  },
  function setByte(bytes, random) {
    const changed = copy(bytes);
    changed[random.int(bytes.length)] = random.chance(0.5) ? random.int(256) : random.pick([0, 1, 0x7f, 0x80, 0xff]);
    return changed;
  },
  function setInteger(bytes, random) {
    const changed = copy(bytes);
    const width = random.pick([1, 2, 4, 8]);
    if (bytes.length < width) return changed;
    const view = new DataView(new ArrayBuffer(8));
    view.setBigUint64(0, BigInt.asUintN(8 * width, random.pick(NUMBERS) - (random.chance(0.3) ? 1n : 0n)));
    const field = new Uint8Array(view.buffer, 8 - width);
    changed.set(random.chance(0.8) ? field : field.toReversed(), random.int(bytes.length - width + 1));
    return changed;
  },
  function addToInteger(bytes, random) {
    const changed = copy(bytes);
    const at = random.int(bytes.length);
    changed[at] = (changed[at] ?? 0) + random.int(9) - 4;
    return changed;
  },
  function cut(bytes, random) {
    const { start, end } = piece(bytes, random);
    return replaced(bytes, start, end, new Uint8Array());
  },
  function truncate(bytes, random) {
    return bytes.slice(0, random.int(bytes.length + 1));
  },
  function insert(bytes, random) {
    const at = random.int(bytes.length + 1);
    const some = Uint8Array.from({ length: 1 + random.int(8) }, () => random.int(256));
    return replaced(bytes, at, at, some);
  },
  function double(bytes, random) {
    const { start, end } = piece(bytes, random);
    return replaced(bytes, end, end, bytes.subarray(start, end));
  },
  function repeat(bytes, random, { maxBytes }) {
    const { start, end } = piece(bytes, random);
    const room = Math.max(0, maxBytes - bytes.length);
    const times = Math.min(random.pick([2, 8, 64, 1024, 100_000]), Math.floor(room / Math.max(1, end - start)));
    return replaced(bytes, end, end, concat(...Array.from({ length: times }, () => bytes.subarray(start, end))));
  },
  function move(bytes, random) {
    const { start, end } = piece(bytes, random);
    const rest = replaced(bytes, start, end, new Uint8Array());
    const at = random.int(rest.length + 1);
    return replaced(rest, at, at, bytes.subarray(start, end));
  },
  function splice(bytes, random, { others }) {
    const other = random.pick(others);
    const from = piece(other, random);
    const to = piece(bytes, random);
    return replaced(bytes, to.start, random.chance(0.5) ? to.end : to.start, other.subarray(from.start, from.end));
  },
  function cross(bytes, random, { others }) {
    const other = random.pick(others);
    return concat(bytes.subarray(0, random.int(bytes.length + 1)), other.subarray(random.int(other.length + 1)));
  },
  function putWord(bytes, random, { words }) {
    if (words.length === 0) return copy(bytes);
    const at = random.int(bytes.length + 1);
    const word = encoder.encode(random.pick(words));
    return replaced(bytes, at, random.chance(0.5) ? at : Math.min(bytes.length, at + word.length), word);
  },
  function putDigits(bytes, random) {
    const from = random.int(bytes.length);
    const digit = bytes.findIndex((byte, at) => at >= from && byte >= 0x30 && byte <= 0x39);
    if (digit === -1) return copy(bytes);
    let end = digit;
    while ((bytes[end] ?? 0) >= 0x30 && (bytes[end] ?? 0) <= 0x39) end += 1;
    return replaced(bytes, digit, end, encoder.encode(random.pick(DIGITS)));
  },
];

/** One to eight changes, mostly few. Never the same array, never longer than `maxBytes`. */
export function mutate(input: Uint8Array, random: Random, material: Material): Uint8Array {
  let bytes = input;
  for (let left = random.pick([1, 1, 1, 2, 2, 3, 5, 8]); left > 0; left -= 1) {
    bytes = bytes.length === 0 ? Uint8Array.of(random.int(256)) : random.pick(CHANGES)(bytes, random, material);
  }
  return bytes.slice(0, material.maxBytes);
}
