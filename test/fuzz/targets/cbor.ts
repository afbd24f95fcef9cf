/** CBOR as Accord speaks it: what is taken is in its one form, so that writing it again gives the same bytes. */
import * as fc from 'fast-check';
import { concat } from '../../../enclave/encoding/bytes.ts';
import { decodeCbor, encodeCbor, isCborArray } from '../../../enclave/encoding/cbor.ts';
import type { CborKey, CborValue } from '../../../enclave/encoding/cbor.ts';
import { demandSame } from '../target.ts';
import type { Target } from '../target.ts';
import { varyCbor } from '../trees.ts';
import { CBOR_CODES } from './cbor-codes.ts';

/** The first byte of an input chooses them: the strict form, views, floats, and what is read of others' encoders. */
const READINGS = [{}, { views: true }, { floats: true }, { foreign: true }] as const;
const STRICT = 2;
const MAX_BYTES = 4_096;

const plain: fc.Arbitrary<CborValue> = fc.oneof(
  fc.maxSafeInteger(),
  fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n - 1n }),
  fc.integer({ min: -300, max: 300 }),
  fc.string({ unit: 'grapheme', maxLength: 40 }),
  fc.uint8Array({ maxLength: 40 }),
  fc.constantFrom(null, true, false),
);
const key: fc.Arbitrary<CborKey> = fc.oneof(fc.string({ maxLength: 9 }), fc.integer());
const item = itemTo(4);

function itemTo(depth: number): fc.Arbitrary<CborValue> {
  if (depth === 0) return plain;
  const inner = itemTo(depth - 1);
  const entries = fc.uniqueArray(fc.tuple(key, inner), { selector: ([name]) => name, maxLength: 5 });
  return fc.oneof(
    plain,
    fc.array(inner, { maxLength: 5 }),
    entries.map((pairs): CborValue => new Map(pairs)),
  );
}

/** Heads of every kind, whole or not, one behind the other. */
const heads = fc
  .array(
    fc.tuple(fc.nat(255), fc.uint8Array({ maxLength: 9 })).map(([head, rest]) => concat(Uint8Array.of(head), rest)),
    { maxLength: 12 },
  )
  .map((parts) => concat(...parts));

export async function open(): Promise<Target> {
  const values: readonly CborValue[] = [
    0, -1, 23, 24, 255, 256, 65_536, 2 ** 32, -(2 ** 32) - 1, 2n ** 63n, 'text', 'é🦄', new Uint8Array(30), null, true,
    [1, [2, [3, ['deep']]]], new Map<CborKey, CborValue>([['a', 1], [1, 'b'], [-1, new Map()], ['', []]]), 1.5,
  ]; // prettier-ignore
  return {
    codes: CBOR_CODES,
    refusedSeeds: ['cbor/float'],
    seeds: values.flatMap((value) => READINGS.map((_, reading) => concat(Uint8Array.of(reading), encodeCbor(value)))),
    built: fc.tuple(fc.nat(READINGS.length - 1), fc.oneof(item.map((value) => safely(value)), heads)).map(([reading, bytes]) => concat(Uint8Array.of(reading), bytes)), // prettier-ignore
    vary: async (input, random) => concat(input.subarray(0, 1), await varyCbor(input.subarray(1), random)),
    run(input) {
      const reading = (input[0] ?? 0) % READINGS.length;
      const bytes = input.subarray(1);
      const value = decodeCbor(bytes, { maxBytes: MAX_BYTES, ...READINGS[reading] });
      if (reading < STRICT) demandSame(encodeCbor(value), bytes, 'what was taken is written otherwise');
      else if (!hasForm(value)) return 'a float without a form';
      else {
        const again = encodeCbor(value);
        const twice = decodeCbor(again, { maxBytes: 16 * MAX_BYTES, floats: true });
        demandSame(encodeCbor(twice), again, 'what was written is read otherwise');
      }
      return ['strict', 'views', 'floats', 'foreign'][reading] ?? '';
    },
  };
}

/** Texts with half a surrogate pair, or a byte order mark first, have no form. */
function safely(value: CborValue): Uint8Array {
  try {
    return encodeCbor(value);
  } catch {
    return Uint8Array.of(0xf6);
  }
}

/** Whole numbers beyond 2^53 are written as bigints alone: a float that is one has no form here. */
function hasForm(value: CborValue): boolean {
  if (value instanceof Map) return [...value.values()].every(hasForm);
  if (isCborArray(value)) return value.every(hasForm);
  return typeof value !== 'number' || !Number.isInteger(value) || Number.isSafeInteger(value);
}
