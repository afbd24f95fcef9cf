/** A session's frames over a WebSocket: each binary message is one frame body. */
import { WebSocket } from 'ws';
import type { RawData } from 'ws';
import type { IncomingMessage } from 'node:http';
import { LIMITS } from '../../enclave/protocol/limits.ts';
import { Failure } from '../../policies/failure.ts';
import type { FrameChannel } from '../session/channel.ts';
import { inTime } from '../session/patience.ts';
import { printable } from '../printable.ts';
import type { CoordinatorCode } from './problem.ts';
import { problemOf, unreachable } from './problem.ts';

/** Frames held before the relay is asked to wait: the protocol answers one by one, so more than a few is a fault. */
const HELD_FRAMES = 4;
const CLOSE_MS = 1_000;
const PROBLEM_BYTES = 65_536;

/** Connects; the enclave's side is then waiting for `hello`. `signal` covers the connecting alone. */
export async function connectFrames(url: URL, connectMs: number, signal?: AbortSignal): Promise<FrameChannel> {
  signal?.throwIfAborted();
  const late = unreachable(url, new Error(`no answer in ${connectMs / 1000} s`));
  const socket = new WebSocket(url, {
    perMessageDeflate: false,
    maxPayload: LIMITS.frameBytes,
    followRedirects: false,
    // Masks keep a browser's page from choosing the bytes on the wire (RFC 6455, 10.3). These are ciphertext, which nobody
    // chooses; a mask of zeros saves both ends a pass over every byte.
    generateMask: (mask) => mask.fill(0),
  });
  // From now on: a socket without this listener would take the process down with it.
  socket.on('error', () => {});
  const channel = frameChannel(socket);
  try {
    await inTime(connectMs, late, signal, () => opened(socket, url));
    return channel;
  } catch (error) {
    socket.terminate();
    throw error;
  }
}

function opened(socket: WebSocket, url: URL): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('unexpected-response', (_, response) => {
      readProblem(response).then(
        (body) => reject(problemOf(response.statusCode ?? 0, body, url.href)),
        () => reject(problemOf(response.statusCode ?? 0, undefined, url.href)),
      );
    });
    socket.once('error', (cause) => reject(unreachable(url, cause)));
    socket.once('close', () => reject(unreachable(url, new Error('the connection was closed'))));
  });
}

async function readProblem(response: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of response) {
    if (!Buffer.isBuffer(part)) continue;
    length += part.length;
    if (length > PROBLEM_BYTES) return undefined;
    parts.push(part);
  }
  return JSON.parse(Buffer.concat(parts).toString('utf8'));
}

interface Waiter {
  readonly resolve: (body: Uint8Array) => void;
  readonly reject: (error: unknown) => void;
}

function frameChannel(socket: WebSocket): FrameChannel {
  const held: Uint8Array[] = [];
  const waiters: Waiter[] = [];
  let ended: Failure<CoordinatorCode> | undefined;

  const end = (failure: Failure<CoordinatorCode>): void => {
    ended ??= failure;
    for (const waiter of waiters.splice(0)) waiter.reject(ended);
  };
  socket.on('message', (data, isBinary) => {
    if (!isBinary) {
      end(cut('the relay sent a text where only frames may be'));
      socket.terminate();
      return;
    }
    const body = toBytes(data);
    const waiter = waiters.shift();
    if (waiter !== undefined) waiter.resolve(body);
    else {
      held.push(body);
      if (held.length >= HELD_FRAMES) socket.pause();
    }
  });
  socket.on('error', (cause) => end(cut(`the connection broke: ${printable(cause.message)}`, cause)));
  socket.on('close', (code, reason) => {
    const said = printable(reason.toString('utf8')).slice(0, 120);
    end(cut(`the connection was closed${said === '' ? '' : `: ${said}`} (${code})`));
  });

  return {
    send(body, signal) {
      return new Promise((resolve, reject) => {
        if (signal?.aborted === true) {
          reject(signal.reason);
          return;
        }
        if (ended !== undefined || socket.readyState !== socket.OPEN) {
          reject(ended ?? cut('the connection is closed'));
          return;
        }
        const aborted = (): void => reject(signal?.reason);
        signal?.addEventListener('abort', aborted, { once: true });
        socket.send(body, { binary: true }, (error) => {
          signal?.removeEventListener('abort', aborted);
          if (error === undefined || error === null) resolve();
          else reject(ended ?? cut(`the connection broke: ${printable(error.message)}`, error));
        });
      });
    },
    receive(signal) {
      return new Promise((resolve, reject) => {
        if (signal?.aborted === true) {
          reject(signal.reason);
          return;
        }
        const body = held.shift();
        if (socket.isPaused) socket.resume();
        if (body !== undefined) resolve(body);
        else if (ended !== undefined) reject(ended);
        else waiters.push(waiterWith(waiters, resolve, reject, signal));
      });
    },
    close() {
      return new Promise((resolve) => {
        end(cut('the connection is closed'));
        if (socket.readyState === socket.CLOSED) {
          resolve();
          return;
        }
        const insist = setTimeout(() => socket.terminate(), CLOSE_MS);
        socket.once('close', () => {
          clearTimeout(insist);
          resolve();
        });
        if (socket.isPaused) socket.resume();
        socket.close(1000);
      });
    },
  };
}

function waiterWith(
  waiters: Waiter[],
  resolve: (body: Uint8Array) => void,
  reject: (error: unknown) => void,
  signal: AbortSignal | undefined,
): Waiter {
  const settle = (): void => signal?.removeEventListener('abort', aborted);
  const waiter: Waiter = {
    resolve(body) {
      settle();
      resolve(body);
    },
    reject(error) {
      settle();
      reject(error);
    },
  };
  const aborted = (): void => {
    waiters.splice(waiters.indexOf(waiter), 1);
    waiter.reject(signal?.reason);
  };
  signal?.addEventListener('abort', aborted, { once: true });
  return waiter;
}

function toBytes(data: RawData): Uint8Array {
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  return new Uint8Array(Array.isArray(data) ? Buffer.concat(data) : data);
}

function cut(message: string, cause?: unknown): Failure<CoordinatorCode> {
  return new Failure('environment', 'coordinator/cut', message, {
    hint: 'run the same command again: it asks for the same thing, and costs nothing',
    ...(cause === undefined ? {} : { cause }),
  });
}
