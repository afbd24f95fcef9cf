/**
 * The far end of the relay's figures, in a thread of its own so that it does not wait for the relay: takes or sends so many
 * bytes over TCP on loopback.
 *
 *     question   uint8 direction (0: the client sends, 1: the client takes), uint32 bytes, big-endian
 *     0          so many bytes come; then one byte goes back
 *     1          so many bytes go
 */
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { Worker, isMainThread, parentPort } from 'node:worker_threads';

export type Direction = 'send' | 'take';

const QUESTION_BYTES = 5;
const PIECE = new Uint8Array(65_536).fill(0x5a);

export interface FarEnd {
  readonly port: number;
  close(): Promise<void>;
}

/** Listens on loopback, on a free port. */
export async function startFarEnd(): Promise<FarEnd> {
  const worker = new Worker(new URL(import.meta.url));
  const [port]: unknown[] = await once(worker, 'message');
  if (typeof port !== 'number') throw new Error('the far end names no port');
  return { port, close: async () => void (await worker.terminate()) };
}

/** The client's side: resolves when all has arrived where it goes. */
export async function transfer(stream: Duplex, direction: Direction, bytes: number): Promise<void> {
  const question = Buffer.alloc(QUESTION_BYTES);
  question.writeUInt8(direction === 'send' ? 0 : 1);
  question.writeUInt32BE(bytes, 1);
  stream.write(question);
  if (direction === 'send') {
    const arrived = count(stream, 1);
    await Promise.race([arrived, send(stream, bytes)]);
    await arrived;
  } else await count(stream, bytes);
}

async function send(stream: Duplex, bytes: number): Promise<void> {
  for (let at = 0; at < bytes; at += PIECE.length) {
    if (!stream.write(PIECE.subarray(0, bytes - at))) await once(stream, 'drain');
  }
}

/** Resolves when so many bytes have come. */
function count(stream: Duplex, bytes: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let left = bytes;
    stream.on('data', (piece: Uint8Array) => {
      left -= piece.length;
      if (left <= 0) resolve();
    });
    stream.once('error', reject);
    stream.once('close', () => reject(new Error(`the stream ended ${left} bytes too early`)));
  });
}

async function serve(socket: Socket): Promise<void> {
  await once(socket, 'readable');
  const question: unknown = socket.read(QUESTION_BYTES);
  if (!Buffer.isBuffer(question)) return void socket.destroy();
  const bytes = question.readUInt32BE(1);
  if (question.readUInt8() === 0) {
    await count(socket, bytes);
    socket.end(PIECE.subarray(0, 1));
  } else {
    await send(socket, bytes);
    socket.end();
  }
}

if (!isMainThread && parentPort !== null) {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    serve(socket).catch(() => socket.destroy());
  });
  server.listen(0, '127.0.0.1', () => {
    const address: AddressInfo | string | null = server.address();
    parentPort?.postMessage(typeof address === 'object' ? address?.port : undefined, []);
  });
}
