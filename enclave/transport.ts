/**
 * Where the NSM and the host are: chosen by a line in the last measured ramdisk and by nothing that the host says.
 *
 *     transport = "local" LF     unix sockets in the folder `run`: `nsm.sock`, `guest-<port>.sock`, `host-<port>.sock`
 *               / "nitro" LF     /dev/nsm and AF_VSOCK
 */
import { join } from 'node:path';
import { Failure } from '../policies/failure.ts';
import type { NsmTransport } from './attest/device.ts';
import { nsmOverDevice } from './attest/dev-nsm.ts';
import { nsmOverSocket } from './attest/nsm-socket.ts';
import type { Timers } from './deadline.ts';
import { loadLibc } from './libc.ts';
import { openAfVsock } from './vsock/af-vsock.ts';
import { connectUnix, dialUnix } from './vsock/dial.ts';
import { listenUnix } from './vsock/listen.ts';
import { parentVsock } from './vsock/parent.ts';
import type { Vsock } from './vsock/socket.ts';

export type TransportCode = 'transport/unknown';

export interface Transport {
  readonly nsm: NsmTransport;
  readonly vsock: Vsock;
}

/** `line`: the whole content of the measured file. `folder`: where the sockets of `local` are. */
export async function openTransport(line: string, folder: string, timers: Timers): Promise<Transport> {
  switch (line) {
    case 'local\n':
      return {
        nsm: nsmOverSocket(() => connectUnix(join(folder, 'nsm.sock'), 'the NSM', new AbortController().signal)),
        vsock: {
          listen: (port, accept) => listenUnix(folder, port, accept),
          dial: (port, signal) => dialUnix(folder, port, signal),
        },
      };
    case 'nitro\n': {
      const libc = loadLibc();
      const vsock = parentVsock(await openAfVsock(libc, timers), timers);
      return { nsm: nsmOverDevice(libc), vsock };
    }
    default:
      throw new Failure<TransportCode>('malformed', 'transport/unknown', 'the image names no transport that is known');
  }
}
