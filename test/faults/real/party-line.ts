/**
 * The line between the parties and the orchestrator: a relay that keeps to the order of the day, or, where it is told to,
 * loses messages, delays them, sends them twice, sends an earlier session's in their place, and hangs up.
 */
import { createServer } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocket, WebSocketServer } from 'ws';
import type { Prng } from '../simulation/prng.ts';
import type { Tally } from './tally.ts';

export interface PartyLine {
  readonly url: string;
  /** For so long, messages of all sessions go astray. Milliseconds. */
  unsettle(ms: number, random: Prng): void;
  close(): Promise<void>;
}

type Fate = 'passes' | 'is lost' | 'is late' | 'comes twice' | 'is replaced by an earlier one' | 'is cut off';

const FATES: readonly Fate[] = [
  ...Array.from({ length: 6 }, () => 'passes' as const),
  'is lost',
  'is late',
  'is late',
  'comes twice',
  'is replaced by an earlier one',
  'is cut off',
];
const LATE_MS = 1_200;
const KEPT = 64;

type Direction = 'a question' | 'an answer';

/** `target`: the orchestrator's URL, asked at each connection. */
export async function openPartyLine(target: () => string, tally: Tally): Promise<PartyLine> {
  let weather: { readonly until: number; readonly random: Prng } | undefined;
  const earlier: Record<Direction, Buffer[]> = { 'a question': [], 'an answer': [] };
  const open = new Set<WebSocket | Duplex>();

  const deliver = (direction: Direction, data: Buffer, to: WebSocket, from: WebSocket): void => {
    const pass = (message: Buffer): void => {
      if (to.readyState === to.OPEN) to.send(message, { binary: true }, () => {});
    };
    const kept = earlier[direction];
    const isRough = weather !== undefined && performance.now() < weather.until;
    const fate = isRough ? (weather?.random.pick(FATES) ?? 'passes') : 'passes';
    if (fate !== 'passes') tally.count(`${direction} ${fate}`);
    switch (fate) {
      case 'passes':
        pass(data);
        break;
      case 'is lost':
        break;
      case 'is late':
        setTimeout(() => pass(data), LATE_MS * (weather?.random.next() ?? 0));
        break;
      case 'comes twice':
        pass(data);
        pass(data);
        break;
      case 'is replaced by an earlier one':
        pass(weather?.random.pick([...kept, data]) ?? data);
        break;
      case 'is cut off':
        from.terminate();
        to.terminate();
        break;
    }
    kept.push(data);
    if (kept.length > KEPT) kept.shift();
  };

  const join = (party: WebSocket, host: WebSocket): void => {
    const pair = [
      [party, host, 'a question'],
      [host, party, 'an answer'],
    ] as const;
    for (const [from, to, direction] of pair) {
      open.add(from);
      from.on('error', () => {});
      from.on('message', (data) => Buffer.isBuffer(data) && deliver(direction, data, to, from));
      from.once('close', () => {
        open.delete(from);
        to.close();
      });
    }
  };

  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  const server = createServer((_, response) => response.writeHead(404).end());
  server.on('upgrade', (request, socket, head) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    socket.on('error', () => {});
    const host = new WebSocket(new URL(request.url ?? '/', target().replace('http', 'ws')), {
      perMessageDeflate: false,
    });
    host.on('error', () => socket.destroy());
    host.once('unexpected-response', (_, response) => {
      socket.end(`HTTP/1.1 ${response.statusCode ?? 503} ${response.statusMessage ?? ''}\r\nconnection: close\r\n\r\n`);
      host.terminate();
    });
    host.once('open', () => sockets.handleUpgrade(request, socket, head, (party) => join(party, host)));
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`,
    unsettle: (ms, random) => (weather = { until: performance.now() + ms, random }),
    async close() {
      for (const one of open) {
        if (one instanceof WebSocket) one.terminate();
        else one.destroy();
      }
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
