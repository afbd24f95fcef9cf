import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeCbor, encodeCbor, mapReader } from '../../../enclave/encoding/cbor.ts';
import type { CborCode, CborLimits, CborValue } from '../../../enclave/encoding/cbor.ts';
import { fromHex, toHex } from '../../../enclave/encoding/hex.ts';
import { Failure } from '../../../policies/failure.ts';
import { codeOf } from '../code-of.ts';

function failureOf(run: () => unknown): Failure {
  try {
    run();
  } catch (error) {
    if (error instanceof Failure) return error;
  }
  throw new Error('it was not refused');
}

const LIMITS: CborLimits = { maxBytes: 65_536 };

/** RFC 8949, appendix A: the examples within the subset, both ways. */
const EXAMPLES: readonly (readonly [string, CborValue])[] = [
  ['00', 0],
  ['01', 1],
  ['0a', 10],
  ['17', 23],
  ['1818', 24],
  ['1819', 25],
  ['1864', 100],
  ['1903e8', 1000],
  ['1a000f4240', 1_000_000],
  ['1b000000e8d4a51000', 1_000_000_000_000],
  ['1bffffffffffffffff', 18_446_744_073_709_551_615n],
  ['3bffffffffffffffff', -18_446_744_073_709_551_616n],
  ['20', -1],
  ['29', -10],
  ['3863', -100],
  ['3903e7', -1000],
  ['f4', false],
  ['f5', true],
  ['f6', null],
  ['40', new Uint8Array()],
  ['4401020304', Uint8Array.of(1, 2, 3, 4)],
  ['60', ''],
  ['6161', 'a'],
  ['6449455446', 'IETF'],
  ['62225c', '"\\'],
  ['62c3bc', '\u00FC'],
  ['63e6b0b4', '\u6C34'],
  ['64f0908591', '\u{10151}'],
  ['80', []],
  ['83010203', [1, 2, 3]],
  ['8301820203820405', [1, [2, 3], [4, 5]]],
  ['98190102030405060708090a0b0c0d0e0f101112131415161718181819', Array.from({ length: 25 }, (_, index) => index + 1)],
  ['a0', new Map()],
  ['a201020304', new Map([[1, 2], [3, 4]])], // prettier-ignore
  ['a26161016162820203', new Map<string, CborValue>([['a', 1], ['b', [2, 3]]])], // prettier-ignore
  ['826161a161626163', ['a', new Map([['b', 'c']])]],
  ['3a7fffffff', -2_147_483_648],
  ['3affffffff', -4_294_967_296],
  ['1b001fffffffffffff', Number.MAX_SAFE_INTEGER],
  ['1b0020000000000000', 9_007_199_254_740_992n],
  ['3b001ffffffffffffe', Number.MIN_SAFE_INTEGER],
  // The least number of each width, where one width less is one byte too short.
  ['190100', 2 ** 8],
  ['1a00010000', 2 ** 16],
  ['1b0000000100000000', 2 ** 32],
  // Keys that only their sign tells apart.
  ['a40001200221030104', new Map([[0, 1], [-1, 2], [-2, 3], [1, 4]])], // prettier-ignore
  // A byte order mark is one at the start alone.
  ['6461efbbbf', 'a\uFEFF'],
];

/** Appendix A's examples outside of the subset, and the malformed ones of appendix F, each with its code. */
const REFUSED: readonly (readonly [string, CborCode])[] = [
  ['', 'cbor/truncated'],
  ['18', 'cbor/truncated'],
  ['1900', 'cbor/truncated'],
  ['1b01020304050607', 'cbor/truncated'],
  ['41', 'cbor/truncated'],
  ['5bffffffffffffffff010203', 'cbor/truncated'],
  ['81', 'cbor/truncated'],
  ['818181818181818181', 'cbor/too-deep'],
  ['8200', 'cbor/truncated'],
  ['9a010ff00c', 'cbor/truncated'],
  ['bb8000000000000000', 'cbor/truncated'],
  ['a1', 'cbor/truncated'],
  ['a20102', 'cbor/truncated'],
  ['0000', 'cbor/trailing-bytes'],
  ['f600', 'cbor/trailing-bytes'],
  ['a201020102', 'cbor/duplicate-key'],
  ['a2616101616102', 'cbor/duplicate-key'],
  ['a1f600', 'cbor/key-type'],
  ['a1410000', 'cbor/key-type'],
  ['a11bffffffffffffffff00', 'cbor/key-type'],
  ['a18000', 'cbor/key-type'],
  ['c074323031332d30332d32315432303a30343a30305a', 'cbor/tag'],
  ['c249010000000000000000', 'cbor/tag'],
  ['d9d9f700', 'cbor/tag'],
  ['d28440a04040', 'cbor/tag'],
  ['f7', 'cbor/simple-value'],
  ['f0', 'cbor/simple-value'],
  ['f8ff', 'cbor/simple-value'],
  ['f818', 'cbor/simple-value'],
  ['f814', 'cbor/simple-value'],
  ['f90000', 'cbor/float'],
  ['fa47c35000', 'cbor/float'],
  ['fb3ff199999999999a', 'cbor/float'],
  ['5f42010243030405ff', 'cbor/indefinite-length'],
  ['7f657374726561646d696e67ff', 'cbor/indefinite-length'],
  ['9fff', 'cbor/indefinite-length'],
  ['bf61610161629f0203ffff', 'cbor/indefinite-length'],
  ['1800', 'cbor/not-shortest'],
  ['1817', 'cbor/not-shortest'],
  ['190018', 'cbor/not-shortest'],
  ['1a0000ffff', 'cbor/not-shortest'],
  ['1b00000000ffffffff', 'cbor/not-shortest'],
  ['580161', 'cbor/not-shortest'],
  ['980100', 'cbor/not-shortest'],
  ['61ff', 'cbor/text'],
  ['62c080', 'cbor/text'],
  ['63eda080', 'cbor/text'],
  ['63efbbbf', 'cbor/text'],
  ['1c', 'cbor/reserved'],
  ['5d', 'cbor/reserved'],
  ['fe', 'cbor/reserved'],
  ['ff', 'cbor/reserved'],
  ['81ff', 'cbor/reserved'],
  ['a1ff', 'cbor/truncated'],
  ['a1ff00', 'cbor/reserved'],
  ['1f', 'cbor/reserved'],
  ['df00', 'cbor/reserved'],
  ['5f00ff', 'cbor/reserved'],
  ['5f4100', 'cbor/truncated'],
  ['82f761', 'cbor/truncated'], // what is missing matters more than what is odd
  ['f700', 'cbor/trailing-bytes'],
  ['a261ff0061ff00', 'cbor/text'],
  ['3f', 'cbor/reserved'],
  ['a220012002', 'cbor/duplicate-key'],
  ['a11b001fffffffffffff00', 'cbor/key-type'],
  ['a17f6161ff00', 'cbor/indefinite-length'],
  ['6180', 'cbor/text'],
  ['d80000', 'cbor/not-shortest'],
];

describe('RFC 8949 examples', () => {
  test.each(EXAMPLES)('%s', (hex, value) => {
    expect(decodeCbor(fromHex(hex), LIMITS)).toStrictEqual(value);
    expect(toHex(encodeCbor(value))).toBe(hex);
  });

  test.each(REFUSED)('%s is refused as %s', (hex, code) => {
    expect(codeOf(() => decodeCbor(fromHex(hex), LIMITS))).toBe(code);
  });
});

describe('options and limits', () => {
  test('floats only where they are asked for', () => {
    expect(decodeCbor(fromHex('fb3ff199999999999a'), { ...LIMITS, floats: true })).toBe(1.1);
    expect(decodeCbor(fromHex('f93e00'), { ...LIMITS, floats: true })).toBe(1.5);
    expect(toHex(encodeCbor(1.1))).toBe('fb3ff199999999999a');
    expect(codeOf(() => decodeCbor(fromHex('f818'), { ...LIMITS, floats: true }))).toBe('cbor/simple-value');
  });

  test('foreign data may have indefinite arrays and maps, and long forms, but no chunked strings', () => {
    const foreign = { ...LIMITS, foreign: true };
    expect(decodeCbor(fromHex('bf61610161629f0203ffff'), foreign)).toStrictEqual(
      new Map<string, CborValue>([['a', 1], ['b', [2, 3]]]), // prettier-ignore
    );
    expect(decodeCbor(fromHex('1b0000000000000005'), foreign)).toBe(5);
    expect(decodeCbor(fromHex('a11b000000000000000500'), foreign)).toStrictEqual(new Map([[5, 0]]));
    expect(codeOf(() => decodeCbor(fromHex('5f42010243030405ff'), foreign))).toBe('cbor/indefinite-length');
    expect(codeOf(() => decodeCbor(fromHex('bf6161'), foreign))).toBe('cbor/truncated');
    expect(codeOf(() => decodeCbor(fromHex('9f00'), foreign))).toBe('cbor/truncated');
    expect(codeOf(() => decodeCbor(fromHex('bf6161ff'), foreign))).toBe('cbor/reserved');
    expect(codeOf(() => decodeCbor(fromHex('bf05001b000000000000000500ff'), foreign))).toBe('cbor/duplicate-key');
  });

  test('the outermost map may be written with indefinite length, those within it never', () => {
    const value = new Map<string, CborValue>([['a', 1], ['b', new Map([['c', 2]])]]); // prettier-ignore
    expect(toHex(encodeCbor(value, { indefiniteMap: true }))).toBe('bf6161016162a1616302ff');
    expect(decodeCbor(encodeCbor(value, { indefiniteMap: true }), { ...LIMITS, foreign: true })).toStrictEqual(value);
  });

  test('bytes, items and depth are bounded', () => {
    expect(codeOf(() => decodeCbor(new Uint8Array(9), { maxBytes: 8 }))).toBe('cbor/too-large');
    expect(codeOf(() => decodeCbor(fromHex('83010203'), { maxBytes: 8, maxItems: 3 }))).toBe('cbor/too-many-items');
    expect(codeOf(() => decodeCbor(fromHex('818100'), { maxBytes: 8, maxDepth: 1 }))).toBe('cbor/too-deep');
    expect(decodeCbor(fromHex('818100'), { maxBytes: 8, maxDepth: 2 })).toStrictEqual([[0]]);
    expect(decodeCbor(fromHex('83010203'), { maxBytes: 4, maxItems: 4 })).toStrictEqual([1, 2, 3]);
    // Tags and keys have depth as well, refused though they are.
    expect(codeOf(() => decodeCbor(fromHex('c0c000'), { maxBytes: 8, maxDepth: 1 }))).toBe('cbor/too-deep');
    expect(codeOf(() => decodeCbor(fromHex('c0c000'), { maxBytes: 8, maxDepth: 2 }))).toBe('cbor/tag');
    expect(codeOf(() => decodeCbor(fromHex('a181810000'), { maxBytes: 8, maxDepth: 2 }))).toBe('cbor/too-deep');
    expect(codeOf(() => decodeCbor(fromHex('a181810000'), { maxBytes: 8, maxDepth: 3 }))).toBe('cbor/key-type');
  });

  test('what is refused is said with the place', () => {
    const failure = failureOf(() => decodeCbor(fromHex('820018ff00'), LIMITS));
    expect(failure.where).toBe('offset 4');
    expect(failure.message).toBe('CBOR, offset 4: 1 bytes follow the end of the data');
    expect(failureOf(() => decodeCbor(fromHex('a201020102'), LIMITS)).message).toContain('the key 1 stands twice');
  });

  test('byte strings are copies, and the input is left as it was', () => {
    const bytes = fromHex('4401020304');
    const value = decodeCbor(bytes, LIMITS);
    bytes.fill(0);
    expect(value).toStrictEqual(Uint8Array.of(1, 2, 3, 4));
    expect(Object.keys(bytes)).toHaveLength(bytes.length);
  });

  test('byte strings are views of the input where that is asked for', () => {
    const bytes = fromHex('4401020304');
    const value = decodeCbor(bytes, { ...LIMITS, views: true });
    bytes.fill(0);
    expect([...(value instanceof Uint8Array ? value : [])]).toEqual([0, 0, 0, 0]);
  });

  test('a bigint of 0 is a number', () => {
    expect(toHex(encodeCbor(0n))).toBe('00');
  });

  test('a Buffer gives plain byte strings', () => {
    const value = decodeCbor(Buffer.from('4401020304', 'hex'), LIMITS);
    expect(Object.getPrototypeOf(value)).toBe(Uint8Array.prototype);
  });

  test.each<readonly [string, CborValue]>([
    ['half a surrogate pair', '\uD800'],
    ['a byte order mark', '\uFEFFx'],
    ['an integer beyond 2^53', 2 ** 60],
    ['an integer beyond 64 bits', 2n ** 64n],
    ['a fractional key', new Map([[0.5, 1]])],
    ['a plain object', JSON.parse('{}')],
  ])('%s cannot be encoded', (_, value) => {
    expect(codeOf(() => encodeCbor(value))).toBe('cbor/not-encodable');
  });
});

const text = fc.string({ unit: 'grapheme', maxLength: 80 }).filter((candidate) => !candidate.startsWith('\uFEFF'));
const integer = fc.oneof(
  fc.maxSafeInteger(),
  fc
    .bigInt({ min: -(2n ** 64n), max: 2n ** 64n - 1n })
    .filter((candidate) => candidate > 2n ** 53n || candidate < -(2n ** 53n)),
);
const { value: anyValue } = fc.letrec<{ value: CborValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom(null, true, false),
    integer,
    text,
    fc.uint8Array({ maxLength: 300 }),
    fc.array(tie('value'), { maxLength: 6 }),
    fc.array(fc.tuple(fc.oneof(text, fc.maxSafeInteger().filter((key) => key < Number.MAX_SAFE_INTEGER)), tie('value')), { maxLength: 6 }).map((entries) => new Map(entries)), // prettier-ignore
  ),
}));

describe('properties', () => {
  test('what is encoded decodes to itself, and to the same bytes again', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        const bytes = encodeCbor(value);
        const decoded = decodeCbor(bytes, { maxBytes: 1 << 20 });
        expect(decoded).toStrictEqual(value);
        expect(encodeCbor(decoded)).toStrictEqual(bytes);
      }),
      { numRuns: 400 },
    );
  });

  test('any bytes give a value, whose encoding is those bytes, or a coded failure', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        let value: CborValue;
        try {
          value = decodeCbor(bytes, LIMITS);
        } catch (error) {
          expect(error).toBeInstanceOf(Failure);
          return;
        }
        expect(encodeCbor(value)).toStrictEqual(bytes);
      }),
      { numRuns: 3000 },
    );
  });

  test('one changed, dropped or added byte gives another value or a coded failure', () => {
    fc.assert(
      fc.property(
        anyValue,
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        fc.boolean(),
        (value, position, flip, foreign) => {
          const bytes = encodeCbor(value);
          const at = position % bytes.length;
          bytes[at] = (bytes[at] ?? 0) ^ flip;
          try {
            expect(decodeCbor(bytes, { ...LIMITS, foreign })).not.toStrictEqual(value);
          } catch (error) {
            expect(error).toBeInstanceOf(Failure);
          }
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe('mapReader', () => {
  const CODES = { type: 'x/type', missing: 'x/missing', size: 'x/size', unknown: 'x/unknown' } as const;
  const hello = (): Map<string, CborValue> => new Map<string, CborValue>([['v', 1], ['nonce', new Uint8Array(32)], ['name', 'é'], ['list', [1]], ['deep', new Map([['on', true]])], ['none', null]]); // prettier-ignore

  test('reads what is there', () => {
    const map = mapReader(hello(), 'x/malformed', 'hello');
    expect(map.uint('v', { max: 1 })).toBe(1);
    expect(map.bytes('nonce', { exact: 32 })).toHaveLength(32);
    expect(map.text('name', { max: 2 })).toBe('é');
    expect(map.oneOf('name', ['e', 'é'])).toBe('é');
    expect(map.array('list', { max: 1 })).toStrictEqual([1]);
    expect(map.map('deep').boolean('on')).toBe(true);
    expect(map.optionalBytes('none', { max: 1 }, true)).toBeUndefined();
    expect(map.optionalText('absent', { max: 1 })).toBeUndefined();
    map.done();
  });

  test('reads what stands at its bounds', () => {
    const map = mapReader(hello(), 'x/malformed', 'hello');
    expect(map.uint('v', { min: 1, max: 1 })).toBe(1);
    expect(map.bytes('nonce', { min: 32, max: 32 })).toHaveLength(32);
  });

  test('what may be null or absent, and what is there', () => {
    const map = mapReader(hello(), CODES, 'hello');
    expect(map.optionalText('name', { max: 2 })).toBe('é');
    expect(map.optionalBytes('nonce', { max: 32 })).toHaveLength(32);
    expect(map.optionalText('none', { max: 2 }, true)).toBeUndefined();
    expect(map.has('v')).toBe(true);
    expect(map.has('absent')).toBe(false);
    expect(codeOf(() => map.optionalText('none', { max: 2 }))).toBe('x/type');
  });

  test('whoever takes all entries has asked for each', () => {
    const map = mapReader(hello(), CODES, 'hello');
    expect(map.entries()).toStrictEqual([...hello()]);
    map.done();
  });

  test('says what is wanted', () => {
    const map = mapReader(hello(), CODES, 'hello');
    expect(() => map.bytes('nonce', { exact: 16 })).toThrow('hello.nonce has 32 bytes; it must have 16');
    expect(() => map.bytes('nonce', { min: 33 })).toThrow('hello.nonce has 32 bytes; it needs at least 33');
    expect(() => map.bytes('nonce', { max: 31 })).toThrow('hello.nonce has 32 bytes; it may have at most 31');
    expect(() => map.uint('v', { min: 2, max: 3 })).toThrow('hello.v is 1; it must be from 2 to 3');
    expect(() => map.oneOf('name', ['a', 'b'])).toThrow('hello.name is not one of a, b');
    expect(failureOf(() => map.done()).where).toBe('hello.list');
  });

  test.each<readonly [string, string, (map: ReturnType<typeof mapReader>) => unknown]>([
    ['x/missing', 'an absent key', (map) => map.uint('absent')],
    ['x/type', 'another type', (map) => map.text('v', { max: 9 })],
    ['x/type', 'null where only absence is allowed', (map) => map.optionalBytes('none', { max: 1 })],
    ['x/type', 'a value outside of the list', (map) => map.oneOf('name', ['a'])],
    ['x/size', 'too many bytes', (map) => map.bytes('nonce', { max: 31 })],
    ['x/size', 'too few bytes', (map) => map.bytes('nonce', { min: 33 })],
    ['x/size', 'not the exact length', (map) => map.bytes('nonce', { exact: 16 })],
    ['x/size', 'text counted in bytes', (map) => map.text('name', { max: 1 })],
    ['x/size', 'a number out of range', (map) => map.uint('v', { min: 2 })],
    ['x/size', 'too many entries', (map) => map.array('list', { max: 0 })],
    ['x/unknown', 'a key nobody asked for', (map) => map.done()],
    ['x/type', 'a map that is none', (map) => map.map('v')],
    ['x/type', 'a text where a number is wanted', (map) => map.uint('name')],
    ['x/type', 'a fraction', () => mapReader(new Map([['v', 0.5]]), CODES).uint('v')],
    ['x/type', 'a number where true or false is wanted', (map) => map.boolean('v')],
    ['x/type', 'a number where an array is wanted', (map) => map.array('v')],
    ['x/type', 'a text where an array is wanted', (map) => map.array('name')],
    ['x/size', 'a number above what is taken', (map) => map.uint('v', { max: 0 })],
  ])('%s: %s', (code, _, read) => {
    expect(codeOf(() => read(mapReader(hello(), CODES, 'hello')))).toBe(code);
  });

  test('names the place', () => {
    expect(() => mapReader(hello(), CODES, 'hello').map('deep').uint('on')).toThrow(/^hello\.deep\.on is not/);
    expect(codeOf(() => mapReader([1], CODES))).toBe('x/type');
  });
});
