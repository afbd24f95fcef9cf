/** A server that answers every request with the bytes it was given, whatever they are; and how such answers vary. */
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { concat } from '../../../enclave/encoding/bytes.ts';
import { mutate } from '../mutate.ts';
import type { Random } from '../random.ts';
import type { Variation } from '../target.ts';

export interface Replies {
  readonly url: string;
  set(reply: Uint8Array): void;
  close(): Promise<void>;
}

/** On loopback, a connection a request. */
export async function startReplies(): Promise<Replies> {
  let reply = new Uint8Array();
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end(reply));
    socket.resume();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const { port }: Pick<AddressInfo, 'port'> = typeof address === 'object' && address !== null ? address : { port: 0 };
  return {
    url: `http://127.0.0.1:${port}`,
    set: (bytes) => void (reply = new Uint8Array(bytes)),
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

const encoder = new TextEncoder();

export function httpReply(status: string, body: string, headers: Readonly<Record<string, string>> = {}): Uint8Array {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const bytes = encoder.encode(body);
  const head = `HTTP/1.1 ${status}\r\n${lines.join('')}content-length: ${bytes.length}\r\nconnection: close\r\n\r\n`;
  return concat(encoder.encode(head), bytes);
}

export interface Split {
  /** Without its last line. */
  readonly head: string;
  readonly body: Uint8Array;
}

export function splitReply(bytes: Uint8Array): Split | undefined {
  const at = Buffer.from(bytes).indexOf('\r\n\r\n');
  if (at < 0) return undefined;
  return { head: Buffer.from(bytes.subarray(0, at)).toString('latin1'), body: bytes.subarray(at + 4) };
}

/** The length that the head says is that of the body, for the reader would not see the rest. */
export function joinReply({ head, body }: Split): Uint8Array {
  const sized = head.replace(/content-length: *-?\d+/i, `content-length: ${body.length}`);
  return concat(new Uint8Array(Buffer.from(`${sized}\r\n\r\n`, 'latin1')), body);
}

/** Mostly the body, by `varyBody`; else the head. */
export function varyReply(varyBody: Variation): Variation {
  return async (bytes: Uint8Array, random: Random) => {
    const split = splitReply(bytes);
    const material = { others: [bytes], words: [], maxBytes: bytes.length + 64 };
    if (split === undefined || random.chance(0.2)) return mutate(bytes, random, material);
    return joinReply({ head: split.head, body: await varyBody(split.body, random) });
  };
}

export function mendReply(bytes: Uint8Array): Uint8Array {
  const split = splitReply(bytes);
  return split === undefined ? bytes : joinReply(split);
}
