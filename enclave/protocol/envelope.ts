/**
 * An encrypted file: a header that says which KMS key opens it and what for, then the content as a STREAM.
 *
 *     struct {
 *       uint32 headerLength;               // big-endian, 1..16,384
 *       opaque header[headerLength];       // one CBOR map, deterministic
 *       Chunk stream[1..2^32];             // crypto/stream.ts, under the data key
 *     } Envelope;
 *
 *     header = { v: 1, keyArn: text[1..256], dataKey: bytes[1..6,144], context: { text => text },
 *                noncePrefix: bytes[7], ? plaintextBytes: uint }
 *
 * `dataKey` is KMS's ciphertext of a 256-bit key that encrypts this one file, made with `context`. The additional data
 * of every chunk is SHA-384(headerLength || header): a header that was exchanged opens nothing.
 */
import { Failure } from '../../policies/failure.ts';
import { importAeadKey } from '../crypto/aead.ts';
import { sha384 } from '../crypto/digest.ts';
import { concat } from '../encoding/bytes.ts';
import type { StreamCode } from '../crypto/stream.ts';
import { STREAM, openStream, sealStream, sealedStreamBytes } from '../crypto/stream.ts';
import type { CborValue } from '../encoding/cbor.ts';
import { decodeCbor, encodeCbor, mapReader } from '../encoding/cbor.ts';
import type { EncryptionContext } from './context.ts';

export type EnvelopeCode =
  | 'envelope/malformed' // not an envelope
  | 'envelope/truncated' // ends inside its header
  | 'envelope/wrong-length'; // the content has another length than the header says

const HEADER_BYTES = 16_384;
const LENGTH_BYTES = 4;
const CONTEXT_ENTRIES = 8;

export interface EnvelopeHeader {
  readonly keyArn: string;
  /** KMS `CiphertextBlob` of the data key. */
  readonly dataKey: Uint8Array;
  readonly context: EncryptionContext;
  /** 7 bytes. */
  readonly noncePrefix: Uint8Array;
  /** Length of the content where it was known beforehand. */
  readonly plaintextBytes?: number;
}

type Source = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** An envelope whose header was read. Its context is what it claims: whether that is the right one is yours to check. */
export interface ReadEnvelope {
  readonly header: EnvelopeHeader;
  /** The content, chunk by chunk, under the data key (32 bytes). Once. Not to be acted on before it is done. */
  open(dataKey: Uint8Array): AsyncGenerator<Uint8Array, void, undefined>;
}

/** Bytes of the whole envelope, for progress and for Content-Length. */
export function envelopeBytes(header: EnvelopeHeader, plaintextBytes: number): number {
  return encodeHeader(header).length + sealedStreamBytes(plaintextBytes);
}

/** Header and sealed chunks, one after the other. The caller erases `dataKey` (32 bytes) when it is done. */
export async function* sealEnvelope(
  header: EnvelopeHeader,
  dataKey: Uint8Array,
  plaintext: Source,
): AsyncGenerator<Uint8Array, void, undefined> {
  const head = encodeHeader(header);
  const key = await importAeadKey(dataKey);
  yield head;
  const stream = { key, prefix: header.noncePrefix, additionalData: await sha384(head) };
  yield* sealStream(stream, counted(plaintext, header.plaintextBytes));
}

/** Reads the header and stops there. Throws `envelope/…` or `cbor/…`; reading the content throws `stream/…`. */
export async function readEnvelope(source: Source): Promise<ReadEnvelope> {
  const reader = headReader(source);
  const lengthField = await reader.take(LENGTH_BYTES);
  const length = new DataView(lengthField.buffer).getUint32(0);
  if (length === 0 || length > HEADER_BYTES) {
    throw new Failure<EnvelopeCode>('malformed', 'envelope/malformed', 'this is not an Accord envelope', {
      where: 'offset 0',
      hint: 'make one with `accord encrypt`',
    });
  }
  const body = await reader.take(length);
  const header = decodeHeader(body);
  const head = concat(lengthField, body);
  return {
    header,
    async *open(dataKey) {
      const key = await importAeadKey(dataKey);
      const stream = { key, prefix: header.noncePrefix, additionalData: await sha384(head) };
      yield* counted(openStream(stream, reader.rest()), header.plaintextBytes);
    },
  };
}

function encodeHeader(header: EnvelopeHeader): Uint8Array {
  const entries: [string, CborValue][] = [
    ['v', 1],
    ['keyArn', header.keyArn],
    ['dataKey', header.dataKey],
    ['context', new Map(Object.entries(header.context))],
    ['noncePrefix', header.noncePrefix],
  ];
  if (header.plaintextBytes !== undefined) entries.push(['plaintextBytes', header.plaintextBytes]);
  const body = encodeCbor(new Map(entries));
  if (body.length > HEADER_BYTES) throw new RangeError(`an envelope header of ${body.length} bytes`);
  const length = new Uint8Array(LENGTH_BYTES);
  new DataView(length.buffer).setUint32(0, body.length);
  return concat(length, body);
}

function decodeHeader(body: Uint8Array): EnvelopeHeader {
  const map = mapReader<EnvelopeCode>(
    decodeCbor(body, { maxBytes: HEADER_BYTES, maxDepth: 2, maxItems: 14 + 2 * CONTEXT_ENTRIES }),
    'envelope/malformed',
    'header',
  );
  map.uint('v', { min: 1, max: 1 });
  const context: Record<string, string> = {};
  const entries = map.map('context').entries();
  for (const [key, value] of entries) {
    if (typeof key !== 'string' || typeof value !== 'string' || key === '__proto__') {
      throw new Failure<EnvelopeCode>('malformed', 'envelope/malformed', 'header.context is not a map of texts');
    }
    context[key] = value;
  }
  const header = {
    keyArn: map.text('keyArn', { min: 1, max: 256 }),
    dataKey: map.bytes('dataKey', { min: 1, max: 6_144 }),
    context,
    noncePrefix: map.bytes('noncePrefix', { exact: STREAM.prefixBytes }),
  };
  const known = map.has('plaintextBytes') ? { plaintextBytes: map.uint('plaintextBytes') } : {};
  map.done();
  return { ...header, ...known };
}

/** Passes a source through and demands the length that was announced. */
async function* counted(source: Source, bytes: number | undefined): AsyncGenerator<Uint8Array, void, undefined> {
  let count = 0;
  for await (const part of source) {
    count += part.length;
    if (bytes !== undefined && count > bytes) break;
    yield part;
  }
  if (bytes === undefined || count === bytes) return;
  throw new Failure<EnvelopeCode | StreamCode>(
    'malformed',
    'envelope/wrong-length',
    `the content has ${count > bytes ? 'more' : 'less'} than the ${bytes} bytes that were announced`,
    { hint: 'the file changed while it was read, or the envelope was made by something else' },
  );
}

interface HeadReader {
  take(bytes: number): Promise<Uint8Array<ArrayBuffer>>;
  rest(): AsyncGenerator<Uint8Array, void, undefined>;
}

/** Takes a few exact lengths from the front of a source, then gives what is left of it. */
function headReader(source: Source): HeadReader {
  const parts = iterate(source);
  let held: Uint8Array = new Uint8Array(0);
  return {
    async take(bytes) {
      while (held.length < bytes) {
        const next = await parts.next();
        if (next.done === true) {
          throw new Failure<EnvelopeCode>('malformed', 'envelope/truncated', 'the envelope ends inside its header', {
            where: `offset ${held.length}`,
          });
        }
        held = concat(held, next.value);
      }
      const taken = concat(held.subarray(0, bytes));
      held = held.subarray(bytes);
      return taken;
    },
    async *rest() {
      yield held;
      held = new Uint8Array(0);
      yield* parts;
    },
  };
}

async function* iterate(source: Source): AsyncGenerator<Uint8Array, void, undefined> {
  yield* source;
}
