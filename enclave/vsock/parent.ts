/**
 * The parent instance as an AF_VSOCK peer. It is context 3 on the Nitro hypervisor and 2 under QEMU; which one it is, is
 * found by dialling both and remembered. Nothing but addressing depends on it: the parent is believed nothing, whoever
 * it is. Connections from any other context are closed unread.
 */
import type { Duplex } from 'node:stream';
import { Failure } from '../../policies/failure.ts';
import type { Timers } from '../deadline.ts';
import type { AfVsock } from './af-vsock.ts';
import { VMADDR_CID_ANY } from './af-vsock.ts';
import type { Vsock } from './socket.ts';

const PARENT_CIDS = [3, 2] as const;

/** A connection may be lost on the way, or its bridge still be coming up: it is tried again, a bounded number of times. */
const ATTEMPTS = 3;
const PAUSE_MS = 100;

export function parentVsock(vsock: AfVsock, timers: Timers): Vsock {
  let parent: number = VMADDR_CID_ANY;
  const isParent = (cid: number): boolean =>
    parent === VMADDR_CID_ANY ? PARENT_CIDS.some((candidate) => candidate === cid) : cid === parent;

  const dialParent = async (port: number, signal: AbortSignal): Promise<Duplex> => {
    if (parent !== VMADDR_CID_ANY) return vsock.dial(parent, port, signal);
    const found = await firstOf(vsock, port, signal);
    parent = found.cid;
    return found.stream;
  };

  return {
    listen: (port, accept) =>
      vsock.listen(port, (stream, cid) => {
        if (isParent(cid)) accept(stream);
        else stream.destroy();
      }),
    async dial(port, signal) {
      for (let attempt = 1; ; attempt += 1) {
        try {
          return await dialParent(port, signal);
        } catch (error) {
          signal.throwIfAborted();
          const mayHelp = error instanceof Failure && error.kind === 'environment';
          if (!mayHelp || attempt >= ATTEMPTS) throw error;
        }
        await new Promise<void>((resolve) => void timers(PAUSE_MS, resolve));
      }
    },
  };
}

interface Found {
  readonly cid: number;
  readonly stream: Duplex;
}

/** Dials all candidates at once. The first to answer is kept, the others are given up. */
async function firstOf(vsock: AfVsock, port: number, signal: AbortSignal): Promise<Found> {
  const settled = new AbortController();
  const stop = (): void => settled.abort(signal.reason);
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  const dials = PARENT_CIDS.map(async (cid): Promise<Found> => ({ cid, stream: await vsock.dial(cid, port, settled.signal) })); // prettier-ignore
  try {
    const first = await Promise.any(dials);
    for (const other of dials) void other.then(({ cid, stream }) => cid !== first.cid && stream.destroy(), () => {}); // prettier-ignore
    return first;
  } catch (error) {
    throw error instanceof AggregateError ? error.errors[0] : error;
  } finally {
    signal.removeEventListener('abort', stop);
    settled.abort(new Error('the parent was found'));
  }
}
