/**
 * Frames, and what is sealed in them: outer messages, requests and padded answers. The first byte of an input chooses the
 * reader; what is taken must come out of the writer as the same message.
 */
import { PassThrough } from 'node:stream';
import * as fc from 'fast-check';
import { concat } from '../../../enclave/encoding/bytes.ts';
import { decodeCbor, encodeCbor } from '../../../enclave/encoding/cbor.ts';
import type { CborKey, CborValue } from '../../../enclave/encoding/cbor.ts';
import { padAnswer, unpadAnswer } from '../../../enclave/protocol/answer.ts';
import type { Answer, AnswerCode } from '../../../enclave/protocol/answer.ts';
import { decodeOuter, encodeFrame, encodeOuter, frameReader } from '../../../enclave/protocol/frame.ts';
import type { FrameCode, OuterMessage } from '../../../enclave/protocol/frame.ts';
import { LIMITS } from '../../../enclave/protocol/limits.ts';
import { CALL_BYTES, decodeRequest, encodeRequest } from '../../../enclave/protocol/request.ts';
import type { RequestCode } from '../../../enclave/protocol/request.ts';
import type { Random } from '../random.ts';
import { allCodes, codesOf, demandSame } from '../target.ts';
import type { Target } from '../target.ts';
import { varyCbor } from '../trees.ts';
import { CBOR_CODES } from './cbor-codes.ts';

const OUTER = 0;
const REQUEST = 1;
const ANSWER = 2;
const STREAM = 3;
/** One in so many inputs goes through a stream, which takes longer than all the rest. */
const READERS = [OUTER, OUTER, OUTER, REQUEST, REQUEST, REQUEST, ANSWER, ANSWER, STREAM] as const;
const PAD_TO = 512;

const of = (reader: (typeof READERS)[number], body: Uint8Array): Uint8Array =>
  concat(Uint8Array.of(READERS.indexOf(reader)), body);

const some = (bytes: number): Uint8Array => new Uint8Array(bytes).fill(7);
const map = (entries: readonly (readonly [string, CborValue])[]): Uint8Array => encodeCbor(new Map(entries));

const OUTERS: readonly OuterMessage[] = [
  { t: 'hello', v: 1, nonce: some(32) },
  { t: 'welcome', attestation: some(90) },
  { t: 'open', enc: some(32), ct: some(40) },
  { t: 'sealed', ct: some(60) },
  { t: 'closed' },
];
const CREDENTIALS = { accessKeyId: 'AKIA', secretAccessKey: 'secret', sessionToken: 'token' };
const call = { t: 'call', function: 'classify', requestId: some(32), inputBytes: 1_000 } as const;
const REQUESTS: readonly Uint8Array[] = [
  map([['t', 'authenticate'], ['keyArn', 'arn:aws:kms:eu-west-1:111122223333:key/a'], ['sessionId', some(16)], ['ciphertext', some(180)], ['credentials', new Map(Object.entries(CREDENTIALS))]]), // prettier-ignore
  encodeRequest({ ...call, paddedBytes: 1_000 }),
  encodeRequest({ ...call, paddedBytes: 65_536 }),
  map([
    ['t', 'chunk'],
    ['position', 0],
    ['last', true],
    ['data', some(300)],
  ]),
  map([['t', 'contribute'], ['function', 'classify'], ['envelopeSha256', some(32)], ['bytes', 5_000], ['testData', false]]), // prettier-ignore
  map([['t', 'status']]),
];
const ANSWERS: readonly Answer[] = [
  { t: 'authenticated', party: 'alice' },
  { t: 'answer', output: '{"labels":[]}' },
  { t: 'refused', refused: 'quota-exceeded' },
  { t: 'refused', refused: 'input-invalid', detail: 'the picture is damaged or cut off' },
  { t: 'contributed', modelSha256: some(32) },
  { t: 'status', status: '{}' },
];

export async function open(): Promise<Target> {
  return {
    codes: allCodes(CBOR_CODES, FRAME_CODES),
    seeds: [
      ...OUTERS.map((message) => of(OUTER, encodeOuter(message))),
      ...REQUESTS.map((request) => of(REQUEST, request)),
      ...ANSWERS.map((answer) => of(ANSWER, padAnswer(answer, PAD_TO))),
      of(STREAM, concat(...OUTERS.map((message) => encodeFrame(encodeOuter(message))))),
    ],
    built: fc.oneof(built(OUTER, ['hello', 'welcome', 'open', 'sealed', 'closed']), built(REQUEST, ['authenticate', 'call', 'chunk', 'contribute', 'status'])), // prettier-ignore
    vary,
    repair,
    words: ['hello', 'welcome', 'open', 'sealed', 'closed', 'nonce', 'ct', 'enc', 'refused', 'detail', 'output'],
    run,
  };
}

const FRAME_CODES = codesOf<Exclude<FrameCode, 'frame/closed'> | RequestCode | Exclude<AnswerCode, 'answer/too-long'>>({
  'frame/oversized': true,
  'frame/empty': true,
  'frame/truncated': true,
  'frame/malformed': true,
  'request/malformed': true,
  'request/chunk-out-of-place': true,
  'answer/malformed': true,
});

function run(input: Uint8Array): string | Promise<string> {
  const body = input.subarray(1);
  switch (readerOf(input)) {
    case OUTER: {
      const message = decodeOuter(body);
      demandSame(inOrder(encodeOuter(message)), inOrder(body), 'an outer message is written otherwise');
      return message.t;
    }
    case REQUEST: {
      const request = decodeRequest(body);
      demandSame(inOrder(encodeRequest(request)), inOrder(body), 'a request is written otherwise');
      return request.t;
    }
    case ANSWER: {
      const answer = unpadAnswer(body);
      // A detail is cut by characters when it is written, and taken by bytes.
      const isCut = answer.t === 'refused' && Array.from(answer.detail ?? '').length > 200;
      if (!isCut && body.length <= LIMITS.padToBytes) {
        const again = padAnswer(answer, body.length);
        demandSame(inOrder(again.subarray(4, 4 + lengthOf(again))), inOrder(body.subarray(4, 4 + lengthOf(body))), 'an answer is written otherwise'); // prettier-ignore
      }
      return `${answer.t} answer`;
    }
    case STREAM:
      return readStream(body);
  }
}

const readerOf = (input: Uint8Array): (typeof READERS)[number] => READERS[(input[0] ?? 0) % READERS.length] ?? OUTER;

async function readStream(bytes: Uint8Array): Promise<string> {
  const stream = new PassThrough();
  const half = bytes.length >> 1;
  stream.write(bytes.subarray(0, half));
  stream.end(bytes.subarray(half));
  const reader = frameReader(stream);
  const read: Uint8Array[] = [];
  for (;;) {
    const body = await reader.readFrame();
    if (body === undefined) break;
    read.push(encodeFrame(body));
  }
  demandSame(concat(...read), bytes, 'frames are written otherwise');
  return 'frames';
}

/** The order of a map's entries is the sender's: two texts that differ in nothing else are one message. */
function inOrder(body: Uint8Array): Uint8Array {
  const sorted = (value: CborValue): CborValue =>
    value instanceof Map
      ? new Map(
          [...value].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, one]): [CborKey, CborValue] => [key, sorted(one)]),
        )
      : value;
  return encodeCbor(sorted(decodeCbor(body, { maxBytes: LIMITS.frameBytes })));
}

function vary(input: Uint8Array, random: Random): Uint8Array | Promise<Uint8Array> {
  const body = input.subarray(1);
  const head = input.subarray(0, 1);
  const start = readerOf(input) === ANSWER || readerOf(input) === STREAM ? 4 : 0;
  const inner = varyCbor(start === 0 ? body : body.subarray(start, start + lengthOf(body)), random);
  return inner instanceof Uint8Array ? repair(concat(head, new Uint8Array(start), inner)) : input;
}

const lengthOf = (body: Uint8Array): number =>
  body.length < 4 ? 0 : Math.min(body.length - 4, new DataView(body.buffer, body.byteOffset).getUint32(0));

/** The length before an answer or a first frame says what follows; an answer is padded again. */
function repair(input: Uint8Array): Uint8Array {
  const reader = readerOf(input);
  if (reader === REQUEST) return concat(input.subarray(0, 1), callOfItsSize(input.subarray(1)));
  if (reader === OUTER || input.length < 5) return input;
  const body = input.subarray(5);
  if (reader === STREAM) return concat(input.subarray(0, 1), encodeFrame(body.length === 0 ? Uint8Array.of(0) : body));
  let end = body.length;
  while (end > 0 && body[end - 1] === 0) end -= 1;
  const padded = new Uint8Array(Math.max(PAD_TO, end + 4));
  padded.set(body.subarray(0, end), 4);
  new DataView(padded.buffer).setUint32(0, end);
  return concat(input.subarray(0, 1), padded);
}

/** A call has one size, by the zeros in it; whatever else it is, as it is. */
function callOfItsSize(body: Uint8Array): Uint8Array {
  let found: CborValue;
  try {
    found = decodeCbor(body, { maxBytes: LIMITS.frameBytes });
  } catch {
    return body;
  }
  if (!(found instanceof Map) || found.get('t') !== 'call') return body;
  const sized = (zeros: number): Uint8Array => encodeCbor(new Map([...found, ['zeros', new Uint8Array(zeros)]]));
  // The head of a byte string of 256 bytes and more is two bytes longer than that of an empty one.
  const missing = CALL_BYTES - sized(0).length - 2;
  return missing < 256 ? body : sized(missing);
}

function built(reader: (typeof READERS)[number], kinds: readonly string[]): fc.Arbitrary<Uint8Array> {
  const bytes = fc.oneof(fc.constantFrom(0, 15, 16, 31, 32, 33, 64).map(some), fc.uint8Array({ maxLength: 70 }));
  const value = fc.oneof(bytes, fc.string(), fc.nat(), fc.boolean(), fc.constant(null), fc.constant(new Map()));
  const names = ['v', 'nonce', 'attestation', 'enc', 'ct', 'keyArn', 'sessionId', 'ciphertext', 'credentials', 'function', 'requestId', 'inputBytes', 'paddedBytes', 'position', 'last', 'data', 'envelopeSha256', 'bytes', 'testData', 'zeros']; // prettier-ignore
  return fc
    .tuple(fc.constantFrom(...kinds, ''), fc.dictionary(fc.constantFrom(...names), value, { maxKeys: 6 }))
    .map(([t, fields]) => of(reader, map([['t', t], ...Object.entries(fields)])));
}
