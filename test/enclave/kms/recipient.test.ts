import { createPrivateKey, createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { sha256 } from '../../../enclave/crypto/digest.ts';
import { concat } from '../../../enclave/encoding/bytes.ts';
import { toHex } from '../../../enclave/encoding/hex.ts';
import { parseBer } from '../../../enclave/kms/ber.ts';
import { openForRecipient, readEnvelopedData } from '../../../enclave/kms/recipient.ts';
import type { RecipientKey } from '../../../enclave/kms/recipient.ts';
import { Failure } from '../../../policies/failure.ts';
import { describeWithVectors } from '../../vectors.ts';
import { OIDS, envelopedParts, writeEnvelopedData } from './enveloped-data.ts';
import type { Parts } from './enveloped-data.ts';
import { makeRecipientKey } from './recipient-key.ts';

interface Vector {
  readonly file: string;
  readonly privateKey: string | null;
  readonly expected: {
    readonly plaintextHex?: string;
    readonly encryptedKeyHex?: string;
    readonly ciphertextHex?: string;
  };
  readonly parsed: { readonly ski: string; readonly iv: string };
}

describeWithVectors('real CiphertextForRecipient blobs of KMS', (folder) => {
  const cms = join(folder, 'cms');
  const index: readonly Vector[] = JSON.parse(readFileSync(join(cms, 'index.json'), 'utf8'));
  const bytesOf = (file: string): Uint8Array => new Uint8Array(readFileSync(join(cms, file)));

  test.each(index)('$file is read', ({ file, parsed, expected }) => {
    const envelope = readEnvelopedData(bytesOf(file));
    expect(toHex(envelope.recipient)).toBe(parsed.ski);
    expect(toHex(envelope.iv)).toBe(parsed.iv);
    if (expected.encryptedKeyHex !== undefined) expect(toHex(envelope.encryptedKey)).toBe(expected.encryptedKeyHex);
    if (expected.ciphertextHex !== undefined) expect(toHex(envelope.ciphertext)).toBe(expected.ciphertextHex);
  });

  test.each(index)('$file: every cut and every trailing byte is refused', ({ file }) => {
    const bytes = bytesOf(file);
    for (let length = 0; length < bytes.length; length += 1) {
      expect(() => readEnvelopedData(bytes.subarray(0, length)), `${length} bytes`).toThrow(Failure);
    }
    expect(() => readEnvelopedData(concat(bytes, Uint8Array.of(0)))).toThrow(Failure);
  });

  test('edgebit.ber opens with its key', async () => {
    const vector = index.find(({ privateKey }) => privateKey !== null);
    const pem = createPrivateKey(readFileSync(join(cms, vector?.privateKey ?? ''), 'utf8'));
    const spki = new Uint8Array(createPublicKey(pem).export({ type: 'spki', format: 'der' }));
    const pkcs8 = new Uint8Array(pem.export({ type: 'pkcs8', format: 'der' }));
    const algorithm = { name: 'RSA-OAEP', hash: 'SHA-256' };
    const privateKey = await crypto.subtle.importKey('pkcs8', pkcs8, algorithm, false, ['decrypt']);
    const key = { privateKey, spki, id: await sha256(spki) };
    expect(toHex(await openForRecipient(bytesOf(vector?.file ?? ''), key))).toBe(vector?.expected.plaintextHex);
  });
});

let key: RecipientKey;
let parts: Parts;
const PLAINTEXT = new TextEncoder().encode('thirty-two bytes of a data key..');

beforeAll(async () => {
  key = await makeRecipientKey();
  parts = await envelopedParts(key.spki, PLAINTEXT);
});

describe('the envelope', () => {
  test.each(['indefinite', 'definite', 'primitive', 'two-chunks'] as const)('opens in the form %s', async (form) => {
    expect(await openForRecipient(writeEnvelopedData(parts, form), key)).toEqual(PLAINTEXT);
  });

  const TAMPERINGS: Readonly<Record<string, (parts: Parts) => Parts>> = {
    anotherType: (p) => ({ ...p, outerType: OIDS.data }),
    version0: (p) => ({ ...p, version: 0 }),
    recipientVersion0: (p) => ({ ...p, recipientVersion: 0 }),
    shortKeyIdentifier: (p) => ({ ...p, recipient: p.recipient.subarray(0, 20) }),
    anotherKeyAlgorithm: (p) => ({ ...p, keyAlgorithm: '1.2.840.113549.1.1.1' }),
    oaepWithSha1: (p) => ({ ...p, oaepHash: OIDS.sha1 }),
    maskWithSha1: (p) => ({ ...p, maskHash: OIDS.sha1 }),
    anotherContentType: (p) => ({ ...p, contentType: OIDS.envelopedData }),
    aes128: (p) => ({ ...p, cipher: OIDS.aes128 }),
    shortIv: (p) => ({ ...p, iv: p.iv.subarray(0, 12) }),
    halfABlock: (p) => ({ ...p, ciphertext: p.ciphertext.subarray(0, 24) }),
    emptyContent: (p) => ({ ...p, ciphertext: new Uint8Array(0) }),
    shortEncryptedKey: (p) => ({ ...p, encryptedKey: p.encryptedKey.subarray(0, 128) }),
    hugeContent: (p) => ({ ...p, ciphertext: new Uint8Array(4128) }),
  };

  test.each(Object.entries(TAMPERINGS))('%s is refused before anything is decrypted', (_, tamper) => {
    expect(() => readEnvelopedData(writeEnvelopedData(tamper(parts)))).toThrow(
      expect.objectContaining({ code: 'kms/envelope-malformed', kind: 'malformed' }),
    );
  });

  test('every way of not opening says the same', async () => {
    const other = await makeRecipientKey();
    const flip = (bytes: Uint8Array, at: number): Uint8Array => bytes.map((byte, i) => (i === at ? byte ^ 1 : byte));
    const wrong = [
      await envelopedParts(other.spki, PLAINTEXT),
      { ...parts, recipient: other.id },
      { ...parts, encryptedKey: flip(parts.encryptedKey, 100) },
      { ...parts, iv: flip(parts.iv, 0), ciphertext: parts.ciphertext.subarray(0, 32) },
      { ...parts, ciphertext: parts.ciphertext.subarray(0, 16) },
      { ...(await envelopedParts(key.spki, PLAINTEXT, new Uint8Array(16))), cipher: OIDS.aes256 },
    ];
    const said = new Set<string>();
    for (const one of wrong) {
      const error: unknown = await openForRecipient(writeEnvelopedData(one), key).catch((error: unknown) => error);
      expect(error).toMatchObject({ code: 'kms/envelope-unopened', kind: 'refused' });
      expect(error).not.toHaveProperty('cause');
      if (error instanceof Error) said.add(error.message);
    }
    expect(said.size).toBe(1);
  });
});

describe('BER', () => {
  test('any bytes give an element or a coded failure', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
        try {
          parseBer(bytes);
        } catch (error) {
          expect(error).toMatchObject({ code: 'kms/ber-malformed' });
        }
      }),
    );
  });

  test('flipping any one byte of an envelope gives an envelope or a coded failure', () => {
    const bytes = writeEnvelopedData(parts);
    for (let at = 0; at < bytes.length; at += 1) {
      const flipped = bytes.map((byte, i) => (i === at ? byte ^ 0x81 : byte));
      try {
        readEnvelopedData(flipped);
      } catch (error) {
        expect(error).toMatchObject({ kind: 'malformed' });
      }
    }
  });

  test.each([
    ['a long length where a short one does', [0x04, 0x81, 0x01, 0x00]],
    ['a primitive element of indefinite length', [0x04, 0x80, 0x00, 0x00]],
    ['an indefinite length without end', [0x30, 0x80, 0x05, 0x00]],
    ['a high tag number', [0x1f, 0x81, 0x00, 0x00]],
    ['four bytes of length', [0x04, 0x84, 0x00, 0x00, 0x00, 0x00]],
    ['an element beyond its surroundings', [0x30, 0x02, 0x04, 0x05, 0x01]],
    ['an element beyond its surroundings, of bytes that are there', [0x30, 0x06, 0x30, 0x02, 0x04, 0x02, 0x05, 0x00]],
    ['an element that ends before its bytes do', [0x05, 0x00, 0x00]],
    ['tag 0', [0x30, 0x02, 0x00, 0x00]],
    ['nothing', []],
    [
      'nesting of a depth that ends',
      [...Array.from({ length: 14 }, (_, i) => [0x30, 2 * (14 - i)]).flat(), 0x05, 0x00],
    ],
    ['deep nesting', Array.from({ length: 40 }, () => [0x30, 0x80]).flat()],
    ['many elements', [0x30, 0x81, 0x84, ...Array.from({ length: 66 }, () => [0x05, 0x00]).flat()]],
  ])('refuses %s', (_, bytes) => {
    expect(() => parseBer(Uint8Array.from(bytes))).toThrow(expect.objectContaining({ code: 'kms/ber-malformed' }));
  });
});
