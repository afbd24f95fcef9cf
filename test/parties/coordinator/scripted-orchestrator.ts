/** An orchestrator on a port of its own that answers as it is told: honest by default, hostile where a test says so. */
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';
import type { ScriptedEnclave } from '../session/scripted-enclave.ts';

export interface Scenes {
  /** Answers requests that are not for a WebSocket. */
  readonly http?: (request: IncomingMessage, response: ServerResponse) => void;
  /** Takes each session; by default its frames go to this enclave. */
  readonly session?: (socket: WebSocket) => void;
  /** A new one for each session. */
  readonly enclave?: () => ScriptedEnclave;
}

export interface ScriptedOrchestrator {
  readonly url: string;
  readonly uploads: Uint8Array[];
  readonly requests: string[];
  stop(): Promise<void>;
}

export async function startScriptedOrchestrator(scenes: Scenes): Promise<ScriptedOrchestrator> {
  const uploads: Uint8Array[] = [];
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    if (scenes.http !== undefined) scenes.http(request, response);
    else if (request.method === 'PUT') takeUpload(request, response, uploads);
    else response.writeHead(404).end();
  });
  const sockets = new WebSocketServer({ noServer: true });
  server.on('upgrade', (request, socket, head) => {
    requests.push(`UPGRADE ${request.url}`);
    if (scenes.session === undefined && scenes.enclave === undefined) {
      const body = JSON.stringify({
        type: 'about:blank',
        title: 'Refused',
        status: 409,
        code: 'orchestrator/not-running',
        kind: 'environment',
        detail: 'its enclave does not run',
      });
      socket.end(`HTTP/1.1 409 Conflict\r\ncontent-type: application/problem+json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`); // prettier-ignore
      return;
    }
    sockets.handleUpgrade(request, socket, head, (accepted) => {
      accepted.on('error', () => {});
      if (scenes.session !== undefined) scenes.session(accepted);
      else if (scenes.enclave !== undefined) bridge(accepted, scenes.enclave());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = addressOf(server.address());
  return {
    url: `http://127.0.0.1:${port}`,
    uploads,
    requests,
    stop: () =>
      new Promise((resolve) => {
        for (const client of sockets.clients) client.terminate();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function addressOf(address: string | AddressInfo | null): AddressInfo {
  if (typeof address === 'object' && address !== null) return address;
  throw new Error('not listening');
}

function takeUpload(request: IncomingMessage, response: ServerResponse, uploads: Uint8Array[]): void {
  const parts: Buffer[] = [];
  request.on('data', (part: Buffer) => parts.push(part));
  request.on('end', () => {
    const whole = Buffer.concat(parts);
    uploads.push(whole);
    const sha256 = createHash('sha256').update(whole).digest('hex');
    response.writeHead(201, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ function: 'classify', bytes: whole.length, sha256, storedAt: 'now' }));
  });
}

/** The enclave's channel is the party's end of it: what the socket says goes in, what comes out is sent. */
function bridge(socket: WebSocket, { channel }: ScriptedEnclave): void {
  socket.on('message', (data: Buffer) => {
    channel.send(data).catch(() => socket.close(1000, 'the enclave closed the session'));
  });
  socket.on('close', () => void channel.close());
  void (async () => {
    for (;;) socket.send(await channel.receive(), { binary: true });
  })().catch(() => socket.close(1000, 'the enclave closed the session'));
}
