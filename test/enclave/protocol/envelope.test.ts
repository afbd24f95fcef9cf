import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { expectSameBytes } from '../../same-bytes.ts';
import { concat } from '../../../enclave/encoding/bytes.ts';
import { encodeCbor } from '../../../enclave/encoding/cbor.ts';
import type { CborValue } from '../../../enclave/encoding/cbor.ts';
import { envelopeBytes, readEnvelope, sealEnvelope } from '../../../enclave/protocol/envelope.ts';
import type { EnvelopeHeader } from '../../../enclave/protocol/envelope.ts';
import { Failure } from '../../../policies/failure.ts';

const KEY = new Uint8Array(32).fill(1);
const HEADER: EnvelopeHeader = {
  keyArn: 'arn:aws:kms:eu-west-1:444455556666:key/b0b00000-0000-4000-8000-000000000002',
  dataKey: new Uint8Array(184).fill(2),
  context: { 'accord:policy': 'ab'.repeat(48), 'accord:party': 'bob', 'accord:purpose': 'model' },
  noncePrefix: new Uint8Array(7).fill(3),
};

const collect = async (source: AsyncIterable<Uint8Array>): Promise<Uint8Array> => {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(part);
  return concat(...parts);
};
const make = (plaintext: Uint8Array, header: EnvelopeHeader = HEADER): Promise<Uint8Array> =>
  collect(sealEnvelope(header, KEY, [plaintext]));
const open = async (envelope: Uint8Array, key: Uint8Array = KEY): Promise<Uint8Array> =>
  collect((await readEnvelope([envelope])).open(key));

test.each([0, 1, 65_536, 150_000])('%i bytes, with and without the length known beforehand', async (length) => {
  const plaintext = new Uint8Array(length).map((_, i) => i % 253);
  for (const header of [HEADER, { ...HEADER, plaintextBytes: length }]) {
    const envelope = await make(plaintext, header);
    expect(envelope).toHaveLength(envelopeBytes(header, length));
    const read = await readEnvelope([envelope]);
    expect(read.header).toEqual(header);
    expectSameBytes(await collect(read.open(KEY)), plaintext);
  }
});

test('whole, chunked and byte by byte', async () => {
  const plaintext = new Uint8Array(70_000).fill(8);
  const envelope = await make(plaintext);
  for (const size of [1, 5, 4096]) {
    const pieces = Array.from({ length: Math.ceil(envelope.length / size) }, (_, i) =>
      envelope.subarray(i * size, (i + 1) * size),
    );
    expectSameBytes(await collect((await readEnvelope(pieces)).open(KEY)), plaintext);
  }
});

describe('tampering', () => {
  test('every byte of the header counts', async () => {
    const envelope = await make(new Uint8Array(100));
    const header = envelope.length - 116;
    for (let at = 0; at < header; at++) {
      await expect(open(envelope.map((byte, i) => (i === at ? byte ^ 1 : byte))), `byte ${at}`).rejects.toBeInstanceOf(
        Failure,
      );
    }
  });

  test('the header of one file before the content of another under the same key', async () => {
    const one = await make(new Uint8Array(100));
    const other = await make(new Uint8Array(100), { ...HEADER, context: { 'accord:purpose': 'input' } });
    const mixed = concat(other.subarray(0, other.length - 116), one.subarray(-116));
    await expect(open(mixed)).rejects.toMatchObject({ code: 'stream/unauthentic' });
  });

  test('another data key', async () => {
    await expect(open(await make(new Uint8Array(9)), new Uint8Array(32))).rejects.toMatchObject({
      code: 'stream/unauthentic',
    });
  });

  test('a length that was announced and is not kept', async () => {
    const wrong = { code: 'envelope/wrong-length' };
    await expect(make(new Uint8Array(10), { ...HEADER, plaintextBytes: 11 })).rejects.toMatchObject(wrong);
    await expect(make(new Uint8Array(12), { ...HEADER, plaintextBytes: 11 })).rejects.toMatchObject(wrong);
    await expect(make(new Uint8Array(10), { ...HEADER, plaintextBytes: 11 })).rejects.toThrow(/has less than the 11/);
    await expect(make(new Uint8Array(12), { ...HEADER, plaintextBytes: 11 })).rejects.toThrow(/has more than the 11/);
  });

  test('cut anywhere', async () => {
    const envelope = await make(new Uint8Array(100));
    for (let length = 0; length < envelope.length; length += 7) {
      await expect(open(envelope.subarray(0, length)), `${length} bytes`).rejects.toBeInstanceOf(Failure);
    }
  });
});

describe('headers that are none', () => {
  const wrap = (body: Uint8Array): Uint8Array => {
    const head = new Uint8Array(4);
    new DataView(head.buffer).setUint32(0, body.length);
    return concat(head, body);
  };
  const good = {
    v: 1,
    keyArn: 'arn',
    dataKey: new Uint8Array(9),
    context: new Map<string, CborValue>([['a', 'b']]),
    noncePrefix: new Uint8Array(7),
  };
  const header = (entries: Readonly<Record<string, CborValue>>): Uint8Array =>
    wrap(encodeCbor(new Map(Object.entries(entries))));
  const HOSTILE: Readonly<Record<string, Uint8Array>> = {
    aPicture: new TextEncoder().encode('\x89PNG\r\n\x1a\n and so on'),
    fourGigabytes: new Uint8Array([255, 255, 255, 255, 1]),
    zeroLength: new Uint8Array(100),
    otherVersion: header({ ...good, v: 2 }),
    extraKey: header({ ...good, alg: 'none' }),
    contextOfNumbers: header({ ...good, context: new Map([['a', 1]]) }),
    contextWithNumberKeys: header({ ...good, context: new Map([[1, 'a']]) }),
    contextWithPrototype: header({ ...good, context: new Map([['__proto__', 'a']]) }),
    longPrefix: header({ ...good, noncePrefix: new Uint8Array(8) }),
    hugeDataKey: header({ ...good, dataKey: new Uint8Array(6_145) }),
  };
  test.each(Object.entries(HOSTILE))('%s', async (_, envelope) => {
    await expect(readEnvelope([envelope])).rejects.toMatchObject({ kind: 'malformed' });
  });

  test.each<readonly [what: string, envelope: Uint8Array, said: RegExp]>([
    ['no length', new Uint8Array(100), /this is not an Accord envelope/],
    ['a length beyond the largest header', Uint8Array.of(0, 0, 64, 1), /this is not an Accord envelope/],
    ['the largest header, which is not there', Uint8Array.of(0, 0, 64, 0), /ends inside its header/],
    ['a key without a name', header({ ...good, keyArn: '' }), /header\.keyArn has 0 bytes/],
    ['a key with too long a name', header({ ...good, keyArn: 'a'.repeat(257) }), /header\.keyArn has 257 bytes/],
    ['no data key', header({ ...good, dataKey: new Uint8Array(0) }), /header\.dataKey has 0 bytes/],
    ['depth', header({ ...good, context: new Map<string, CborValue>([['a', [[0]]]]) }), /nested deeper/],
  ])('%s, and why', async (_, envelope, said) => {
    await expect(readEnvelope([envelope])).rejects.toThrow(said);
  });

  test('what is too large for a header is not written', async () => {
    const context = { 'accord:purpose': 'x'.repeat(20_000) };
    await expect(make(new Uint8Array(1), { ...HEADER, context })).rejects.toThrow(RangeError);
  });

  test('any bytes: a coded failure or a header', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 60 }), async (bytes) => {
        await expect(readEnvelope([wrap(bytes)])).rejects.toBeInstanceOf(Failure);
      }),
    );
  });
});
