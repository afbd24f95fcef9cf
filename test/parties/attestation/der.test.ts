import { generateKeyPairSync } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DER, context, der, readBits, readBoolean, readDer, readOid, readSmall, readTime, readUnsigned, within } from '../../../parties/attestation/der.ts'; // prettier-ignore
import type { DerCode, DerElement, DerReader } from '../../../parties/attestation/der.ts';
import { derOid, derUnsigned } from './der-writer.ts';
import { fromHex, toHex } from '../../../enclave/encoding/hex.ts';
import { Failure } from '../../../policies/failure.ts';
import { codeOf } from '../../enclave/code-of.ts';

const element = (hex: string): DerElement => readDer(fromHex(hex));
const text = (identifier: number, ascii: string): DerElement =>
  readDer(der(identifier, new TextEncoder().encode(ascii)));

describe('elements', () => {
  test('identifier, length and content, in all forms of length', () => {
    for (const length of [0, 1, 127, 128, 255, 256, 65_535, 65_536]) {
      const bytes = der(DER.octetString, new Uint8Array(length));
      const read = readDer(bytes, DER.octetString);
      expect(read.content).toHaveLength(length);
      expect(read.bytes).toHaveLength(bytes.length);
    }
    expect(toHex(der(DER.sequence, derUnsigned(Uint8Array.of(1)), der(DER.null)))).toBe('30050201010500');
    expect([context(0, true), context(3, true), context(0, false)]).toStrictEqual([0xa0, 0xa3, 0x80]);
  });

  test.each<readonly [DerCode, string, string]>([
    ['der/truncated', 'nothing', ''],
    ['der/truncated', 'no length', '30'],
    ['der/truncated', 'a length without content', '3001'],
    ['der/truncated', 'a length cut short', '308201'],
    ['der/trailing-bytes', 'something after the end', '050000'],
    ['der/length', 'indefinite', '30800000'],
    ['der/length', 'one byte where none is needed', '04810100'],
    ['der/length', 'two bytes where one is enough', '048200ff'],
    ['der/length', 'more than four bytes', '04850000000001'],
    ['der/truncated', 'four bytes that say more than there is', '0484ffffffff'],
    ['der/tag', 'a tag number above 30', '1f2000'],
  ])('%s: %s', (code, _, hex) => {
    expect(codeOf(() => element(hex))).toBe(code);
  });

  test('a reader takes them one by one, and knows where they stand', () => {
    const reader = within(element('300a020101040302ff00a100'));
    expect(reader.optional(DER.boolean)).toBeUndefined();
    expect(readSmall(reader.next(DER.integer))).toBe(1);
    const octets = reader.next();
    expect(octets.offset).toBe(5);
    expect(toHex(octets.content)).toBe('02ff00');
    expect(codeOf(() => reader.next(context(2, true)))).toBe('der/tag');
    expect(reader.optional(context(1, true))?.content).toHaveLength(0);
    expect(reader.atEnd).toBe(true);
    reader.done();
    expect(codeOf(() => reader.next())).toBe('der/truncated');
    expect(codeOf(() => within(element('300405000500')).done())).toBe('der/trailing-bytes');
  });

  test.each<readonly [string, string, (reader: DerReader) => unknown]>([
    ['another tag', 'offset 9', (reader) => reader.next(DER.boolean)],
    ['what is left over', 'offset 9', (reader) => reader.done()],
    ['an element cut short', 'offset 12', (reader) => (reader.next(), reader.next())],
  ])('says where: %s', (_, where, run) => {
    // A null and, in a sequence, two integers and the beginning of a third.
    const reader = within(element('300b0500300702010102010202'));
    reader.next();
    const nested = within(reader.next(DER.sequence));
    nested.next();
    expect(() => run(nested)).toThrow(expect.objectContaining({ where }));
  });
});

describe('values', () => {
  test('booleans', () => {
    expect([readBoolean(element('0101ff')), readBoolean(element('010100'))]).toStrictEqual([true, false]);
    for (const hex of ['010101', '0100', '0102ffff']) expect(codeOf(() => readBoolean(element(hex)))).toBe('der/value');
    expect(codeOf(() => readBoolean(element('0201ff')))).toBe('der/tag');
  });

  test('integers', () => {
    expect(toHex(readUnsigned(element('02020080')))).toBe('80');
    expect(toHex(readUnsigned(element('020100')))).toBe('00');
    expect(readSmall(element('02047fffffff'))).toBe(2 ** 31 - 1);
    for (const hex of ['0200', '0201ff', '02020001', '0202ff00']) {
      expect(codeOf(() => readUnsigned(element(hex)))).toBe('der/value');
    }
    expect(codeOf(() => readSmall(element('02050080000000')))).toBe('der/value');
  });

  test('integers, both ways', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 50 }), (magnitude) => {
        const stripped = toHex(magnitude).replace(/^(00)+(?=..)/, '');
        expect(toHex(readUnsigned(readDer(derUnsigned(magnitude))))).toBe(stripped);
      }),
    );
  });

  test.each([
    '1.2.840.10045.4.3.3',
    '2.5.29.19',
    '0.9.2342.19200300.100.1.1',
    '2.999.3',
    '1.3.6.1.4.1.55555',
    '1.2.16384',
  ])('object identifier %s, both ways', (oid) => expect(readOid(readDer(derOid(oid)))).toBe(oid));

  test.each([['0600'], ['060180'], ['06028001'], ['06022a80'], ['06032a8001'], ['060a2affffffffffffffff7f']])(
    'object identifier %s is refused',
    (hex) => expect(codeOf(() => readOid(element(hex)))).toBe('der/value'),
  );

  test('bit strings', () => {
    expect(readBits(element('03020780'))).toStrictEqual({ bytes: Uint8Array.of(0x80), unused: 7 });
    expect(readBits(element('030100'))).toStrictEqual({ bytes: new Uint8Array(), unused: 0 });
    for (const hex of ['0300', '030101', '03020880', '03020781']) {
      expect(codeOf(() => readBits(element(hex)))).toBe('der/value');
    }
  });

  test('times', () => {
    expect(readTime(text(DER.utcTime, '491028142805Z'))).toBe(Date.UTC(2049, 9, 28, 14, 28, 5));
    expect(readTime(text(DER.utcTime, '500101000000Z'))).toBe(Date.UTC(1950, 0, 1));
    expect(readTime(text(DER.utcTime, '240229235959Z'))).toBe(Date.UTC(2024, 1, 29, 23, 59, 59));
    expect(readTime(text(DER.generalizedTime, '20500101000000Z'))).toBe(Date.UTC(2050, 0, 1));
    expect(readTime(text(DER.generalizedTime, '99991231235959Z'))).toBe(Date.UTC(9999, 11, 31, 23, 59, 59));
  });

  test.each<readonly [number, string]>([
    [DER.utcTime, '250229000000Z'],
    [DER.utcTime, '251301000000Z'],
    [DER.utcTime, '251231240000Z'],
    [DER.utcTime, '251231235960Z'],
    [DER.utcTime, '2512312359Z'],
    [DER.utcTime, '251231235959+0100'],
    [DER.utcTime, '251231235959'],
    [DER.utcTime, ''],
    [DER.generalizedTime, '20251231235959.5Z'],
    [DER.generalizedTime, '2025-12-31T23:59'],
    [DER.generalizedTime, '251231235959Z'],
  ])('time %i %s is refused', (identifier, ascii) => {
    expect(codeOf(() => readTime(text(identifier, ascii)))).toBe('der/value');
  });

  test('neither of the two kinds of time', () => {
    expect(codeOf(() => readTime(element('020101')))).toBe('der/tag');
  });
});

test('what another implementation wrote: a public key', () => {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  const spki = within(readDer(new Uint8Array(publicKey.export({ format: 'der', type: 'spki' })), DER.sequence));
  const algorithm = within(spki.next(DER.sequence));
  expect([readOid(algorithm.next()), readOid(algorithm.next())]).toStrictEqual(['1.2.840.10045.2.1', '1.3.132.0.34']);
  expect(readBits(spki.next(DER.bitString)).bytes).toHaveLength(97);
  spki.done();
});

test('any bytes give an element, which is all of them, or a coded failure', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      try {
        const read = readDer(bytes);
        expect(der(read.identifier, read.content)).toStrictEqual(bytes);
        for (const reader = within(read); !reader.atEnd;) reader.next();
      } catch (error) {
        expect(error).toBeInstanceOf(Failure);
      }
    }),
    { numRuns: 3000 },
  );
});
