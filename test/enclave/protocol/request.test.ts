import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { expectSameBytes } from '../../same-bytes.ts';
import { concat } from '../../../enclave/encoding/bytes.ts';
import { encodeCbor } from '../../../enclave/encoding/cbor.ts';
import type { CborValue } from '../../../enclave/encoding/cbor.ts';
import { LIMITS } from '../../../enclave/protocol/limits.ts';
import {
  CALL_BYTES,
  chunkOrder,
  decodeRequest,
  encodeRequest,
  inputChunks,
} from '../../../enclave/protocol/request.ts';
import type { Chunk, Request } from '../../../enclave/protocol/request.ts';
import { Failure } from '../../../policies/failure.ts';

const CREDENTIALS = { accessKeyId: 'ASIAEXAMPLE', secretAccessKey: 'secret', sessionToken: 'token' };
const AUTHENTICATE: Request = {
  t: 'authenticate',
  keyArn: 'arn:aws:kms:eu-west-1:111122223333:key/a11ce000-0000-4000-8000-000000000001',
  sessionId: new Uint8Array(16).fill(1),
  ciphertext: new Uint8Array(180).fill(2),
  credentials: CREDENTIALS,
};
const REQUESTS: readonly Request[] = [
  AUTHENTICATE,
  { t: 'call', function: 'classify', requestId: new Uint8Array(32).fill(3), inputBytes: 70_000, paddedBytes: 131_072 }, // prettier-ignore
  { t: 'chunk', position: 0, last: false, data: new Uint8Array(300).fill(4) },
  { t: 'chunk', position: LIMITS.inputBytes, last: true, data: new Uint8Array(0) },
  {
    t: 'contribute',
    function: 'classify',
    envelopeSha256: new Uint8Array(32).fill(5),
    bytes: 1_000_000,
    testData: false,
  },
  { t: 'contribute', function: 'classify', envelopeSha256: new Uint8Array(32).fill(6), bytes: 1, testData: true },
  { t: 'status' },
];

test.each(REQUESTS)('$t comes back as it went', (request) => {
  expect(decodeRequest(encodeRequest(request))).toEqual(request);
});

test('the largest request fits a frame once it is sealed and wrapped', () => {
  const largest = encodeRequest({
    t: 'chunk',
    position: LIMITS.inputBytes,
    last: true,
    data: new Uint8Array(LIMITS.chunkBytes),
  });
  expect(largest.length + 16 + 32 + 32).toBeLessThan(LIMITS.frameBytes);
});

test('every call has one size, whatever it says', () => {
  const sizes = ['f', 'classify', 'a'.repeat(63)].flatMap((name) =>
    [0, 1, 23, 24, 255, 256, 65_535, 65_536, LIMITS.inputBytes].map((inputBytes) => {
      const call: Request = { t: 'call', function: name, requestId: new Uint8Array(32), inputBytes, paddedBytes: LIMITS.inputBytes }; // prettier-ignore
      const encoded = encodeRequest(call);
      expect(decodeRequest(encoded)).toEqual(call);
      return encoded.length;
    }),
  );
  expect(new Set(sizes)).toEqual(new Set([CALL_BYTES]));
});

const map = (entries: Readonly<Record<string, CborValue>>): Uint8Array => encodeCbor(new Map(Object.entries(entries)));
const call = { t: 'call', function: 'classify', requestId: new Uint8Array(32), inputBytes: 5, paddedBytes: 100 };
/** A call of the one size, with other entries: `off` more than that. */
const sized = (entries: Readonly<Record<string, CborValue>>, off = 0): Uint8Array => {
  const bare = map({ ...entries, zeros: new Uint8Array(300) }).length - 300;
  return map({ ...entries, zeros: new Uint8Array(CALL_BYTES - bare + off) });
};
const contribution = {
  t: 'contribute',
  function: 'f',
  envelopeSha256: new Uint8Array(32),
  bytes: 1,
  testData: false,
};
const credentials = new Map(Object.entries(CREDENTIALS));
const authenticate = {
  t: 'authenticate',
  keyArn: 'arn',
  sessionId: new Uint8Array(16),
  ciphertext: new Uint8Array(1),
  credentials,
};
const HOSTILE: Readonly<Record<string, Uint8Array>> = {
  unknownType: map({ t: 'shutdown' }),
  extraKey: map({ t: 'status', verbose: true }),
  functionWithSlash: sized({ ...call, function: '../../etc' }),
  functionWithCapital: sized({ ...call, function: 'Classify' }),
  functionEmpty: sized({ ...call, function: '' }),
  functionTooLong: sized({ ...call, function: 'a'.repeat(64) }),
  shortRequestId: sized({ ...call, requestId: new Uint8Array(31) }),
  negativeLength: sized({ ...call, inputBytes: -1 }),
  lengthOverLimit: sized({ ...call, inputBytes: LIMITS.inputBytes + 1 }),
  paddingOverLimit: sized({ ...call, paddedBytes: LIMITS.inputBytes + 1 }),
  inputBehindItsPadding: sized({ ...call, inputBytes: 101 }),
  paddingMissing: sized({ t: 'call', function: 'classify', requestId: new Uint8Array(32), inputBytes: 5 }),
  callOneByteShort: sized(call, -1),
  callOneByteLong: sized(call, 1),
  callWithSomethingBehindIt: sized(call).with(CALL_BYTES - 1, 1),
  lengthOf64Bits: sized({ ...call, inputBytes: 2n ** 63n }),
  lengthAsText: sized({ ...call, inputBytes: '5' }),
  chunkTooLong: map({ t: 'chunk', position: 0, last: true, data: new Uint8Array(LIMITS.chunkBytes + 1) }),
  chunkLastAsNumber: map({ t: 'chunk', position: 0, last: 1, data: new Uint8Array(1) }),
  sessionIdTooLong: map({ ...authenticate, sessionId: new Uint8Array(17) }),
  ciphertextEmpty: map({ ...authenticate, ciphertext: new Uint8Array(0) }),
  ciphertextHuge: map({ ...authenticate, ciphertext: new Uint8Array(6_145) }),
  credentialsMissing: map({ ...authenticate, credentials: new Map([['accessKeyId', 'a']]) }),
  credentialsExtra: map({ ...authenticate, credentials: new Map([...credentials, ['region', 'x']]) }),
  credentialsNested: map({ ...authenticate, credentials: new Map([['accessKeyId', new Map()]]) }),
  contributionTooLarge: map({ ...contribution, bytes: LIMITS.contributionBytes + 1 }),
  contributionOfNothing: map({ ...contribution, bytes: 0 }),
  contributionMarkAsNumber: map({ ...contribution, testData: 1 }),
  contributionWithoutMark: map({ t: 'contribute', function: 'f', envelopeSha256: new Uint8Array(32), bytes: 1 }),
};

test('what is changed below is a call in itself', () => {
  expect(decodeRequest(sized(call))).toMatchObject({ t: 'call', inputBytes: 5, paddedBytes: 100 });
});

test.each(Object.entries(HOSTILE))('refused: %s', (_, plaintext) => {
  expect(() => decodeRequest(plaintext)).toThrow(Failure);
});

/** One more than each may have, and what is said of it: so that nothing is refused for another reason than it is tested for. */
const withCredential = (name: keyof typeof CREDENTIALS, length: number): Uint8Array =>
  map({ ...authenticate, credentials: new Map([...credentials, [name, 'x'.repeat(length)]]) });
const BEYOND: readonly (readonly [said: string, plaintext: Uint8Array])[] = [
  ['request.keyArn has 0 bytes', map({ ...authenticate, keyArn: '' })],
  ['request.keyArn has 257 bytes', map({ ...authenticate, keyArn: 'a'.repeat(257) })],
  ['request.sessionId has 17 bytes', map({ ...authenticate, sessionId: new Uint8Array(17) })],
  ['request.ciphertext has 0 bytes', map({ ...authenticate, ciphertext: new Uint8Array(0) })],
  ['request.ciphertext has 6145 bytes', map({ ...authenticate, ciphertext: new Uint8Array(6_145) })],
  ['accessKeyId has 0 bytes', withCredential('accessKeyId', 0)],
  ['accessKeyId has 129 bytes', withCredential('accessKeyId', 129)],
  ['secretAccessKey has 0 bytes', withCredential('secretAccessKey', 0)],
  ['secretAccessKey has 257 bytes', withCredential('secretAccessKey', 257)],
  ['sessionToken has 0 bytes', withCredential('sessionToken', 0)],
  ['sessionToken has 8193 bytes', withCredential('sessionToken', 8_193)],
  ['request.function has 64 bytes', map({ ...contribution, function: 'a'.repeat(64) })],
  ['request.envelopeSha256 has 31 bytes', map({ ...contribution, envelopeSha256: new Uint8Array(31) })],
  ['request.bytes is 0', map({ ...contribution, bytes: 0 })],
  ['request.position is', map({ t: 'chunk', position: LIMITS.inputBytes + 1, last: true, data: new Uint8Array(1) })],
  ['request.data has', map({ t: 'chunk', position: 0, last: true, data: new Uint8Array(LIMITS.chunkBytes + 1) })],
  ['request.inputBytes is 101', sized({ ...call, inputBytes: 101 })],
  ['nested deeper than 2', map({ ...authenticate, credentials: new Map([['accessKeyId', [[0]]]]) })],
  ['more than 17 items', map({ t: 'status', more: Array.from({ length: 17 }, () => 0) })],
];

test.each(BEYOND)('refused, because %s', (said, plaintext) => {
  expect(() => decodeRequest(plaintext)).toThrow(said);
});

test('what stands at the bounds is taken', () => {
  const most = { accessKeyId: 'a'.repeat(128), secretAccessKey: 'b'.repeat(256), sessionToken: 'c'.repeat(8_192) };
  const largest: Request = {
    ...AUTHENTICATE,
    keyArn: 'k'.repeat(256),
    ciphertext: new Uint8Array(6_144),
    credentials: most,
  };
  expect(decodeRequest(encodeRequest(largest))).toEqual(largest);
});

test('any bytes give a request or a coded failure', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), (plaintext) => {
      try {
        decodeRequest(plaintext);
      } catch (error) {
        expect(error).toMatchObject({ kind: 'malformed' });
      }
    }),
  );
});

describe('an input in chunks', () => {
  const SIZES = [0, 1, LIMITS.chunkBytes - 1, LIMITS.chunkBytes, LIMITS.chunkBytes + 1, 3 * LIMITS.chunkBytes];

  test.each(SIZES)('%i bytes come together again', (size) => {
    const input = new Uint8Array(size).fill(7);
    const order = chunkOrder(size);
    const chunks = [...inputChunks(input)];
    const isLast = chunks.map((chunk) => order.add(chunk));
    expect(isLast).toHaveLength(Math.max(1, Math.ceil(size / LIMITS.chunkBytes)));
    expect(isLast.indexOf(true)).toBe(isLast.length - 1);
    expectSameBytes(concat(...chunks.map(({ data }) => data)), input);
  });

  test.each([
    [0, 5],
    [3, 5],
    [5, 5],
    [LIMITS.chunkBytes - 1, LIMITS.chunkBytes],
    [1, 2 * LIMITS.chunkBytes + 3],
    [LIMITS.chunkBytes + 1, 3 * LIMITS.chunkBytes],
  ])('%i bytes padded to %i: chunks of the padded length alone, and zeros behind the input', (size, padded) => {
    const input = new Uint8Array(size).fill(7);
    const chunks = [...inputChunks(input, padded)];
    const whole = [...inputChunks(new Uint8Array(padded))];
    expect(chunks.map(({ data, ...rest }) => [data.length, rest])).toEqual(whole.map(({ data, ...rest }) => [data.length, rest])); // prettier-ignore
    const order = chunkOrder(padded);
    expect(chunks.map((chunk) => order.add(chunk)).indexOf(true)).toBe(chunks.length - 1);
    const expected = new Uint8Array(padded);
    expected.set(input);
    expectSameBytes(concat(...chunks.map(({ data }) => data)), expected);
  });

  const size = 2 * LIMITS.chunkBytes + 10;
  const chunks = (): Chunk[] => [...inputChunks(new Uint8Array(size))];
  const MISPLACED: Readonly<Record<string, (chunks: Chunk[]) => Chunk[]>> = {
    swapped: ([a, b, c]) => [b, a, c].filter((chunk) => chunk !== undefined),
    repeated: ([a, b, c]) => [a, a, b, c].filter((chunk) => chunk !== undefined),
    oneLeftOut: ([a, , c]) => [a, c].filter((chunk) => chunk !== undefined),
    lastTooEarly: ([a]) => [a].flatMap((chunk) => (chunk === undefined ? [] : [{ ...chunk, last: true }])),
    lastNotMarked: (all) => all.map((chunk) => ({ ...chunk, last: false })),
    shortInTheMiddle: (all) => all.map((chunk) => ({ ...chunk, data: chunk.data.subarray(0, 9) })),
    longerThanAnnounced: (all) => all.map((chunk) => (chunk.last ? { ...chunk, data: new Uint8Array(11) } : chunk)),
    oneMoreAfterTheLast: (all) => [...all, ...all.slice(-1)],
  };

  test.each(Object.entries(MISPLACED))('%s', (_, misplace) => {
    const order = chunkOrder(size);
    expect(() => misplace(chunks()).forEach((chunk) => order.add(chunk))).toThrow(
      expect.objectContaining({ code: 'request/chunk-out-of-place' }),
    );
  });

  test('an empty input comes once', () => {
    const order = chunkOrder(0);
    const [chunk] = inputChunks(new Uint8Array(0));
    if (chunk === undefined) throw new Error('no chunk');
    expect(order.add(chunk)).toBe(true);
    expect(() => order.add(chunk)).toThrow(expect.objectContaining({ code: 'request/chunk-out-of-place' }));
  });
});
