/** Two ends of a unix socket, as the local host's vsock gives them. */
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Listening {
  /** A new connection from the other side. */
  dial(): Promise<Socket>;
  close(): Promise<void>;
}

/** Hands each connection to `accept`, with half-close, like `serveHostPorts`. Without it, those that dial have none. */
export async function listening(accept: (socket: Socket) => void, allowHalfOpen = true): Promise<Listening> {
  const folder = await mkdtemp(join(tmpdir(), 'accord-pair-'));
  const path = join(folder, 's');
  const open = new Set<Socket>();
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    accept(socket);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    dial: () =>
      new Promise((resolve, reject) => {
        const socket = connect({ path, allowHalfOpen });
        open.add(socket);
        socket.once('connect', () => resolve(socket));
        socket.on('error', reject);
      }),
    async close() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Both ends of one connection. Without half-close the near end closes when the far end has ended, as over vsock. */
export async function pair(allowHalfOpen = true): Promise<{ near: Socket; far: Socket; close(): Promise<void> }> {
  let accepted: (socket: Socket) => void = () => {};
  const far = new Promise<Socket>((resolve) => (accepted = resolve));
  const ends = await listening((socket) => accepted(socket), allowHalfOpen);
  return { near: await ends.dial(), far: await far, close: () => ends.close() };
}
