/** Vsock in miniature: a port is a unix socket, `host-<port>.sock` on our side and `guest-<port>.sock` on the enclave's. */
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../../policies/failure.ts';
import type { HostServices } from './host.ts';
import type { SocketFolder } from './socket-folder.ts';

export type LocalSocketCode = 'host/not-listening' | 'host/enclave-gone';

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

/** Connects to a port inside the enclave, trying again until it listens, for a while, or until it is gone. */
export async function dialGuest(sockets: SocketFolder, port: number, gone: AbortSignal): Promise<Duplex> {
  const deadline = performance.now() + DIAL_MS;
  for (;;) {
    if (gone.aborted) {
      throw new Failure<LocalSocketCode>('environment', 'host/enclave-gone', 'the enclave has ended', {
        hint: 'start it again with `accord run POLICY`',
      });
    }
    const socket = await dialOnce(sockets.path(`guest-${port}.sock`));
    if (socket !== undefined) return socket;
    if (performance.now() > deadline) {
      throw new Failure<LocalSocketCode>(
        'environment',
        'host/not-listening',
        `nothing in the enclave listens on port ${port}`,
        { hint: 'read what it printed with `accord console`' },
      );
    }
    await sleep(RETRY_MS);
  }
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
