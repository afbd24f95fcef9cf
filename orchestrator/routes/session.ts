/** The WebSocket that a party's session goes through. Everything that can fail fails before the upgrade, in HTTP. */
import type { IncomingMessage } from 'node:http';
import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import express from 'express';
import type { Router } from 'express';
import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';
import { LIMITS } from '../../enclave/protocol/limits.ts';
import { Failure } from '../../policies/failure.ts';
import type { Collaborations } from '../collaborations.ts';
import { ID_PATTERN } from '../openapi.ts';
import { toProblem } from '../problem.ts';
import { notRunning } from '../running.ts';
import { copyNumber } from './copy.ts';

export type SessionRouteCode = 'http/not-found' | 'http/upgrade-required';

const PATH = new RegExp(`^/v1/collaborations/(${ID_PATTERN.slice(1, -1)})/session(?:\\?copy=([0-9]{1,2}))?$`);

/** What a request gets that does not ask for a WebSocket: RFC 9110, section 15.5.22. */
export function sessionRoutes(): Router {
  const router = express.Router();
  router.get('/v1/collaborations/:id/session', (_request, response) => {
    response.set({ upgrade: 'websocket', connection: 'upgrade' });
    throw new Failure<SessionRouteCode>('usage', 'http/upgrade-required', 'a session is a WebSocket', {
      hint: 'ask with `Upgrade: websocket`; `accord attest` and `accord call` do',
    });
  });
  return router;
}

/** The party went away before its session was there: nobody is left to answer. */
class Gone extends Error {}

export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

/** `demandOwnOrigin` throws where the request comes from a foreign web page. `onBug` is told of what is no `Failure`. */
export function sessionUpgrade(
  collaborations: Collaborations,
  demandOwnOrigin: (request: IncomingMessage) => void,
  onBug: (error: unknown) => void,
): UpgradeHandler {
  const webSockets = new WebSocketServer({
    noServer: true,
    maxPayload: LIMITS.frameBytes,
    perMessageDeflate: false, // ciphertext does not shrink, and compression would show what sizes must not
    clientTracking: false,
  });
  return (request, socket, head) => {
    socket.on('error', () => {});
    const accept = (): Promise<WebSocket> =>
      new Promise((resolve, reject) => {
        if (socket.destroyed) reject(new Gone());
        webSockets.handleUpgrade(request, socket, head, resolve);
      });
    open(collaborations, demandOwnOrigin, request, accept).catch((error: unknown) => {
      if (error instanceof Gone) return;
      if (!(error instanceof Failure)) onBug(error);
      refuse(socket, error);
    });
  };
}

async function open(
  collaborations: Collaborations,
  demandOwnOrigin: (request: IncomingMessage) => void,
  request: IncomingMessage,
  accept: () => Promise<WebSocket>,
): Promise<void> {
  demandOwnOrigin(request);
  const [, id, chosen] = PATH.exec(request.url ?? '') ?? [];
  if (id === undefined) {
    throw new Failure<SessionRouteCode>('usage', 'http/not-found', 'there is nothing to upgrade to here');
  }
  const copy = copyNumber(chosen);
  await collaborations.get(id);
  const running = collaborations.pick(id, copy);
  if (running === undefined) throw notRunning(id, copy);
  await running.session(request.socket.remoteAddress ?? 'unknown', accept);
}

function refuse(socket: Duplex, error: unknown): void {
  const problem = toProblem(error);
  const body = JSON.stringify(problem);
  const head: readonly string[] = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status] ?? ''}`,
    'content-type: application/problem+json',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}
