/** Listening on the unix socket that stands for a guest port: `guest-<port>.sock` in the transport's folder. */
import { rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { Failure } from '../../policies/failure.ts';
import type { Listener, VsockCode } from './socket.ts';

export async function listenUnix(
  folder: string,
  port: number,
  accept: (connection: Duplex) => void,
): Promise<Listener> {
  const path = join(folder, `guest-${port}.sock`);
  // A socket of an enclave that was killed would keep this one from starting.
  await rm(path, { force: true });
  const server = createServer({ pauseOnConnect: false }, (connection) => {
    // Whoever reads or writes learns of the error there; unheard it would end the process.
    connection.on('error', () => {});
    accept(connection);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(new Failure<VsockCode>('environment', 'vsock/listen-failed', `cannot listen on port ${port}`, { cause })),
    );
    server.listen(path, resolve);
  });
  return { close: () => new Promise((resolve) => void server.close(() => resolve())) };
}
