/**
 * Frames and the messages in them that the relay can read. Everything else is sealed.
 *
 *     struct {
 *       uint32 length;             // big-endian, 1..327,680 (LIMITS.frameBytes)
 *       opaque body[length];       // one CBOR map, deterministic, nothing after it
 *     } Frame;
 *
 *     hello   = { t: "hello", v: 1, nonce: bytes[32] }              party -> enclave, once, first
 *     welcome = { t: "welcome", attestation: bytes[1..20,480] }     enclave -> party, once
 *     open    = { t: "open", enc: bytes[32], ct: bytes }            party -> enclave, once
 *     sealed  = { t: "sealed", ct: bytes }                          both ways, in order
 *     closed  = { t: "closed" }                                     either way, last; says nothing about why
 *
 * Over a WebSocket a binary message is one body, without the length.
 */
import type { Duplex, Readable } from 'node:stream';
import { Failure } from '../../policies/failure.ts';
import { decodeCbor, encodeCbor, mapReader } from '../encoding/cbor.ts';
import { LIMITS } from './limits.ts';

export type FrameCode =
  | 'frame/oversized' // longer than the limit; nothing was allocated for it
  | 'frame/empty'
  | 'frame/truncated' // the stream ended inside a frame
  | 'frame/closed' // the stream broke or ended where a frame was to be written
  | 'frame/malformed'; // not one of the messages above

export const PROTOCOL_VERSION = 1;
export const NONCE_BYTES = 32;
const HEAD_BYTES = 4;
const TAG_BYTES = 16;
const ENC_BYTES = 32;

export type OuterMessage =
  | { readonly t: 'hello'; readonly v: 1; readonly nonce: Uint8Array }
  | { readonly t: 'welcome'; readonly attestation: Uint8Array }
  | { readonly t: 'open'; readonly enc: Uint8Array; readonly ct: Uint8Array }
  | { readonly t: 'sealed'; readonly ct: Uint8Array }
  | { readonly t: 'closed' };

/** The CBOR body of a message, ready for `encodeFrame`, `writeFrame` or a WebSocket message. */
export function encodeOuter(message: OuterMessage): Uint8Array {
  const entries = (): readonly (readonly [string, string | number | Uint8Array])[] => {
    switch (message.t) {
      case 'hello':
        return [
          ['v', message.v],
          ['nonce', message.nonce],
        ];
      case 'welcome':
        return [['attestation', message.attestation]];
      case 'open':
        return [
          ['enc', message.enc],
          ['ct', message.ct],
        ];
      case 'sealed':
        return [['ct', message.ct]];
      case 'closed':
        return [];
    }
  };
  return encodeCbor(new Map([['t', message.t] as const, ...entries()]));
}

/**
 * Byte strings of the message are views into `body`, which must not change any more. Throws `frame/malformed`, or a
 * `cbor/…` failure, for anything but one of the five messages.
 */
export function decodeOuter(body: Uint8Array): OuterMessage {
  checkLength(body.length, LIMITS.frameBytes);
  const map = mapReader<FrameCode>(
    decodeCbor(body, { maxBytes: LIMITS.frameBytes, maxDepth: 1, maxItems: 9, views: true }),
    'frame/malformed',
    'frame',
  );
  const t = map.oneOf('t', ['hello', 'welcome', 'open', 'sealed', 'closed']);
  const read = (): OuterMessage => {
    switch (t) {
      case 'hello':
        map.uint('v', { min: PROTOCOL_VERSION, max: PROTOCOL_VERSION });
        return { t, v: PROTOCOL_VERSION, nonce: map.bytes('nonce', { exact: NONCE_BYTES }) };
      case 'welcome':
        return { t, attestation: map.bytes('attestation', { min: 1, max: LIMITS.attestationBytes }) };
      case 'open':
        return { t, enc: map.bytes('enc', { exact: ENC_BYTES }), ct: map.bytes('ct', { min: TAG_BYTES }) };
      case 'sealed':
        return { t, ct: map.bytes('ct', { min: TAG_BYTES }) };
      case 'closed':
        return { t };
    }
  };
  const message = read();
  map.done();
  return message;
}

/** What stands before a body of this length. */
export function frameHead(length: number, maxBytes: number = LIMITS.frameBytes): Uint8Array {
  checkLength(length, maxBytes);
  const head = new Uint8Array(HEAD_BYTES);
  new DataView(head.buffer).setUint32(0, length);
  return head;
}

/** Length and body in one array. */
export function encodeFrame(body: Uint8Array, maxBytes: number = LIMITS.frameBytes): Uint8Array {
  checkLength(body.length, maxBytes);
  const frame = new Uint8Array(HEAD_BYTES + body.length);
  new DataView(frame.buffer).setUint32(0, body.length);
  frame.set(body, HEAD_BYTES);
  return frame;
}

/** Writes one frame, and waits until the stream has room for the next. */
export async function writeFrame(stream: Duplex, body: Uint8Array, signal?: AbortSignal): Promise<void> {
  const frame = encodeFrame(body);
  signal?.throwIfAborted();
  await writeNow(stream, frame)(signal);
}

/**
 * Writes a frame that is encoded already, before it returns. What it gives waits until the stream has room for the next,
 * and throws where the connection was gone or broke.
 */
export function writeNow(stream: Duplex, frame: Uint8Array): (signal?: AbortSignal) => Promise<void> {
  if (!stream.writable) return () => Promise.reject(closed('the connection is closed'));
  let failure: Error | undefined;
  // The write's own callback reports what went wrong; a stream's 'error' event alone would go unheard here.
  const roomy = stream.write(frame, (error) => (failure = error ?? undefined));
  return async (signal) => {
    if (!roomy && stream.writableNeedDrain) await room(stream, signal);
    if (failure !== undefined || stream.destroyed) throw closed('the connection broke', failure ?? stream.errored);
  };
}

export interface FrameReader {
  /** The next body; undefined where the stream ended between two frames. One call at a time; an aborted one is the last. */
  readFrame(signal?: AbortSignal): Promise<Uint8Array | undefined>;
}

/** A stream has more, or will never have. */
const ARRIVALS = ['readable', 'end', 'close', 'error'] as const;

/**
 * Takes from the stream exactly what belongs to a frame, and nothing ahead of it, so that whoever is handed the stream
 * afterwards (TLS after a dial) finds every byte. The length is checked before anything is allocated for the body.
 */
export function frameReader(stream: Readable, maxBytes: number = LIMITS.frameBytes): FrameReader {
  const exactly = (bytes: number, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer> | undefined> =>
    new Promise((resolve, reject) => {
      let whole = new Uint8Array(0);
      let missing = bytes;
      let isWaiting = false;
      // What is there is taken at once, up to what is missing: a stream whose buffer is never emptied would wake its reader
      // again and again without anything new.
      const takeWhatIsThere = (): void => {
        while (missing > 0 && !stream.destroyed) {
          const found: unknown = stream.read(Math.min(missing, Math.max(1, stream.readableLength)));
          if (!(found instanceof Uint8Array)) return;
          // Of a length that was checked, and made when the first byte is there.
          if (missing === bytes) whole = new Uint8Array(bytes);
          whole.set(found, bytes - missing);
          missing -= found.length;
        }
      };
      const look = (): void => {
        if (signal?.aborted === true) return settle(() => reject(signal.reason));
        takeWhatIsThere();
        if (missing === 0) return settle(() => resolve(whole));
        if (stream.errored) return settle(() => reject(closed('the connection broke', stream.errored)));
        if (stream.readableEnded || stream.destroyed) {
          return settle(() => resolve(missing === bytes ? undefined : whole.subarray(0, bytes - missing)));
        }
        if (!isWaiting) wait();
      };
      // Nothing that a listener throws may reach the stream.
      const take = (): void => {
        try {
          look();
        } catch (error) {
          settle(() => reject(error instanceof Error ? error : new Error('the stream cannot be read')));
        }
      };
      const wait = (): void => {
        isWaiting = true;
        for (const event of ARRIVALS) stream.on(event, take);
        signal?.addEventListener('abort', take);
      };
      const settle = (run: () => void): void => {
        if (isWaiting) for (const event of ARRIVALS) stream.removeListener(event, take);
        signal?.removeEventListener('abort', take);
        run();
      };
      take();
    });
  return {
    async readFrame(signal) {
      const head = await exactly(HEAD_BYTES, signal);
      if (head === undefined) return undefined;
      if (head.length < HEAD_BYTES) throw truncated(head.length, HEAD_BYTES);
      const length = new DataView(head.buffer, head.byteOffset).getUint32(0);
      checkLength(length, maxBytes);
      const body = await exactly(length, signal);
      if (body === undefined || body.length < length) throw truncated(body?.length ?? 0, length);
      return body;
    },
  };
}

/** Resolves when the stream takes more, or never will, and leaves no listener behind. Rejects when the signal is aborted. */
function room(stream: Duplex, signal?: AbortSignal): Promise<void> {
  const events = ['drain', 'close', 'error'] as const;
  return new Promise((resolve, reject) => {
    const done = (): void => {
      for (const event of events) stream.removeListener(event, done);
      signal?.removeEventListener('abort', done);
      if (signal?.aborted === true) reject(signal.reason);
      else resolve();
    };
    for (const event of events) stream.on(event, done);
    signal?.addEventListener('abort', done);
    if (signal?.aborted === true || stream.destroyed) done();
  });
}

function checkLength(length: number, maxBytes: number): void {
  if (length === 0) throw new Failure<FrameCode>('malformed', 'frame/empty', 'a frame of no bytes');
  if (length > maxBytes) {
    throw new Failure<FrameCode>(
      'malformed',
      'frame/oversized',
      `a frame of ${length} bytes; at most ${maxBytes} are taken`,
    );
  }
}

function truncated(got: number, wanted: number): Failure<FrameCode> {
  return new Failure(
    'malformed',
    'frame/truncated',
    `the stream ended inside a frame, after ${got} of ${wanted} bytes`,
  );
}

function closed(message: string, cause?: unknown): Failure<FrameCode> {
  return new Failure('environment', 'frame/closed', message, { cause, hint: 'connect again' });
}
