import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { afterEach, describe, expect, it } from 'vitest';
import { decodeCbor, encodeCbor } from '../../../enclave/encoding/cbor.ts';
import type { CborValue } from '../../../enclave/encoding/cbor.ts';
import { encodeFrame, frameReader, writeFrame } from '../../../enclave/protocol/frame.ts';
import { createNotebook } from '../../../orchestrator/relay/observations.ts';
import type { Notebook } from '../../../orchestrator/relay/observations.ts';
import { outboundService } from '../../../orchestrator/relay/outbound.ts';
import type { OutboundLimits } from '../../../orchestrator/relay/outbound.ts';
import { listening } from './pair.ts';
import type { Listening } from './pair.ts';

const WAIT = { timeout: 20_000 };

const KMS = { host: 'kms.eu-west-1.accord.test', port: 443 };
const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function upstream(accept: (socket: Socket) => void): Promise<AddressInfo> {
  const open = new Set<Socket>();
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket);
    socket.on('error', () => {});
    accept(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(async () => {
    for (const socket of open) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address;
}

interface Relay extends Listening {
  readonly notebook: Notebook;
}

async function relayTo(port: number | undefined, limits: Partial<OutboundLimits> = {}): Promise<Relay> {
  const notebook = createNotebook(() => 0);
  const service = outboundService({
    allow: [KMS, { host: 'nowhere.invalid', port: 443 }],
    localAws: async () => (port === undefined ? undefined : { host: '127.0.0.1', port }),
    notebook,
    limits,
  });
  const relay = await listening(service);
  closing.push(() => relay.close());
  return { ...relay, notebook };
}

function question(entries: Readonly<Record<string, CborValue>>): Uint8Array {
  return encodeCbor(new Map(Object.entries(entries)));
}

async function ask(socket: Socket, entries: Readonly<Record<string, CborValue>>): Promise<unknown> {
  await writeFrame(socket, question(entries));
  const body = await frameReader(socket).readFrame();
  if (body === undefined) return undefined;
  const reply = decodeCbor(body, { maxBytes: 1024 });
  return reply instanceof Map ? Object.fromEntries(reply) : reply;
}

const dialKms = (socket: Socket): Promise<unknown> => ask(socket, { t: 'dial', ...KMS });

describe('the way out', () => {
  it('carries bytes both ways, however many', async () => {
    const { port } = await upstream((socket) => {
      const hash = createHash('sha256');
      socket.on('data', (chunk: Buffer) => hash.update(chunk));
      socket.on('end', () => socket.end(`got ${socket.bytesRead}: ${hash.digest('hex')}`));
    });
    const relay = await relayTo(port);
    const socket = await relay.dial();
    expect(await dialKms(socket)).toEqual({ t: 'dialled' });
    const bytes = randomBytes(3_000_001);
    socket.end(bytes);
    expect(String(await buffer(socket))).toBe(
      `got ${bytes.length}: ${createHash('sha256').update(bytes).digest('hex')}`,
    );
    expect(relay.notebook.totals()).toMatchObject({ outboundConnections: 1, bytesFromEnclave: bytes.length });
    expect(relay.notebook.entries()).toMatchObject([{ kind: 'outbound', ...KMS }]);
  });

  it('delivers all that upstream said before it ended, then closes, whatever the enclave does', async () => {
    const bytes = randomBytes(3_000_001);
    const { port } = await upstream((socket) => socket.end(bytes));
    const relay = await relayTo(port);
    const socket = await relay.dial();
    await dialKms(socket);
    // The enclave does not end its own side: over vsock nobody would hear of it.
    expect((await buffer(socket)).equals(bytes)).toBe(true);
    await expect.poll(() => relay.notebook.entries(), WAIT).toMatchObject([{ outcome: 'closed' }]);
  });

  it('delivers all that the enclave said before it closed, and keeps upstream no longer than a moment', async () => {
    let got: Promise<Buffer> | undefined;
    let closed = false;
    const { port } = await upstream((socket) => {
      got = buffer(socket); // never ends its own side
      socket.on('close', () => (closed = true));
    });
    const relay = await relayTo(port, { lastMs: 50 });
    const socket = await relay.dial();
    await dialKms(socket);
    const bytes = randomBytes(3_000_001);
    socket.write(bytes, () => socket.destroy());
    await expect.poll(() => closed, WAIT).toBe(true);
    expect((await got)?.equals(bytes)).toBe(true);
    await expect.poll(() => relay.notebook.entries(), WAIT).toMatchObject([{ outcome: 'closed' }]);
  });

  it('loses nothing that came right behind the question, or the moment it was answered', async () => {
    const { port } = await upstream((socket) => socket.write('greeting') && socket.pipe(socket));
    const relay = await relayTo(port);
    const socket = await relay.dial();
    const early = Buffer.from('client hello');
    socket.write(Buffer.concat([encodeFrame(question({ t: 'dial', ...KMS })), early]));
    await frameReader(socket).readFrame();
    let got = '';
    for await (const chunk of socket) {
      got += String(chunk);
      if (got.length >= 'greeting'.length + early.length) break;
    }
    expect(got).toBe('greetingclient hello');
  });

  it('refuses in words of a closed list, and notes it', async () => {
    const closed = await upstream(() => {});
    await closing.pop()?.();
    const relay = await relayTo(closed.port);
    const cases = [
      [{ t: 'dial', host: 'example.com', port: 443 }, 'not-allowed'],
      [{ t: 'dial', host: KMS.host, port: 80 }, 'not-allowed'],
      [{ t: 'dial', host: '127.0.0.1', port: closed.port }, 'not-allowed'],
      [{ t: 'dial', host: 'nowhere.invalid', port: 443 }, 'dns-failure'],
      [{ t: 'dial', ...KMS }, 'connection-refused'],
    ] as const;
    for (const [entries, reason] of cases) {
      const socket = await relay.dial();
      expect(await ask(socket, entries)).toEqual({ t: 'refused', reason });
      expect((await buffer(socket)).length).toBe(0);
    }
    const nobody = await relayTo(undefined);
    expect(await dialKms(await nobody.dial())).toEqual({ t: 'refused', reason: 'no-local-aws' });
    expect(relay.notebook.totals().outboundRefused).toBe(cases.length);
  });

  it('ends a connection whose question is no question, and serves the next', async () => {
    const { port } = await upstream((socket) => socket.end('hello'));
    const relay = await relayTo(port);
    const nonsense = [
      Buffer.from([0, 0, 0, 0]),
      Buffer.from([0xff, 0xff, 0xff, 0xff]),
      Buffer.from([0, 0, 4, 1]), // 1025 bytes announced
      Buffer.from([0, 0, 0, 1, 0xf6]),
      encodeFrame(question({ t: 'launch' })),
      encodeFrame(question({ t: 'dial', host: KMS.host })),
      encodeFrame(question({ t: 'dial', ...KMS, extra: 1 })),
      encodeFrame(question({ t: 'dial', host: KMS.host, port: 65_536 })),
      encodeFrame(question({ t: 'dial', host: 'h'.repeat(254), port: 443 })),
      Buffer.from([0, 0]),
    ];
    for (const bytes of nonsense) {
      const socket = await relay.dial();
      socket.on('error', () => {});
      socket.end(bytes);
      expect((await buffer(socket).catch(() => Buffer.alloc(0))).length).toBe(0);
    }
    expect(await dialKms(await relay.dial())).toEqual({ t: 'dialled' });
  });

  it('passes a reset on, and lets go of the other side', async () => {
    const { port } = await upstream((socket) => void once(socket, 'data').then(() => socket.resetAndDestroy()));
    const relay = await relayTo(port);
    const socket = await relay.dial();
    await dialKms(socket);
    socket.write('x');
    await buffer(socket).catch(() => {});
    socket.destroy();
    await expect.poll(() => relay.notebook.entries(), WAIT).toMatchObject([{ outcome: 'reset by the other side' }]);
  });

  it('lets go of upstream when the enclave is gone', async () => {
    let gone: Promise<unknown> | undefined;
    const { port } = await upstream((socket) => {
      gone = once(socket.resume(), 'close');
      socket.on('end', () => socket.end());
    });
    const relay = await relayTo(port);
    const socket = await relay.dial();
    await dialKms(socket);
    socket.destroy();
    await gone;
    expect(gone).toBeDefined();
  });

  it('closes what stands idle and what lives too long', async () => {
    const { port } = await upstream((socket) => socket.resume());
    for (const limits of [{ idleMs: 50 }, { totalMs: 50 }]) {
      const relay = await relayTo(port, limits);
      const socket = await relay.dial();
      await dialKms(socket);
      await buffer(socket).catch(() => {});
      expect(relay.notebook.entries()).toMatchObject([{ outcome: expect.stringMatching(/idle time|total time/) }]);
    }
  });

  it('holds the sender back when the other side does not read', async () => {
    let release: Socket | undefined;
    const { port } = await upstream((socket) => (release = socket.pause()));
    const relay = await relayTo(port);
    const socket = await relay.dial();
    await dialKms(socket);
    const bytes = 64 * 1024 * 1024;
    socket.end(Buffer.alloc(bytes, 7));
    let before = -1;
    // The kernel's buffers fill; then nothing moves any more.
    await expect
      .poll(
        () => {
          const now = relay.notebook.totals().bytesFromEnclave;
          const isStill = now === before;
          before = now;
          return isStill && now > 0;
        },
        { interval: 300, timeout: 30_000 },
      )
      .toBe(true);
    expect(before).toBeLessThan(bytes / 2);
    let got = 0;
    for await (const chunk of release ?? []) got += chunk instanceof Buffer ? chunk.length : 0;
    expect(got).toBe(bytes);
  });

  it('serves one connection while another stands still, up to its limit', async () => {
    let first = true;
    const { port } = await upstream((socket) => {
      if (first) socket.pause();
      else socket.pipe(socket);
      first = false;
    });
    const relay = await relayTo(port, { connections: 2 });
    const stuck = await relay.dial();
    await dialKms(stuck);
    stuck.write(Buffer.alloc(16 * 1024 * 1024));
    const other = await relay.dial();
    await dialKms(other);
    other.write('still here');
    expect(String((await once(other, 'data'))[0])).toBe('still here');
    expect(await dialKms(await relay.dial())).toEqual({ t: 'refused', reason: 'busy' });
  });
});
