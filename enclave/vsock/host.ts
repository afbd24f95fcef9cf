/**
 * What the enclave asks of its host, and what it takes for an answer. Frames as in `protocol/frame.ts`. Nothing here is
 * trusted: keys and roots are compared with hashes in the policy, blobs with a hash that the party named.
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

export function createHost(vsock: Vsock): Host {
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
        const reply = await ask(stream, { t: 'contribution', function: name }, ['blob', 'absent'], REPLY_BYTES, signal);
        if (reply.t === 'absent') {
          stream.destroy();
          return undefined;
        }
        const bytes = reply.map.uint('bytes', { min: 1, max: LIMITS.contributionBytes });
        reply.map.done();
        return { bytes, content: () => exactly(stream, bytes, signal), close: () => void stream.destroy() };
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
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  let left = bytes;
  const abort = (): void => void stream.destroy(signal.reason instanceof Error ? signal.reason : undefined);
  signal.addEventListener('abort', abort, { once: true });
  try {
    signal.throwIfAborted();
    for await (const part of stream) {
      const chunk: unknown = part;
      if (!(chunk instanceof Uint8Array)) throw malformed('a stream that is not binary');
      const taken = chunk.subarray(0, left);
      left -= taken.length;
      yield taken;
      if (left === 0) return;
    }
    throw new Failure<HostCode>('environment', 'host/blob-length', `the host sent ${bytes - left} of ${bytes} bytes`);
  } finally {
    signal.removeEventListener('abort', abort);
    stream.destroy();
  }
}

function malformed(what: string): Failure<HostCode> {
  return new Failure('malformed', 'host/malformed', `the host sent ${what} that is not of this protocol`);
}
