/** The listening socket, with limits on everything a client can be slow or greedy with. */
import { createServer } from 'node:http';
import type { RequestListener, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Failure } from '../policies/failure.ts';

export type ServerCode = 'orchestrator/port-in-use' | 'orchestrator/cannot-listen';

export interface ServerOptions {
  readonly port: number;
  readonly address: string;
  readonly limits?: Partial<ServerLimits>;
}

export interface ServerLimits {
  /** From connection to the end of the head. */
  readonly headMs: number;
  /** The whole request: an upload of 512 MiB at 300 KiB/s takes half an hour. */
  readonly requestMs: number;
  /** A connection on which nothing moves; event streams say something more often. */
  readonly idleMs: number;
  readonly connections: number;
}

const LIMITS: ServerLimits = { headMs: 10_000, requestMs: 1_800_000, idleMs: 120_000, connections: 1024 };

export async function listen(handler: RequestListener, options: ServerOptions): Promise<Server> {
  const limits = { ...LIMITS, ...options.limits };
  const server = createServer(
    {
      headersTimeout: limits.headMs,
      requestTimeout: limits.requestMs,
      connectionsCheckingInterval: Math.min(1_000, limits.headMs),
      keepAliveTimeout: 5_000,
      maxHeaderSize: 16_384,
    },
    handler,
  );
  server.maxHeadersCount = 64;
  server.maxConnections = limits.connections;
  server.timeout = limits.idleMs;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(cannotListen(error, options)));
    server.listen(options.port, options.address, resolve);
  });
  return server;
}

/** `http://127.0.0.1:7400` */
export function urlOf(server: Server): string {
  const { address, port, family } = boundTo(server);
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}

/** Ends idle connections at once, and whatever is left after `ms`. */
export function stopServer(server: Server, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), ms);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    server.closeIdleConnections();
  });
}

function boundTo(server: Server): AddressInfo {
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new TypeError('the server does not listen on a port');
  return bound;
}

function cannotListen(error: NodeJS.ErrnoException, { port, address }: ServerOptions): Failure<ServerCode> {
  const where = `${address}:${port}`;
  if (error.code === 'EADDRINUSE') {
    return new Failure('environment', 'orchestrator/port-in-use', 'the port is in use by another process', {
      where,
      hint: 'choose another with --port N (0 takes any free one), or stop what listens there',
      cause: error,
    });
  }
  return new Failure('environment', 'orchestrator/cannot-listen', `cannot listen: ${error.message}`, {
    where,
    hint: 'choose another --port or --listen address',
    cause: error,
  });
}
