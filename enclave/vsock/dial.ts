/** Dialling the unix socket that stands for a host port: `host-<port>.sock` in the transport's folder. */
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { Failure } from '../../policies/failure.ts';
import type { VsockCode } from './socket.ts';

export function dialUnix(folder: string, port: number, signal: AbortSignal): Promise<Duplex> {
  return connectUnix(join(folder, `host-${port}.sock`), `port ${port} of the host`, signal);
}

/** `what` names the other end in the message. Rejects with the signal's reason when it is aborted first. */
export function connectUnix(path: string, what: string, signal: AbortSignal): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const socket = connect(path);
    const settle = (end: () => void): void => {
      signal.removeEventListener('abort', abort);
      end();
    };
    const abort = (): void => settle(() => (socket.destroy(), reject(signal.reason)));
    signal.addEventListener('abort', abort, { once: true });
    socket.once('connect', () => settle(() => resolve(socket)));
    // Stays for the life of the socket: later errors are seen by whoever reads or writes.
    socket.on('error', (cause) =>
      settle(() =>
        reject(new Failure<VsockCode>('environment', 'vsock/unreachable', `${what} does not answer`, { cause })),
      ),
    );
  });
}
