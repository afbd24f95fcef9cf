import { createDecipheriv } from 'node:crypto';
import * as fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { expectSameBytes } from '../../same-bytes.ts';
import { importAeadKey } from '../../../enclave/crypto/aead.ts';
import { concat } from '../../../enclave/encoding/bytes.ts';
import { STREAM, openStream, sealStream, sealedStreamBytes } from '../../../enclave/crypto/stream.ts';
import type { StreamKey } from '../../../enclave/crypto/stream.ts';

const CHUNK = STREAM.chunkBytes;
const SEALED = CHUNK + 16;
const RAW = new Uint8Array(32).fill(7);
const PREFIX = Uint8Array.of(1, 2, 3, 4, 5, 6, 7);
let stream: StreamKey;
beforeAll(async () => {
  stream = { key: await importAeadKey(RAW), prefix: PREFIX, additionalData: Uint8Array.of(42) };
});

const pattern = (length: number): Uint8Array => new Uint8Array(length).map((_, i) => (i * 31 + (i >> 8)) & 255);
const collect = async (source: AsyncIterable<Uint8Array>): Promise<Uint8Array> => {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(part);
  return concat(...parts);
};
const sealed = (plaintext: Uint8Array): Promise<Uint8Array> => collect(sealStream(stream, [plaintext]));
const opened = (ciphertext: Uint8Array, as: StreamKey = stream): Promise<Uint8Array> =>
  collect(openStream(as, [ciphertext]));
/** The same bytes in pieces of `size`. */
const inPieces = (whole: Uint8Array, size: number): Uint8Array[] =>
  Array.from({ length: Math.ceil(whole.length / size) }, (_, i) => whole.subarray(i * size, (i + 1) * size));

const LENGTHS = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 5];

describe('round trip', () => {
  test.each(LENGTHS)('%i bytes', async (length) => {
    const plaintext = pattern(length);
    const ciphertext = await sealed(plaintext);
    expect(ciphertext).toHaveLength(sealedStreamBytes(length));
    expectSameBytes(await opened(ciphertext), plaintext);
  });

  test('however either side is cut, whole, in chunks or byte by byte', async () => {
    const plaintext = pattern(CHUNK + 700);
    const whole = await sealed(plaintext);
    for (const size of [1, 1000, CHUNK, SEALED, SEALED + 1]) {
      expectSameBytes(await collect(sealStream(stream, inPieces(plaintext, size))), whole);
      expectSameBytes(await collect(openStream(stream, inPieces(whole, size))), plaintext);
    }
    expectSameBytes(await collect(openStream(stream, [new Uint8Array(0), whole, new Uint8Array(0)])), plaintext);
  });

  test('any content of any size, by property', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 2000 }), async (plaintext) => {
        expect(await opened(await sealed(plaintext))).toEqual(plaintext);
      }),
    );
  });
});

test('the nonce is prefix, index and last, as another implementation of GCM sees it', async () => {
  const plaintext = pattern(CHUNK + 3);
  const ciphertext = await sealed(plaintext);
  const openChunk = (chunk: Uint8Array, nonce: Uint8Array): Uint8Array => {
    const decipher = createDecipheriv('aes-256-gcm', RAW, nonce);
    decipher.setAAD(Uint8Array.of(42));
    decipher.setAuthTag(chunk.subarray(-16));
    return new Uint8Array(Buffer.concat([decipher.update(chunk.subarray(0, -16)), decipher.final()]));
  };
  expect(openChunk(ciphertext.subarray(0, SEALED), concat(PREFIX, Uint8Array.of(0, 0, 0, 0, 0)))).toEqual(
    plaintext.subarray(0, CHUNK),
  );
  expect(openChunk(ciphertext.subarray(SEALED), concat(PREFIX, Uint8Array.of(0, 0, 0, 1, 1)))).toEqual(
    plaintext.subarray(CHUNK),
  );
});

describe('tamperings', () => {
  const chunksOf = (whole: Uint8Array): Uint8Array[] => inPieces(whole, SEALED);
  const TAMPERINGS: Readonly<Record<string, (chunks: Uint8Array[]) => Uint8Array[]>> = {
    swapFirstTwoChunks: ([a, b, ...rest]) => [b, a, ...rest].filter((chunk) => chunk !== undefined),
    dropFirstChunk: (chunks) => chunks.slice(1),
    dropMiddleChunk: (chunks) => chunks.filter((_, i) => i !== 1),
    dropLastChunk: (chunks) => chunks.slice(0, -1),
    repeatFirstChunk: (chunks) => [...chunks.slice(0, 1), ...chunks],
    repeatLastChunk: (chunks) => [...chunks, ...chunks.slice(-1)],
    cutOneByte: (chunks) => [concat(...chunks).slice(0, -1)],
    cutInsideATag: (chunks) => [concat(...chunks).slice(0, SEALED - 3)],
    cutAtAChunkBoundary: (chunks) => chunks.slice(0, 2),
    extendByOneByte: (chunks) => [...chunks, Uint8Array.of(0)],
    extendByZeros: (chunks) => [...chunks, new Uint8Array(SEALED)],
    makeEmpty: () => [],
    flipOneBit: (chunks) => [concat(...chunks).map((byte, i) => (i === SEALED + 9 ? byte ^ 1 : byte))],
  };

  test.each(Object.entries(TAMPERINGS))('%s', async (_, tamper) => {
    const honest = await sealed(pattern(2 * CHUNK + 99));
    const tampered = concat(...tamper(chunksOf(honest)));
    expect(tampered).not.toEqual(honest);
    await expect(opened(tampered)).rejects.toMatchObject({ code: 'stream/unauthentic', kind: 'refused' });
  });

  test('a file whose last chunk is full, cut before it', async () => {
    const honest = await sealed(pattern(2 * CHUNK));
    await expect(opened(honest.subarray(0, SEALED))).rejects.toMatchObject({ code: 'stream/unauthentic' });
  });

  test('an empty last chunk behind full ones: a second text for the same content', async () => {
    const { key, prefix, additionalData } = stream;
    const { seal } = await import('../../../enclave/crypto/aead.ts');
    const first = await seal(key, concat(prefix, Uint8Array.of(0, 0, 0, 0, 0)), additionalData, pattern(CHUNK));
    const empty = await seal(key, concat(prefix, Uint8Array.of(0, 0, 0, 1, 1)), additionalData, new Uint8Array(0));
    await expect(opened(concat(first, empty))).rejects.toMatchObject({ code: 'stream/unauthentic' });
  });

  test('another key, prefix or additional data', async () => {
    const honest = await sealed(pattern(10));
    const refused = { code: 'stream/unauthentic' };
    const otherKey = await importAeadKey(new Uint8Array(32));
    await expect(opened(honest, { ...stream, key: otherKey })).rejects.toMatchObject(refused);
    await expect(opened(honest, { ...stream, prefix: new Uint8Array(7) })).rejects.toMatchObject(refused);
    await expect(opened(honest, { ...stream, additionalData: new Uint8Array(0) })).rejects.toMatchObject(refused);
  });

  test('a prefix of another length is none', async () => {
    for (const bytes of [6, 8]) {
      const prefix = new Uint8Array(bytes);
      await expect(collect(sealStream({ ...stream, prefix }, [pattern(1)]))).rejects.toThrow(RangeError);
      await expect(opened(new Uint8Array(40), { ...stream, prefix })).rejects.toThrow(RangeError);
    }
  });

  test('nothing is handed out of a chunk that is not authentic', async () => {
    const honest = await sealed(pattern(2 * CHUNK));
    const tampered = honest.map((byte, i) => (i === SEALED + 1 ? byte ^ 1 : byte));
    const seen: number[] = [];
    await expect(
      (async () => {
        for await (const part of openStream(stream, [tampered])) seen.push(part.length);
      })(),
    ).rejects.toMatchObject({ code: 'stream/unauthentic', where: 'chunk 1' });
    expect(seen).toEqual([CHUNK]);
  });
});

test('a stream is never held whole', async () => {
  let produced = 0;
  let consumed = 0;
  let furthest = 0;
  function* source(): Generator<Uint8Array> {
    for (; produced < 300; produced++) yield new Uint8Array(CHUNK);
  }
  for await (const part of openStream(stream, sealStream(stream, source()))) {
    consumed += part.length / CHUNK;
    furthest = Math.max(furthest, produced - consumed);
  }
  expect(consumed).toBe(300);
  expect(furthest).toBeLessThan(6);
});
