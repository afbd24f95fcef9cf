/**
 * What the enclave asks of its host, and what it takes for an answer. Frames as in `protocol/frame.ts`. Nothing here is
 * trusted: keys and roots are compared with hashes in the policy, blobs with a hash that the party named. Every answer ends
 * by its length, and whoever asked closes: over vsock the end of a stream may come late or never. What the host adds to an
 * answer is not read, what it leaves out is waited for until a limit.
 *
 *     port 8000   { t: "dial", host: text, port: uint }     -> { t: "dialled" }, then raw bytes both ways
 *                                                            / { t: "refused", reason: text[0..512] }
 *     port 8001   { t: "launch" }                           -> { t: "launch", keyArns: [1..64 text[1..256]],
 *                                                                             roots: [0..16 bytes[1..8192]] }
 *     port 8002   { t: "contribution", function: text }     -> { t: "blob", bytes: uint }, then so many raw bytes
 *                                                            / { t: "absent" }
 */
import type { Duplex } from 'node:stream';
import { Failure } from '../../policies/failure.ts';
import type { Timers } from '../deadline.ts';
import { within } from '../deadline.ts';
import type { CborCode, CborValue, MapReader } from '../encoding/cbor.ts';
import { decodeCbor, encodeCbor, mapReader } from '../encoding/cbor.ts';
import type { FrameCode } from '../protocol/frame.ts';
import { frameReader, writeFrame } from '../protocol/frame.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { Vsock } from './socket.ts';
import { PORTS } from './socket.ts';

export type HostCode =
  | CborCode
  | FrameCode
  | 'host/malformed' // not an answer of this protocol
  | 'host/silent' // closed without an answer: whoever stands behind it is not there yet, or no more
  | 'host/dial-refused' // the relay's allow-list does not have it, or it could not be reached
  | 'host/blob-length'; // fewer bytes than announced

export interface LaunchInformation {
  readonly keyArns: readonly string[];
  /** X.509 certificates in DER. */
  readonly roots: readonly Uint8Array[];
}

/** A contribution as it arrives. Whoever does not read to the end calls `close`. */
export interface Blob {
  readonly bytes: number;
  content(): AsyncGenerator<Uint8Array, void, undefined>;
  close(): void;
}

export interface Host {
  /** A connection to `host:port` out there, through the relay. */
  dial(host: string, port: number, signal: AbortSignal): Promise<Duplex>;
  launch(signal: AbortSignal): Promise<LaunchInformation>;
  /** Undefined where the host has none. */
  contribution(name: string, signal: AbortSignal): Promise<Blob | undefined>;
}

const REPLY_BYTES = 4096;
/** A contribution of which nothing comes for so long is broken off. */
const STALL_MS = 30_000;

export function createHost(vsock: Vsock, timers: Timers): Host {
  return {
    async dial(host, port, signal) {
      const stream = await vsock.dial(PORTS.outbound, signal);
      return orDestroy(stream, async () => {
        const reply = await ask(stream, { t: 'dial', host, port }, ['dialled', 'refused'], REPLY_BYTES, signal);
        if (reply.t === 'refused') {
          const reason = reply.map.text('reason', { max: 512 });
          throw new Failure<HostCode>(
            'environment',
            'host/dial-refused',
            `the relay refused ${host}:${port}: ${reason}`,
          );
        }
        reply.map.done();
        return stream;
      });
    },

    async launch(signal) {
      const stream = await vsock.dial(PORTS.launch, signal);
      try {
        const { map } = await ask(stream, { t: 'launch' }, ['launch'], LIMITS.frameBytes, signal);
        const keyArns = map.array('keyArns', { min: 1, max: 64 }).map((arn) => {
          if (typeof arn !== 'string' || arn.length === 0 || arn.length > 256) throw malformed('a key ARN');
          return arn;
        });
        const roots = map.array('roots', { max: 16 }).map((root) => {
          if (!(root instanceof Uint8Array) || root.length === 0 || root.length > 8192) throw malformed('a root');
          return root;
        });
        map.done();
        return { keyArns, roots };
      } finally {
        stream.destroy();
      }
    },

    async contribution(name, signal) {
      const stream = await vsock.dial(PORTS.blobs, signal);
      return orDestroy(stream, async () => {
        const question = { t: 'contribution', function: name };
        const reply = await within(
          timers,
          STALL_MS,
          "the host's answer about a contribution",
          (limit) => ask(stream, question, ['blob', 'absent'], REPLY_BYTES, limit),
          signal,
        );
        if (reply.t === 'absent') {
          stream.destroy();
          return undefined;
        }
        const bytes = reply.map.uint('bytes', { min: 1, max: LIMITS.contributionBytes });
        reply.map.done();
        return { bytes, content: () => exactly(stream, bytes, timers, signal), close: () => void stream.destroy() };
      });
    },
  };
}

async function orDestroy<Result>(stream: Duplex, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    stream.destroy();
    throw error;
  }
}

async function ask<const T extends string>(
  stream: Duplex,
  question: Readonly<Record<string, CborValue>>,
  answers: readonly T[],
  maxBytes: number,
  signal: AbortSignal,
): Promise<{ readonly t: T; readonly map: MapReader }> {
  await writeFrame(stream, encodeCbor(new Map(Object.entries(question))), signal);
  const body = await frameReader(stream, maxBytes).readFrame(signal);
  if (body === undefined) {
    throw new Failure<HostCode>('environment', 'host/silent', 'the host closed the connection without an answer');
  }
  const value = decodeCbor(body, { maxBytes, maxDepth: 3, maxItems: 128 });
  const map = mapReader<HostCode>(value, 'host/malformed', 'host');
  return { t: map.oneOf('t', answers), map };
}

/** So many bytes and no more, with the stream's own back-pressure. */
async function* exactly(
  stream: Duplex,
  bytes: number,
  timers: Timers,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const parts: AsyncIterator<unknown> = stream[Symbol.asyncIterator]();
  let left = bytes;
  // Only the host is on the clock: whoever takes the parts may think as long as it likes between two of them.
  const next = (): Promise<IteratorResult<unknown>> =>
    within(
      timers,
      STALL_MS,
      'the next part of a contribution',
      async (limit) => {
        const abort = (): void => void stream.destroy();
        limit.addEventListener('abort', abort, { once: true });
        try {
          limit.throwIfAborted();
          return await parts.next();
        } catch (cause) {
          limit.throwIfAborted();
          throw cutOff(bytes - left, bytes, cause);
        } finally {
          limit.removeEventListener('abort', abort);
        }
      },
      signal,
    );
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

function cutOff(got: number, bytes: number, cause?: unknown): Failure<HostCode> {
  return new Failure('environment', 'host/blob-length', `the host sent ${got} of ${bytes} bytes`, { cause });
}

function malformed(what: string): Failure<HostCode> {
  return new Failure('malformed', 'host/malformed', `the host sent ${what} that is not of this protocol`);
}
