/**
 * One question to the host and its answer, each a frame as in `protocol/frame.ts`, then perhaps raw bytes of a length that
 * was said before. Every answer ends by its length, and whoever asked closes: over vsock the end of a stream may come late
 * or never.
 */
import type { Duplex } from 'node:stream';
import { Failure } from '../../policies/failure.ts';
import type { Timers } from '../deadline.ts';
import { within } from '../deadline.ts';
import type { CborCode, CborValue, MapReader } from '../encoding/cbor.ts';
import { decodeCbor, encodeCbor, mapReader } from '../encoding/cbor.ts';
import type { FrameCode } from '../protocol/frame.ts';
import { frameReader, writeFrame } from '../protocol/frame.ts';

export type HostCode =
  | CborCode
  | FrameCode
  | 'host/malformed' // not an answer of this protocol
  | 'host/silent' // closed without an answer: whoever stands behind it is not there yet, or no more
  | 'host/dial-refused' // the relay's allow-list does not have it, or it could not be reached
  | 'host/not-stored' // the host would not keep a record: its disk, or a limit of its own
  | 'host/blob-length'; // fewer bytes than announced

/** Most bytes of an answer that is no more than a few words. */
export const REPLY_BYTES = 4096;
/** The host has so long for its answer, and for each part of what it sends or takes. */
export const STALL_MS = 30_000;
/** Written at once; the stream says when it has room for more. */
const WRITE_BYTES = 65_536;

export interface Answer<T extends string> {
  readonly t: T;
  readonly map: MapReader;
}

/** Asks and reads what kind of answer came; the fields are for the caller to read. Throws `Failure<HostCode>`. */
export async function ask<const T extends string>(
  stream: Duplex,
  question: Readonly<Record<string, CborValue>>,
  answers: readonly T[],
  maxBytes: number,
  signal: AbortSignal,
): Promise<Answer<T>> {
  await writeFrame(stream, encodeCbor(new Map(Object.entries(question))), signal);
  return readAnswer(stream, answers, maxBytes, signal);
}

export async function readAnswer<const T extends string>(
  stream: Duplex,
  answers: readonly T[],
  maxBytes: number,
  signal: AbortSignal,
): Promise<Answer<T>> {
  const body = await frameReader(stream, maxBytes).readFrame(signal);
  if (body === undefined) {
    throw new Failure<HostCode>('environment', 'host/silent', 'the host closed the connection without an answer');
  }
  const value = decodeCbor(body, { maxBytes, maxDepth: 3, maxItems: 128 });
  const map = mapReader<HostCode>(value, 'host/malformed', 'host');
  return { t: map.oneOf('t', answers), map };
}

/** So many bytes and no more, with the stream's own back-pressure. `what` completes "the next part of ...". */
export async function* exactly(
  stream: Duplex,
  bytes: number,
  what: string,
  timers: Timers,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const parts: AsyncIterator<unknown> = stream[Symbol.asyncIterator]();
  let left = bytes;
  // Only the host is on the clock: whoever takes the parts may think as long as it likes between two of them.
  const next = (): Promise<IteratorResult<unknown>> =>
    onTheClock(stream, `the next part of ${what}`, timers, signal, async () => {
      try {
        return await parts.next();
      } catch (cause) {
        throw cutOff(bytes - left, bytes, cause);
      }
    });
  try {
    while (left > 0) {
      const { done, value } = await next();
      if (done === true) throw cutOff(bytes - left, bytes);
      if (!(value instanceof Uint8Array)) throw malformed('a stream that is not binary');
      const taken = value.subarray(0, left);
      left -= taken.length;
      yield taken;
    }
  } finally {
    stream.destroy();
  }
}

/** Writes raw bytes as fast as the host takes them. */
export async function pour(
  stream: Duplex,
  parts: readonly Uint8Array[],
  what: string,
  timers: Timers,
  signal: AbortSignal,
): Promise<void> {
  for (const part of parts) {
    for (let at = 0; at < part.length; at += WRITE_BYTES) {
      const piece = part.subarray(at, at + WRITE_BYTES);
      await onTheClock(stream, `the host's taking of ${what}`, timers, signal, () => write(stream, piece));
    }
  }
}

function write(stream: Duplex, piece: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const broken = (cause?: unknown): void =>
      reject(new Failure<HostCode>('environment', 'frame/closed', 'the host broke the connection', { cause }));
    if (!stream.writable) return broken();
    const closed = (): void => broken();
    stream.once('close', closed);
    stream.write(piece, (error) => {
      stream.removeListener('close', closed);
      // Node reports no error for what was still to be written when the stream was destroyed.
      if ((error === null || error === undefined) && !stream.destroyed) resolve();
      else broken(error);
    });
  });
}

/** Runs one wait for the host under a limit that destroys the stream, which ends the wait. */
function onTheClock<Result>(
  stream: Duplex,
  what: string,
  timers: Timers,
  signal: AbortSignal,
  wait: () => Promise<Result>,
): Promise<Result> {
  return within(
    timers,
    STALL_MS,
    what,
    async (limit) => {
      const abort = (): void => void stream.destroy();
      limit.addEventListener('abort', abort, { once: true });
      try {
        limit.throwIfAborted();
        return await wait();
      } catch (error) {
        limit.throwIfAborted();
        throw error;
      } finally {
        limit.removeEventListener('abort', abort);
      }
    },
    signal,
  );
}

export async function orDestroy<Result>(stream: Duplex, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    stream.destroy();
    throw error;
  }
}

function cutOff(got: number, bytes: number, cause?: unknown): Failure<HostCode> {
  return new Failure('environment', 'host/blob-length', `the host sent ${got} of ${bytes} bytes`, { cause });
}

export function malformed(what: string): Failure<HostCode> {
  return new Failure('malformed', 'host/malformed', `the host sent ${what} that is not of this protocol`);
}
