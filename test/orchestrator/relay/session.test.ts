import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import type { RawData } from 'ws';
import { encodeFrame, frameReader, writeFrame } from '../../../enclave/protocol/frame.ts';
import { LIMITS } from '../../../enclave/protocol/limits.ts';
import { createNotebook } from '../../../orchestrator/relay/observations.ts';
import { relaySession, SESSION_LIMITS } from '../../../orchestrator/relay/session.ts';
import type { RelayedSession, SessionLimits } from '../../../orchestrator/relay/session.ts';
import { pair } from './pair.ts';

const WAIT = { timeout: 20_000 };

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

interface Relayed {
  readonly party: WebSocket;
  /** The enclave's end. */
  readonly enclave: Socket;
  readonly notebook: ReturnType<typeof createNotebook>;
  readonly session: RelayedSession;
}

async function relayed(limits: Partial<SessionLimits> = {}, allowHalfOpen = true): Promise<Relayed> {
  const sockets = await pair(allowHalfOpen);
  const notebook = createNotebook(() => 7);
  const server: Server = createServer();
  const webSockets = new WebSocketServer({ server, maxPayload: LIMITS.frameBytes, perMessageDeflate: false });
  const started = new Promise<RelayedSession>((resolve) =>
    webSockets.once('connection', (socket) =>
      resolve(relaySession(socket, sockets.near, notebook.session('127.0.0.1'), { ...SESSION_LIMITS, ...limits })),
    ),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const party = new WebSocket(`ws://127.0.0.1:${address.port}`);
  party.on('error', () => {});
  await once(party, 'open');
  sockets.far.on('error', () => {});
  closing.push(async () => {
    party.terminate();
    for (const client of webSockets.clients) client.terminate();
    webSockets.close();
    await new Promise((resolve) => server.close(resolve));
    await sockets.close();
  });
  return { party, enclave: sockets.far, notebook, session: await started };
}

function nextMessage(party: WebSocket): Promise<Buffer> {
  return new Promise((resolve) => party.once('message', (data) => resolve(bytesOf(data))));
}

function bytesOf(data: RawData): Buffer {
  return data instanceof Buffer ? data : Buffer.alloc(0);
}

function closeOf(party: WebSocket): Promise<{ code: number; reason: string }> {
  return new Promise((resolve) => party.once('close', (code, reason) => resolve({ code, reason: String(reason) })));
}

describe('a relayed session', () => {
  it('turns messages into frames and frames into messages, unread and unchanged', async () => {
    const { party, enclave, notebook } = await relayed();
    const frames = frameReader(enclave);
    for (const size of [1, 100, 65_536, LIMITS.frameBytes]) {
      const [up, down] = [randomBytes(size), randomBytes(size)];
      party.send(up);
      expect(up.equals((await frames.readFrame()) ?? Buffer.alloc(0))).toBe(true);
      const message = nextMessage(party);
      await writeFrame(enclave, down);
      expect(down.equals(await message)).toBe(true);
    }
    const [seen] = notebook.entries();
    expect(seen?.kind === 'session' && seen.frames.slice(0, 2)).toEqual([
      { at: 7, direction: 'to-enclave', bytes: 1 },
      { at: 7, direction: 'from-enclave', bytes: 1 },
    ]);
  });

  it('delivers frames however the stream cuts them', async () => {
    const { party, enclave } = await relayed();
    const bodies = [randomBytes(3), randomBytes(70_000), randomBytes(1)];
    const got: Buffer[] = [];
    party.on('message', (data) => got.push(bytesOf(data)));
    const stream = Buffer.concat(bodies.map((body) => encodeFrame(body)));
    for (const byte of stream.subarray(0, 9)) enclave.write(Buffer.from([byte]));
    enclave.write(stream.subarray(9));
    await expect.poll(() => got.length, WAIT).toBe(3);
    expect(got.every((body, index) => body.equals(bodies[index] ?? Buffer.alloc(0)))).toBe(true);
  });

  it('closes with a reason when the enclave ends, breaks, or sends what is no frame', async () => {
    const ends = await relayed();
    ends.enclave.end(encodeFrame(Buffer.from('last')));
    const last = nextMessage(ends.party);
    expect(await closeOf(ends.party)).toEqual({ code: 1000, reason: 'the enclave closed the session' });
    expect(String(await last)).toBe('last');

    const breaks = await relayed();
    breaks.enclave.end(Buffer.from([0, 0, 0, 9, 1, 2]));
    expect((await closeOf(breaks.party)).code).toBe(1011);

    const oversized = await relayed();
    oversized.enclave.write(Buffer.from([0xff, 0xff, 0xff, 0xff]));
    expect(await closeOf(oversized.party)).toEqual({
      code: 1011,
      reason: 'the enclave sent something that is no frame',
    });
    await oversized.session.ended;
  });

  it('delivers the last frame, and calls an end an end, where there is no half-close', async () => {
    for (const last of [Buffer.from('last'), randomBytes(LIMITS.frameBytes)]) {
      const { party, enclave } = await relayed({}, false);
      const [message, closed] = [nextMessage(party), closeOf(party)];
      enclave.end(encodeFrame(last), () => enclave.destroy());
      expect(last.equals(await message)).toBe(true);
      expect(await closed).toEqual({ code: 1000, reason: 'the enclave closed the session' });
    }
  });

  it('refuses text, empty and oversized messages, and lets the enclave go', async () => {
    const cases = [
      [(party: WebSocket) => party.send('text'), 1003],
      [(party: WebSocket) => party.send(Buffer.alloc(0)), 1002],
      [(party: WebSocket) => party.send(Buffer.alloc(LIMITS.frameBytes + 1)), 1009],
    ] as const;
    for (const [send, code] of cases) {
      const { party, enclave, session } = await relayed();
      const rest = buffer(enclave);
      send(party);
      expect((await closeOf(party)).code).toBe(code);
      expect((await rest).length).toBe(0);
      enclave.end();
      await session.ended;
    }
  });

  it('lets the enclave know when the party goes away, with everything it had sent', async () => {
    const { party, enclave, session } = await relayed();
    const frames = frameReader(enclave);
    party.send(Buffer.from('goodbye'));
    party.close();
    expect(String(Buffer.from((await frames.readFrame()) ?? []))).toBe('goodbye');
    expect(await frames.readFrame()).toBeUndefined();
    await session.ended;
  });

  it('holds the party back when the enclave does not read, and goes on when it does', async () => {
    const { party, enclave, notebook } = await relayed();
    enclave.pause();
    const messages = 200;
    for (let n = 0; n < messages; n++) party.send(Buffer.alloc(LIMITS.frameBytes, n));
    let before = -1;
    await expect
      .poll(
        () => {
          const now = notebook.totals().bytesToEnclave;
          const isStill = now === before && now > 0;
          before = now;
          return isStill;
        },
        { interval: 300, timeout: 20_000 },
      )
      .toBe(true);
    expect(before).toBeLessThan((messages * LIMITS.frameBytes) / 4);
    const frames = frameReader(enclave);
    for (let n = 0; n < messages; n++) expect((await frames.readFrame())?.[0]).toBe(n);
  });

  it('holds the enclave back when the party does not read', async () => {
    const { party, enclave, notebook } = await relayed();
    party.pause();
    const messages = 200;
    const written = (async () => {
      for (let n = 0; n < messages; n++) await writeFrame(enclave, Buffer.alloc(LIMITS.frameBytes, n));
    })();
    let before = -1;
    await expect
      .poll(
        () => {
          const now = notebook.totals().bytesFromEnclave;
          const isStill = now === before && now > 0;
          before = now;
          return isStill;
        },
        { interval: 300, timeout: 20_000 },
      )
      .toBe(true);
    expect(before).toBeLessThan((messages * LIMITS.frameBytes) / 2);
    let got = 0;
    party.on('message', () => (got += 1));
    party.resume();
    await written;
    await expect.poll(() => got, WAIT).toBe(messages);
  });

  it('ends after an idle time, after its total time, and when the party is silently gone', async () => {
    expect((await closeOf((await relayed({ idleMs: 50 })).party)).reason).toContain('idle');
    expect((await closeOf((await relayed({ totalMs: 50 })).party)).reason).toContain('total');
    const gone = await relayed({ pingMs: 50 });
    gone.party.pause(); // reads nothing, so answers no ping
    gone.enclave.resume();
    await gone.session.ended;
  });

  it('tells the party when the orchestrator stops, and does not wait for one that does not answer', async () => {
    const polite = await relayed();
    const closed = closeOf(polite.party);
    polite.session.stop();
    expect(await closed).toEqual({ code: 1001, reason: 'the orchestrator stops' });
    const deaf = await relayed();
    deaf.party.pause();
    deaf.session.stop();
    await deaf.session.ended;
  });
});
