import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromBase64, fromBase64url, toBase64, toBase64url } from '../../../enclave/encoding/base64url.ts';
import { fromHex, toHex } from '../../../enclave/encoding/hex.ts';
import { Failure } from '../../../policies/failure.ts';

const bytes = fc.uint8Array({ maxLength: 100 });

describe('hexadecimal', () => {
  test('both ways, as Node has it', () => {
    fc.assert(
      fc.property(bytes, (value) => {
        expect(toHex(value)).toBe(Buffer.from(value).toString('hex'));
        expect(fromHex(toHex(value).toUpperCase())).toStrictEqual(value);
      }),
    );
  });

  test.each(['0', 'abc', '0x00', 'zz', '00 00', '０0', '00\n'])('%j is refused', (text) => {
    expect(() => fromHex(text, 'the nonce')).toThrow(
      expect.objectContaining({ code: 'hex/malformed', where: 'the nonce' }),
    );
  });
});

describe('base64', () => {
  /** RFC 4648, section 10. */
  test.each([
    ['', ''],
    ['f', 'Zg=='],
    ['fo', 'Zm8='],
    ['foo', 'Zm9v'],
    ['foob', 'Zm9vYg=='],
    ['fooba', 'Zm9vYmE='],
    ['foobar', 'Zm9vYmFy'],
  ])('%j is %j', (text, encoded) => {
    const value = new TextEncoder().encode(text);
    expect(toBase64(value)).toBe(encoded);
    expect(fromBase64(encoded)).toStrictEqual(value);
    expect(toBase64url(value)).toBe(encoded.replaceAll('=', ''));
    expect(fromBase64url(encoded.replaceAll('=', ''))).toStrictEqual(value);
  });

  test('both ways, as Node has it', () => {
    fc.assert(
      fc.property(bytes, (value) => {
        expect(toBase64(value)).toBe(Buffer.from(value).toString('base64'));
        expect(toBase64url(value)).toBe(Buffer.from(value).toString('base64url'));
        expect(fromBase64(toBase64(value))).toStrictEqual(value);
        expect(fromBase64url(toBase64url(value))).toStrictEqual(value);
      }),
    );
  });

  test.each([
    'Zg',
    'Zg=',
    'Zg===',
    'Z',
    '=',
    '====',
    'Zh==',
    'Zm9=',
    'Zm9v=',
    'Z=g=',
    'Zm9v\n',
    ' Zm9v',
    '-_==',
    'Zm9vZ',
  ])('base64 %j is refused', (text) => expect(() => fromBase64(text)).toThrow(Failure));

  test.each(['Z', 'Zg==', 'Zh', 'Zm9', '+/', 'Zm9v ', 'Zm9vZ'])('base64url %j is refused', (text) => {
    expect(() => fromBase64url(text, 'x')).toThrow(expect.objectContaining({ code: 'base64/malformed', where: 'x' }));
  });

  test('each sequence of bytes has one text', () => {
    const digit = fc.constantFrom('A', 'B', 'w', 'x', 'g', '0', '9', '-', '_');
    fc.assert(
      fc.property(fc.array(digit, { maxLength: 12 }), (digits) => {
        const text = digits.join('');
        try {
          expect(toBase64url(fromBase64url(text))).toBe(text);
        } catch (error) {
          expect(error).toBeInstanceOf(Failure);
        }
      }),
    );
  });
});
