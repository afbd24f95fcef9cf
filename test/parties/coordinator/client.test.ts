import { createServer } from 'node:net';
import type { ServerResponse } from 'node:http';
import { afterEach, describe, expect, test } from 'vitest';
import { LIMITS } from '../../../enclave/protocol/limits.ts';
import { createCoordinator } from '../../../parties/coordinator/client.ts';
import { connectFrames } from '../../../parties/coordinator/socket.ts';
import { Failure } from '../../../policies/failure.ts';
import { expectSameBytes } from '../../same-bytes.ts';
import { startScriptedOrchestrator } from './scripted-orchestrator.ts';
import type { Scenes, ScriptedOrchestrator } from './scripted-orchestrator.ts';

const started: ScriptedOrchestrator[] = [];
afterEach(() => Promise.all(started.splice(0).map((orchestrator) => orchestrator.stop())));

async function stage(scenes: Scenes) {
  const orchestrator = await startScriptedOrchestrator(scenes);
  started.push(orchestrator);
  return { orchestrator, coordinator: createCoordinator(orchestrator.url) };
}

const VIEW = {
  id: 'demo-0123456789ab',
  collaboration: 'demo',
  policyDigest: 'ab'.repeat(48),
  canonicalPolicy: '{}',
  state: 'running',
  reason: null,
  measurements: { PCR0: 'a', PCR1: 'b', PCR2: 'c' },
  contributions: [{ function: 'classify', bytes: 5, sha256: 'cd'.repeat(32), storedAt: 'now' }],
  somethingNew: [1],
};
const json = (response: ServerResponse, status: number, body: unknown): void => {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
};

describe('a collaboration', () => {
  test('is read field by field; what is new is ignored', async () => {
    const { coordinator, orchestrator } = await stage({ http: (_, response) => json(response, 200, VIEW) });
    const found = await coordinator.collaboration('demo-0123456789ab');
    expect(found).toMatchObject({ id: VIEW.id, state: 'running', measurements: VIEW.measurements });
    expect(found.reason).toBeUndefined();
    expect(orchestrator.requests).toEqual(['GET /v1/collaborations/demo-0123456789ab']);
  });

  test('an id cannot lead to another path', async () => {
    const { coordinator, orchestrator } = await stage({ http: (_, response) => json(response, 200, VIEW) });
    await coordinator.collaboration('../../healthz?x=');
    expect(orchestrator.requests).toEqual(['GET /v1/collaborations/..%2F..%2Fhealthz%3Fx%3D']);
  });

  test.each([
    ['no JSON', '<html>', 'coordinator/malformed'],
    ['a list', '[]', 'coordinator/malformed'],
    ['a field of another type', JSON.stringify({ ...VIEW, state: 5 }), 'coordinator/malformed'],
    ['contributions that are none', JSON.stringify({ ...VIEW, contributions: {} }), 'coordinator/malformed'],
    ['a negative size', JSON.stringify({ ...VIEW, contributions: [{ function: 'f', bytes: -1, sha256: '' }] }), 'coordinator/malformed'], // prettier-ignore
    ['a policy too long', JSON.stringify({ ...VIEW, canonicalPolicy: 'x'.repeat(LIMITS.policyBytes + 1) }), 'coordinator/malformed'], // prettier-ignore
  ])('%s is malformed', async (_, body, code) => {
    const { coordinator } = await stage({ http: (__, response) => void response.writeHead(200).end(body) });
    await expect(coordinator.collaboration('x')).rejects.toMatchObject({ code, kind: 'malformed' });
  });

  test('an answer without end is given up', async () => {
    const { coordinator } = await stage({
      http: (_, response) => {
        const piece = 'x'.repeat(65_536);
        const more = (): void => {
          while (!response.destroyed && response.write(piece));
        };
        response.on('drain', more);
        more();
      },
    });
    await expect(coordinator.collaboration('x')).rejects.toMatchObject({ code: 'coordinator/malformed' });
  });

  test('a redirect is not followed', async () => {
    const { coordinator, orchestrator } = await stage({
      http: (_, response) => void response.writeHead(302, { location: '/elsewhere' }).end(),
    });
    await expect(coordinator.collaboration('x')).rejects.toBeInstanceOf(Failure);
    expect(orchestrator.requests).toHaveLength(1);
  });
});

describe('problems', () => {
  test('come back as the failure they were there, without what moves a cursor', async () => {
    const problem = {
      type: 'about:blank',
      title: 'x',
      status: 404,
      code: 'orchestrator/unknown-collaboration',
      kind: 'usage',
      detail: 'there is no \u001b[31m such thing',
      hint: 'look\nagain',
    };
    const { coordinator } = await stage({ http: (_, response) => json(response, 404, problem) });
    const failure = await coordinator.collaboration('x').catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: problem.code, kind: 'usage', hint: 'look?again' });
    expect(failure instanceof Failure && failure.message).toBe('the orchestrator says: there is no ?[31m such thing');
  });

  test.each([
    [404, 'usage'],
    [409, 'refused'],
    [413, 'malformed'],
    [500, 'environment'],
    [501, 'unsupported'],
    [503, 'environment'],
  ] as const)('status %i without a document is %s', async (status, kind) => {
    const { coordinator } = await stage({ http: (_, response) => void response.writeHead(status).end('oops') });
    await expect(coordinator.collaboration('x')).rejects.toMatchObject({ code: 'coordinator/problem', kind });
  });
});

describe('no orchestrator', () => {
  test('nobody listens', async () => {
    const { orchestrator } = await stage({});
    await orchestrator.stop();
    const coordinator = createCoordinator(orchestrator.url);
    for (const attempt of [coordinator.collaboration('x'), coordinator.connect('x')]) {
      await expect(attempt).rejects.toMatchObject({
        code: 'coordinator/unreachable',
        kind: 'environment',
        message: expect.stringContaining('ECONNREFUSED'),
      });
    }
  });

  test('something else listens', async () => {
    const server = createServer((socket) => socket.on('error', () => {}).end('220 mail.example ESMTP\r\n'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : 0;
    try {
      const coordinator = createCoordinator(`http://127.0.0.1:${port}`);
      await expect(coordinator.collaboration('x')).rejects.toMatchObject({ kind: 'environment' });
      await expect(coordinator.connect('x')).rejects.toMatchObject({ kind: 'environment' });
    } finally {
      server.close();
    }
  });

  test.each(['', 'localhost:7400', 'ftp://x', 'http://x/?q', 'nonsense'])('"%s" is no URL of one', (url) => {
    expect(() => createCoordinator(url)).toThrow(expect.objectContaining({ code: 'coordinator/url', kind: 'usage' }));
  });

  test('Ctrl-C ends a request and a connection that hang', async () => {
    const { coordinator } = await stage({ http: () => {}, session: () => {} });
    const reason = new Error('interrupted');
    const controller = new AbortController();
    const asking = coordinator.collaboration('x', controller.signal);
    setTimeout(() => controller.abort(reason), 50);
    await expect(asking).rejects.toBe(reason);
    await expect(coordinator.connect('x', AbortSignal.abort(reason))).rejects.toBe(reason);
  });

  test('Ctrl-C ends an answer that drips', async () => {
    const dripping = (_: unknown, response: ServerResponse): void => {
      response.writeHead(200, { 'content-type': 'application/json' });
      const timer = setInterval(() => response.write(' '), 20);
      response.once('close', () => clearInterval(timer));
    };
    const { coordinator } = await stage({ http: dripping });
    const reason = new Error('interrupted');
    const controller = new AbortController();
    setTimeout(() => controller.abort(reason), 200);
    await expect(coordinator.collaboration('x', controller.signal)).rejects.toBe(reason);
  });

  test('a connection whose answer drips is given up', async () => {
    const timers: NodeJS.Timeout[] = [];
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.write('HTTP/1.1 101 Switching Protocols\r\n');
      timers.push(setInterval(() => socket.write('X: y\r\n'), 20));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    try {
      const connecting = connectFrames(new URL(`ws://127.0.0.1:${address.port}/`), 300);
      await expect(connecting).rejects.toMatchObject({ code: 'coordinator/unreachable' });
    } finally {
      for (const timer of timers) clearInterval(timer);
      server.close();
    }
  });

  test('after Ctrl-C no frame is sent', async () => {
    const arrived: Buffer[] = [];
    const { coordinator } = await stage({
      session: (socket) => socket.on('message', (data: Buffer) => arrived.push(data)),
    });
    const channel = await coordinator.connect('x');
    const reason = new Error('interrupted');
    await expect(channel.send(new Uint8Array([1]), AbortSignal.abort(reason))).rejects.toBe(reason);
    await channel.send(new Uint8Array([2]));
    await expect.poll(() => arrived.map((frame) => [...frame])).toEqual([[2]]);
    await channel.close();
  });
});

describe('an upload', () => {
  test('arrives whole, with its length announced, and is not read ahead', async () => {
    const { coordinator, orchestrator } = await stage({});
    const content = new Uint8Array(1_000_000).map((_, i) => i % 255);
    async function* pieces(): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < content.length; at += 100_000) yield content.subarray(at, at + 100_000);
    }
    const stored = await coordinator.contribute('demo', 'classify', { content: pieces(), bytes: content.length });
    expect(stored.bytes).toBe(content.length);
    expectSameBytes(orchestrator.uploads[0], content);
    expect(orchestrator.requests).toEqual(['PUT /v1/collaborations/demo/contributions/classify']);
  });

  test('whose source fails, fails with the source’s words', async () => {
    const { coordinator } = await stage({});
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(10);
      throw new Failure('environment', 'cli/unreadable', 'the disk is gone');
    }
    const upload = coordinator.contribute('demo', 'classify', { content: broken(), bytes: 20 });
    await expect(upload).rejects.toMatchObject({ kind: 'environment' });
  });

  test('of another length than announced fails', async () => {
    const { coordinator } = await stage({});
    async function* short(): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(10);
    }
    const upload = coordinator.contribute('demo', 'classify', { content: short(), bytes: 20 });
    await expect(upload).rejects.toMatchObject({ kind: 'environment' });
  });
});

describe('frames', () => {
  const echo: Scenes = {
    session: (socket) => socket.on('message', (data: Buffer) => socket.send(data, { binary: true })),
  };

  test('go and come back, one by one and many at once', async () => {
    const { coordinator, orchestrator } = await stage(echo);
    const channel = await coordinator.connect('demo-0123456789ab');
    for (const length of [1, 1000, LIMITS.frameBytes]) {
      const body = new Uint8Array(length).fill(length & 255);
      await channel.send(body);
      expectSameBytes(await channel.receive(), body);
    }
    await Promise.all(Array.from({ length: 30 }, (_, i) => channel.send(new Uint8Array([i]))));
    for (let i = 0; i < 30; i++) expect(await channel.receive()).toEqual(new Uint8Array([i]));
    await channel.close();
    expect(orchestrator.requests).toEqual(['UPGRADE /v1/collaborations/demo-0123456789ab/session']);
  });

  test('a refused session says why', async () => {
    const { coordinator } = await stage({});
    await expect(coordinator.connect('x')).rejects.toMatchObject({
      code: 'orchestrator/not-running',
      kind: 'environment',
    });
  });

  test('what came before the end is still delivered; then the end is told, with its reason', async () => {
    const { coordinator } = await stage({
      session: (socket) => {
        socket.send(new Uint8Array([1]), { binary: true });
        socket.close(1011, 'the connection to the enclave broke');
      },
    });
    const channel = await coordinator.connect('x');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await channel.receive()).toEqual(new Uint8Array([1]));
    const cut = { code: 'coordinator/cut', kind: 'environment', message: expect.stringContaining('enclave broke') };
    await expect(channel.receive()).rejects.toMatchObject(cut);
    await expect(channel.send(new Uint8Array([1]))).rejects.toMatchObject(cut);
    await channel.close();
  });

  test.each([
    ['vanishes', (socket) => socket.terminate()],
    ['sends a text', (socket) => socket.send('hello')],
    ['sends more than a frame', (socket) => socket.send(new Uint8Array(LIMITS.frameBytes + 1))],
  ] as readonly (readonly [string, NonNullable<Scenes['session']>])[])('a relay that %s', async (_, session) => {
    const { coordinator } = await stage({ session });
    const channel = await coordinator.connect('x');
    await expect(channel.receive()).rejects.toMatchObject({ code: 'coordinator/cut', kind: 'environment' });
    await channel.close();
  });

  test('waiting ends when it is told to, and a later frame is not lost', async () => {
    let later = (): void => {};
    const { coordinator } = await stage({
      session: (socket) => (later = () => socket.send(new Uint8Array([7]), { binary: true })),
    });
    const channel = await coordinator.connect('x');
    const controller = new AbortController();
    const waiting = channel.receive(controller.signal);
    controller.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    later();
    expect(await channel.receive()).toEqual(new Uint8Array([7]));
    await channel.close();
    await channel.close();
    await expect(channel.receive()).rejects.toMatchObject({ code: 'coordinator/cut' });
  });

  test('a relay that floods is made to wait', async () => {
    let sent = 0;
    const { coordinator } = await stage({
      session: (socket) => {
        const more = (): void => {
          if (socket.readyState !== socket.OPEN) return;
          sent++;
          socket.send(new Uint8Array(LIMITS.frameBytes), { binary: true }, () => more());
        };
        more();
      },
    });
    const channel = await coordinator.connect('x');
    await new Promise((resolve) => setTimeout(resolve, 300));
    const before = sent;
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(sent).toBe(before); // the kernel's buffers are full, and nothing is taken from them
    await channel.close();
  });

  test('closing does not wait for a relay that does not answer', async () => {
    const { coordinator } = await stage({ session: (socket) => socket.pause() });
    const channel = await coordinator.connect('x');
    await channel.close();
  });
});
