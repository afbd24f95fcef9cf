/**
 * Vsock as vhost-device-vsock offers it to the host, with unix sockets:
 *
 *     host -> guest   connect to `vsock`, send "CONNECT <port>\n", read "OK <number>\n"; from then on bytes both ways
 *     guest -> host   a guest that dials port N of CID 2 arrives at `vsock_<N>`, which must be listening before
 *
 * It answers nothing where nobody listens in the guest, so a try has a limit of its own and is made again.
 */
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { dialUntil } from '../dial.ts';

export const VSOCK_SOCKET = 'vsock';
/** Where QEMU and vhost-device-vsock meet. */
export const VHOST_SOCKET = 'vhost';

export const hostPortSocket = (port: string): string => `${VSOCK_SOCKET}_${port}`;

const DIAL_MS = 15_000;
const RETRY_MS = 50;
/** A machine under load takes its time; where nobody listens no answer comes at all. */
const TRY_MS = [2_000, 4_000] as const;
const LAST_TRY_MS = 5_000;
/** "OK 4294967295\n" has 14. */
const ANSWER_BYTES = 32;

export interface DialGuestOptions {
  readonly path: string;
  readonly port: number;
  /** Aborted when the enclave has ended. */
  readonly gone: AbortSignal;
  /** How long it is tried in all. */
  readonly dialMs?: number;
}

/** Throws `Failure<DialCode>`. */
export function dialGuest({ path, port, gone, dialMs = DIAL_MS }: DialGuestOptions): Promise<Duplex> {
  return dialUntil({ port, gone, dialMs, retryMs: RETRY_MS }, (attempt) => {
    const tryMs = Math.min(dialMs, TRY_MS[attempt] ?? LAST_TRY_MS);
    return dialOnce(path, port, AbortSignal.any([gone, AbortSignal.timeout(tryMs)]));
  });
}

/** Undefined where nobody answered, or something else than OK. */
function dialOnce(path: string, port: number, stop: AbortSignal): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ path, allowHalfOpen: true });
    let answer = Buffer.alloc(0);
    const settle = (result: Socket | undefined): void => {
      stop.removeEventListener('abort', giveUp);
      socket.off('readable', read);
      socket.off('end', giveUp);
      socket.off('error', giveUp);
      if (result === undefined) {
        socket.on('error', () => {}); // whatever it still says
        socket.destroy();
      }
      resolve(result);
    };
    const giveUp = (): void => settle(undefined);
    const read = (): void => {
      for (let piece: Buffer | null; (piece = socket.read()) !== null;) {
        answer = Buffer.concat([answer, piece]);
        const end = answer.indexOf(0x0a);
        if (end < 0 && answer.length < ANSWER_BYTES) continue;
        if (!/^OK \d{1,10}$/.test(answer.toString('latin1', 0, Math.max(end, 0)))) return giveUp();
        const rest = answer.subarray(end + 1); // the guest may have spoken at once
        settle(socket);
        if (rest.length > 0) socket.unshift(rest);
        return;
      }
    };
    socket.once('error', giveUp);
    socket.once('end', giveUp);
    stop.addEventListener('abort', giveUp, { once: true });
    socket.on('readable', read);
    socket.write(`CONNECT ${port}\n`);
  });
}
