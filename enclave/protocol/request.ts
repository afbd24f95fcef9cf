/**
 * What a party asks, inside the sealed channel. One plaintext is one CBOR map.
 *
 *     authenticate = { t: "authenticate", keyArn: text[1..256], sessionId: bytes[16], ciphertext: bytes[1..6,144],
 *                      credentials: { accessKeyId: text[1..128], secretAccessKey: text[1..256],
 *                                     sessionToken: text[1..8,192] } }
 *     call         = { t: "call", function: name, requestId: bytes[32], inputBytes: uint[0..paddedBytes],
 *                      paddedBytes: uint[0..64 MiB], zeros: bytes }        // 512 bytes in all
 *     chunk        = { t: "chunk", position: uint, last: bool, data: bytes[0..262,144] }
 *     contribute   = { t: "contribute", function: name, envelopeSha256: bytes[32], bytes: uint[1..512 MiB],
 *                      testData: bool }
 *     status       = { t: "status" }
 *     name         = text matching NAME of policies/name.ts
 *
 * Every call has one size, so that neither the function's name nor the input's length shows. It is followed by the input,
 * with zeros behind it up to `paddedBytes`, in chunks: `position` is the offset of `data`, every chunk but the last is full,
 * the last has `last` set and ends at `paddedBytes`; an input of no bytes that is not padded is one empty last chunk. The
 * enclave takes all chunks whatever it will answer, so that a refusal looks on the wire like everything else; the answer
 * follows the last one.
 */
import { Failure } from '../../policies/failure.ts';
import { NAME } from '../../policies/name.ts';
import type { CborValue, MapReader } from '../encoding/cbor.ts';
import { decodeCbor, encodeCbor, mapReader } from '../encoding/cbor.ts';
import { LIMITS } from './limits.ts';

export type RequestCode =
  | 'request/malformed' // not one of the requests above
  | 'request/chunk-out-of-place'; // a chunk that is not the next one of its input

export const SESSION_ID_BYTES = 16;
export const REQUEST_ID_BYTES = 32;
const SHA256_BYTES = 32;
/** Plaintext of every call: with the longest name it has less than 250 bytes without its zeros. */
export const CALL_BYTES = 512;
/** CBOR's head of a byte string of 256 to 65,535 bytes, less that of an empty one. */
const LONG_HEAD_BYTES = 2;
/** KMS Encrypt gives at most 6,144 bytes (for 4,096 bytes of plaintext). */
const CIPHERTEXT_BYTES = 6_144;

/** Short-lived STS credentials, limited to the party's own key. */
export interface EnclaveCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
}

export interface Authenticate {
  readonly t: 'authenticate';
  readonly keyArn: string;
  readonly sessionId: Uint8Array;
  /** The channel's challenge, encrypted by the party's KMS for purpose `session`. */
  readonly ciphertext: Uint8Array;
  readonly credentials: EnclaveCredentials;
}

export interface Call {
  readonly t: 'call';
  readonly function: string;
  readonly requestId: Uint8Array;
  /** Length of the input itself. */
  readonly inputBytes: number;
  /** Length of what is sent: the input and the zeros behind it. A size that the function's policy names. */
  readonly paddedBytes: number;
}

export interface Chunk {
  readonly t: 'chunk';
  readonly position: number;
  readonly last: boolean;
  readonly data: Uint8Array;
}

export interface Contribute {
  readonly t: 'contribute';
  readonly function: string;
  /** SHA-256 of the whole encrypted envelope, as the orchestrator stores it. */
  readonly envelopeSha256: Uint8Array;
  readonly bytes: number;
  /** The owner says that its host may read it: for an enclave in debug mode, and refused by every other. */
  readonly testData: boolean;
}

export type Request = Authenticate | Call | Chunk | Contribute | { readonly t: 'status' };

export function encodeRequest(request: Request): Uint8Array {
  const encode = (...more: (readonly [string, CborValue])[]): Uint8Array =>
    encodeCbor(new Map<string, CborValue>([['t', request.t], ...entriesOf(request), ...more]));
  if (request.t !== 'call') return encode();
  const bare = encode(['zeros', new Uint8Array(0)]).length;
  return encode(['zeros', new Uint8Array(CALL_BYTES - bare - LONG_HEAD_BYTES)]);
}

function entriesOf(request: Request): readonly (readonly [string, CborValue])[] {
  switch (request.t) {
    case 'authenticate':
      return [
        ['keyArn', request.keyArn],
        ['sessionId', request.sessionId],
        ['ciphertext', request.ciphertext],
        [
          'credentials',
          new Map([
            ['accessKeyId', request.credentials.accessKeyId],
            ['secretAccessKey', request.credentials.secretAccessKey],
            ['sessionToken', request.credentials.sessionToken],
          ]),
        ],
      ];
    case 'call':
      return [
        ['function', request.function],
        ['requestId', request.requestId],
        ['inputBytes', request.inputBytes],
        ['paddedBytes', request.paddedBytes],
      ];
    case 'chunk':
      return [
        ['position', request.position],
        ['last', request.last],
        ['data', request.data],
      ];
    case 'contribute':
      return [
        ['function', request.function],
        ['envelopeSha256', request.envelopeSha256],
        ['bytes', request.bytes],
        ['testData', request.testData],
      ];
    case 'status':
      return [];
  }
}

/** Byte strings are views into `plaintext`, which must not change any more. Throws `request/malformed` or `cbor/…`. */
export function decodeRequest(plaintext: Uint8Array): Request {
  const map = mapReader<RequestCode>(
    decodeCbor(plaintext, { maxBytes: LIMITS.frameBytes, maxDepth: 2, maxItems: 17, views: true }),
    'request/malformed',
    'request',
  );
  const request = readRequest(map);
  map.done();
  // One size, or it would say what the host must not know.
  if (request.t === 'call' && plaintext.length !== CALL_BYTES)
    throw malformed('request', `is not of ${CALL_BYTES} bytes`);
  return request;
}

function readRequest(map: MapReader): Request {
  const t = map.oneOf('t', ['authenticate', 'call', 'chunk', 'contribute', 'status']);
  switch (t) {
    case 'authenticate':
      return {
        t,
        keyArn: map.text('keyArn', { min: 1, max: 256 }),
        sessionId: map.bytes('sessionId', { exact: SESSION_ID_BYTES }),
        ciphertext: map.bytes('ciphertext', { min: 1, max: CIPHERTEXT_BYTES }),
        credentials: readCredentials(map.map('credentials')),
      };
    case 'call': {
      const paddedBytes = map.uint('paddedBytes', { max: LIMITS.inputBytes });
      if (map.bytes('zeros', {}).some((byte) => byte !== 0)) throw malformed('request.zeros', 'is not zero');
      return {
        t,
        function: functionName(map),
        requestId: map.bytes('requestId', { exact: REQUEST_ID_BYTES }),
        inputBytes: map.uint('inputBytes', { max: paddedBytes }),
        paddedBytes,
      };
    }
    case 'chunk':
      return {
        t,
        position: map.uint('position', { max: LIMITS.inputBytes }),
        last: map.boolean('last'),
        data: map.bytes('data', { max: LIMITS.chunkBytes }),
      };
    case 'contribute':
      return {
        t,
        function: functionName(map),
        envelopeSha256: map.bytes('envelopeSha256', { exact: SHA256_BYTES }),
        bytes: map.uint('bytes', { min: 1, max: LIMITS.contributionBytes }),
        testData: map.boolean('testData'),
      };
    case 'status':
      return { t };
  }
}

function readCredentials(map: MapReader): EnclaveCredentials {
  const credentials = {
    accessKeyId: map.text('accessKeyId', { min: 1, max: 128 }),
    secretAccessKey: map.text('secretAccessKey', { min: 1, max: 256 }),
    sessionToken: map.text('sessionToken', { min: 1, max: 8_192 }),
  };
  map.done();
  return credentials;
}

function functionName(map: MapReader): string {
  const name = map.text('function', { max: 63 });
  if (!NAME.test(name)) throw malformed('request.function', 'is not a name');
  return name;
}

function malformed(where: string, is: string): Failure<RequestCode> {
  return new Failure('malformed', 'request/malformed', `${where} ${is}`, { where });
}

/**
 * The chunks of an input and of the zeros behind it, in order: `paddedBytes` in all. Each `data` is a view into `input`, as
 * far as there is input.
 */
export function* inputChunks(input: Uint8Array, paddedBytes: number = input.length): Generator<Chunk, void, undefined> {
  let position = 0;
  do {
    const bytes = Math.min(LIMITS.chunkBytes, paddedBytes - position);
    const data = paddedTo(bytes, input.subarray(position, position + bytes));
    yield { t: 'chunk', position, last: position + bytes === paddedBytes, data };
    position += bytes;
  } while (position < paddedBytes);
}

function paddedTo(bytes: number, data: Uint8Array): Uint8Array {
  if (data.length === bytes) return data;
  const padded = new Uint8Array(bytes);
  padded.set(data);
  return padded;
}

export interface ChunkOrder {
  /** Takes the next chunk; true where it is the last. Throws `request/chunk-out-of-place`. */
  add(chunk: Chunk): boolean;
}

/**
 * Whether the chunks of an input come as `inputChunks` gives them. Keeps nothing of them; that `paddedBytes` is within the
 * policy's limit is for the caller to check.
 */
export function chunkOrder(paddedBytes: number): ChunkOrder {
  let arrived = 0;
  let complete = false;
  return {
    add({ position, last, data }) {
      const expected = Math.min(LIMITS.chunkBytes, paddedBytes - arrived);
      const ends = arrived + data.length === paddedBytes;
      if (complete || position !== arrived || data.length !== expected || last !== ends) {
        throw new Failure<RequestCode>(
          'malformed',
          'request/chunk-out-of-place',
          `a chunk of ${data.length} bytes at ${position}; expected ${expected} at ${arrived}`,
        );
      }
      arrived += data.length;
      complete = last;
      return last;
    },
  };
}
