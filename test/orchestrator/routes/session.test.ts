/** What becomes of a session that cannot be opened, where nothing of it is in the orchestrator's words. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import type { WebSocket } from 'ws';
import type { Collaborations } from '../../../orchestrator/collaborations.ts';
import { sessionUpgrade } from '../../../orchestrator/routes/session.ts';

type Session = (remote: string, accept: () => Promise<WebSocket>) => Promise<void>;

let server: Server | undefined;
afterEach(() => void server?.close());

/** An orchestrator of one collaboration whose sessions are opened so. */
async function serve(
  session: Session,
): Promise<{ readonly bugs: readonly unknown[]; readonly ask: () => Promise<Socket> }> {
  const bugs: unknown[] = [];
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the two members that are asked for
  const collaborations = { get: async () => ({}), pick: () => ({ session }) } as unknown as Collaborations;
  const upgrade = sessionUpgrade(
    collaborations,
    () => {},
    (bug) => void bugs.push(bug),
  );
  server = createServer().on('upgrade', upgrade).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
  return {
    bugs,
    ask: async () => {
      const socket = connect(port, '127.0.0.1');
      const head = ['connection: upgrade', 'upgrade: websocket', 'sec-websocket-version: 13'];
      const key = 'sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==';
      const path = '/v1/collaborations/screening-0123456789ab/session';
      socket.write([`GET ${path} HTTP/1.1`, 'host: 127.0.0.1', ...head, key, '', ''].join('\r\n'));
      return socket;
    },
  };
}

test('an error that nobody expected is told to whoever runs it, and says nothing of itself to the party', async () => {
  const bug = new TypeError('a bug of ours');
  const { ask, bugs } = await serve(() => Promise.reject(bug));
  const answer = await text(await ask());
  expect(answer).toMatch(/^HTTP\/1\.1 500 /);
  expect(answer).not.toContain('a bug of ours');
  expect(bugs).toEqual([bug]);
});

test('a party that went away is none', async () => {
  const [asked, ask] = moment();
  const [gone, go] = moment();
  const [ended, end] = moment();
  const { ask: open, bugs } = await serve(async (_remote, accept) => {
    ask();
    await gone;
    await accept().finally(end);
  });
  const socket = await open();
  // Not before the request was read: a connection that ends sooner asks for nothing.
  await asked;
  const closed = once(socket, 'close');
  socket.resetAndDestroy();
  await closed;
  await sleep(50);
  go();
  await ended;
  await sleep(20);
  expect(bugs).toEqual([]);
});

/** A promise, and what settles it. */
function moment(): readonly [promise: Promise<void>, settle: () => void] {
  let settle = (): void => {};
  const promise = new Promise<void>((resolve) => (settle = resolve));
  return [promise, settle];
}
