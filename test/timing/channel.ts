/**
 * The parent's end of a session, with a stopwatch: frames with the length before them, head and body in one system call, as
 * the relay writes them. What is timed is what a host sees: from the moment at which the last byte of a request is handed to
 * the kernel to the one at which the first byte of the answer is read. Not from when the kernel has taken it: where both
 * run on one processor the gate may go first, and this process learns of it when the gate next sleeps.
 */
import { PassThrough } from 'node:stream';
import type { Duplex } from 'node:stream';
import { frameHead, frameReader } from '../../enclave/protocol/frame.ts';
import type { FrameChannel } from '../../parties/session/channel.ts';

/** What crossed the wire for one request and its answer. */
export interface Crossed {
  /** From the request's last byte to the answer's first. Of a request that the kernel took at once. */
  readonly milliseconds: number;
  /** Bytes of the frames' bodies. */
  readonly sent: readonly number[];
  readonly received: readonly number[];
  /** How many reads the answer took. */
  readonly reads: number;
}

export interface TimedChannel extends FrameChannel {
  /** Since it was last asked: one request, one answer. */
  crossed(): Crossed;
}

export function timedChannel(stream: Duplex): TimedChannel {
  const inbox = new PassThrough();
  const reader = frameReader(inbox);
  let sent: number[] = [];
  let received: number[] = [];
  let reads = 0;
  let askedAt = 0;
  let answeredAt = 0;
  stream.on('error', () => {}); // whoever sends or receives learns of it
  stream.on('close', () => inbox.end());
  stream.on('data', (chunk: Uint8Array) => {
    if (reads === 0) answeredAt = performance.now();
    reads += 1;
    inbox.write(chunk);
  });

  return {
    async send(body) {
      sent.push(body.length);
      await new Promise<void>((resolve, reject) => {
        stream.cork();
        stream.write(frameHead(body.length));
        stream.write(body, (error) => {
          if (error) reject(error);
          else resolve();
        });
        askedAt = performance.now();
        stream.uncork();
        if (stream.writableLength > 0) throw new Error('the kernel does not take a whole frame at once');
      });
    },
    async receive(signal) {
      const body = await reader.readFrame(signal);
      if (body === undefined) throw new Error('the enclave hung up');
      received.push(body.length);
      return body;
    },
    crossed() {
      const all: Crossed = { milliseconds: answeredAt - askedAt, sent, received, reads };
      sent = [];
      received = [];
      reads = 0;
      return all;
    },
    async close() {
      stream.destroy();
      inbox.destroy();
    },
  };
}
