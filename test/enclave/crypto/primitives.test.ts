import { createHash, createHmac, hkdfSync } from 'node:crypto';
import { inspect } from 'node:util';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { importAeadKey, open, seal } from '../../../enclave/crypto/aead.ts';
import { constantTimeEqual, sha256, sha384 } from '../../../enclave/crypto/digest.ts';
import { concat } from '../../../enclave/encoding/bytes.ts';
import { hkdfExpand, hkdfExtract, hmacSha256 } from '../../../enclave/crypto/kdf.ts';
import { mixRandom } from '../../../enclave/crypto/random.ts';
import { fromHex, toHex } from '../../../enclave/encoding/hex.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const some = fc.uint8Array({ maxLength: 300 });

describe('digest', () => {
  test('FIPS 180-4 examples', async () => {
    expect(toHex(await sha256(bytes('abc')))).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    expect(toHex(await sha384(bytes('abc')))).toBe(
      'cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7',
    );
  });

  test('parts are hashed one after the other', async () => {
    await fc.assert(
      fc.asyncProperty(some, some, async (a, b) => {
        expect(toHex(await sha384(a, b))).toBe(createHash('sha384').update(a).update(b).digest('hex'));
      }),
    );
  });

  test('equal is equal in content and length', () => {
    fc.assert(fc.property(some, some, (a, b) => constantTimeEqual(a, b) === (toHex(a) === toHex(b))));
    fc.assert(
      fc.property(some, (a) => constantTimeEqual(a, concat(a)) && !constantTimeEqual(a, concat(a, Uint8Array.of(1)))),
    );
  });
});

describe('aead', () => {
  // McGrew and Viega, "The Galois/Counter Mode of Operation", test case 16 (AES-256, with additional data).
  const vector = {
    key: 'feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308',
    nonce: 'cafebabefacedbaddecaf888',
    aad: 'feedfacedeadbeeffeedfacedeadbeefabaddad2',
    plaintext:
      'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39',
    ciphertext:
      '522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662',
    tag: '76fc6ece0f4e1768cddf8853bb2d551b',
  };

  test('GCM test case 16', async () => {
    const key = await importAeadKey(fromHex(vector.key));
    const sealed = await seal(key, fromHex(vector.nonce), fromHex(vector.aad), fromHex(vector.plaintext));
    expect(toHex(sealed)).toBe(vector.ciphertext + vector.tag);
    expect(toHex(await open(key, fromHex(vector.nonce), fromHex(vector.aad), sealed))).toBe(vector.plaintext);
  });

  test('anything changed anywhere is one and the same refusal', async () => {
    const key = await importAeadKey(fromHex(vector.key));
    const other = await importAeadKey(new Uint8Array(32));
    const nonce = fromHex(vector.nonce);
    const aad = fromHex(vector.aad);
    const sealed = fromHex(vector.ciphertext + vector.tag);
    const flip = (array: Uint8Array, at: number): Uint8Array => array.map((byte, i) => (i === at ? byte ^ 1 : byte));
    const refused = { code: 'aead/unauthentic', kind: 'refused' };
    for (let at = 0; at < sealed.length; at++) {
      await expect(open(key, nonce, aad, flip(sealed, at))).rejects.toMatchObject(refused);
    }
    await expect(open(other, nonce, aad, sealed)).rejects.toMatchObject(refused);
    await expect(open(key, flip(nonce, 11), aad, sealed)).rejects.toMatchObject(refused);
    await expect(open(key, nonce, flip(aad, 0), sealed)).rejects.toMatchObject(refused);
    for (const length of [0, 1, 15, 16, sealed.length - 1]) {
      await expect(open(key, nonce, aad, sealed.subarray(0, length))).rejects.toMatchObject(refused);
    }
  });

  test('wrong sizes of key and nonce are our own mistakes', async () => {
    await expect(importAeadKey(new Uint8Array(16))).rejects.toThrow(RangeError);
    const key = await importAeadKey(new Uint8Array(32));
    await expect(seal(key, new Uint8Array(16), new Uint8Array(0), new Uint8Array(0))).rejects.toThrow(RangeError);
  });

  test('a key that is shown or written down shows nothing', async () => {
    const raw = Buffer.from('0123456789abcdef0123456789abcdef');
    const key = await importAeadKey(raw);
    const shown = [inspect(key, { depth: null, showHidden: true }), JSON.stringify(key)].join(' ');
    for (const part of ['0123456789', raw.toString('hex').slice(0, 8), '48, 49, 50']) expect(shown).not.toContain(part);
  });

  test('what the caller changes afterwards changes nothing', async () => {
    const key = await importAeadKey(new Uint8Array(32));
    const nonce = new Uint8Array(12);
    const plaintext = bytes('as it was');
    const sealing = seal(key, nonce, new Uint8Array(0), plaintext);
    plaintext.fill(0);
    nonce.fill(9);
    expect(await open(key, new Uint8Array(12), new Uint8Array(0), await sealing)).toEqual(bytes('as it was'));
  });
});

describe('kdf', () => {
  test('RFC 4231 test case 2', async () => {
    expect(toHex(await hmacSha256(bytes('Jefe'), bytes('what do ya want for nothing?')))).toBe(
      '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
    );
  });

  test('HKDF-SHA-384 equals Node’s at every length around a block', async () => {
    const secret = fc.uint8Array({ minLength: 1, maxLength: 100 });
    await fc.assert(
      fc.asyncProperty(
        secret,
        some,
        some,
        fc.constantFrom(0, 1, 47, 48, 49, 96, 97, 500),
        async (ikm, salt, info, length) => {
          const ours = await hkdfExpand(await hkdfExtract(salt, ikm), info, length);
          const theirs = length === 0 ? new ArrayBuffer(0) : hkdfSync('sha384', ikm, salt, info, length);
          expect(ours).toEqual(new Uint8Array(theirs));
        },
      ),
      { numRuns: 50 },
    );
  });

  test('an absent salt is 48 zero bytes', async () => {
    const expected = createHmac('sha384', new Uint8Array(48)).update('secret').digest('hex');
    expect(toHex(await hkdfExtract(undefined, bytes('secret')))).toBe(expected);
    expect(toHex(await hkdfExtract(new Uint8Array(0), bytes('secret')))).toBe(expected);
  });

  test.each([-1, 12_241, 1.5, Number.NaN])('%s bytes are not to be had', async (length) => {
    await expect(hkdfExpand(new Uint8Array(48), 'x', length)).rejects.toThrow(RangeError);
  });
});

describe('random', () => {
  const constant = (value: number) => (length: number) => new Uint8Array(length).fill(value);

  test('every source counts, and so does its place', async () => {
    const outputs = await Promise.all(
      [[constant(0), constant(0)], [constant(1), constant(0)], [constant(0), constant(1)], [constant(0)]].map(
        async (sources) => toHex(await mixRandom(sources)(64)),
      ),
    );
    expect(new Set(outputs).size).toBe(4);
  });

  test('a dead source does no harm where another lives', async () => {
    let calls = 0;
    const living = (length: number): Uint8Array => new Uint8Array(length).fill(calls++);
    const mixed = mixRandom([constant(0), living]);
    expect(toHex(await mixed(32))).not.toBe(toHex(await mixed(32)));
    expect(await mixed(1000)).toHaveLength(1000);
  });

  test('a source that answers short, or none at all, is not accepted', async () => {
    await expect(mixRandom([(length) => new Uint8Array(length - 1)])(8)).rejects.toThrow('instead of 48');
    expect(() => mixRandom([])).toThrow(RangeError);
  });
});

test('HKDF-Expand takes a text for its UTF-8', async () => {
  const key = new Uint8Array(48).fill(1);
  const text = toHex(await hkdfExpand(key, 'accord/ü', 32));
  expect(text).toBe(toHex(await hkdfExpand(key, bytes('accord/ü'), 32)));
  expect(text).not.toBe(toHex(await hkdfExpand(key, 'accord/u', 32)));
  expect(await hkdfExpand(key, 'x', 12_240)).toHaveLength(12_240);
});
