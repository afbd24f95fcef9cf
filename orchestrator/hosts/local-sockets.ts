/** Vsock in miniature: a port is a unix socket, `host-<port>.sock` on our side and `guest-<port>.sock` on the enclave's. */
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { dialUntil } from './dial.ts';
import type { HostServices } from './host.ts';
import type { SocketFolder } from './socket-folder.ts';

/** The gate listens a moment after it starts; so long is it waited for. */
const DIAL_MS = 5_000;
const RETRY_MS = 20;
const RETRY: ReadonlySet<unknown> = new Set(['ENOENT', 'ECONNREFUSED', 'EAGAIN']);

/** Listens on every port before the enclave starts; `pathOf` names a port's socket. `close` ends every connection too. */
export async function serveHostPorts(
  services: HostServices,
  pathOf: (port: string) => string,
): Promise<{ close(): Promise<void> }> {
  const open = new Set<Socket>();
  const servers: Server[] = [];
  const close = async (): Promise<void> => {
    for (const socket of open) socket.destroy();
    await Promise.all(servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
  };
  try {
    for (const [port, handler] of Object.entries(services)) {
      const server = createServer({ allowHalfOpen: true }, (socket) => {
        open.add(socket);
        socket.once('close', () => open.delete(socket));
        handler(socket);
      });
      await listen(server, pathOf(port));
      servers.push(server);
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { close };
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/** Connects to a port inside the enclave. Throws `Failure<DialCode>`. */
export function dialGuest(sockets: SocketFolder, port: number, gone: AbortSignal): Promise<Duplex> {
  const options = { port, gone, dialMs: DIAL_MS, retryMs: RETRY_MS };
  return dialUntil(options, () => dialOnce(sockets.path(`guest-${port}.sock`)));
}

/** Undefined where nobody listens yet. */
function dialOnce(path: string): Promise<Duplex | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path, allowHalfOpen: true });
    socket.once('connect', () => resolve(socket));
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (RETRY.has(error.code)) resolve(undefined);
      else reject(error);
    });
  });
}
