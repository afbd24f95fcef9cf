/**
 * The NSM behind `/dev/nsm` (Linux, drivers/misc/nsm.c). One ioctl is one exchange; its argument says where the request
 * is and where the response may go, and the driver writes back how long the response is:
 *
 *     struct nsm_raw {                                  // little-endian; 32 bytes, which stand in the ioctl's number
 *       struct { uint64 address; uint64 length; } request;     // at most 4096 bytes, else EMSGSIZE
 *       struct { uint64 address; uint64 length; } response;    // room for 12,288; the driver cuts off what does not fit
 *     };
 *     NSM_IOCTL_RAW = _IOWR(0x0A, 0, struct nsm_raw) = 0xC0200A00       needs CAP_SYS_ADMIN
 *
 * The call is synchronous: milliseconds in which this process does nothing else (docs/decisions/0006). A thread of Node's pool would be held for as long, and requests must go one after the other anyway.
 */
import { closeSync, openSync } from 'node:fs';
import { Failure } from '../../policies/failure.ts';
import type { Libc } from '../libc.ts';
import { errnoName } from '../libc.ts';
import type { NsmTransport } from './device.ts';
import { NSM_LIMITS } from './device.ts';

export type DevNsmCode =
  | 'nsm/absent' // there is no such device, or it may not be opened
  | 'nsm/too-large' // more than the device takes; it was not asked
  | 'nsm/device'; // the driver refused the exchange, or gave nothing

export const NSM_IOCTL_RAW = 0xc020_0a00;
const MESSAGE_BYTES = 32;
/** An interrupted exchange is begun again; a device that is interrupted without end is broken. */
const INTERRUPTIONS = 16;

const EINTR = -4;

/** Opens the device. Throws `nsm/absent`; an exchange that goes wrong rejects with `nsm/device`. */
export function nsmOverDevice(libc: Libc, path = '/dev/nsm'): NsmTransport {
  const fd = openDevice(path);
  // One block for all three, of which the driver is told the addresses: it is large enough to stay where it is.
  const block = new Uint8Array(MESSAGE_BYTES + NSM_LIMITS.requestBytes + NSM_LIMITS.responseBytes);
  const message = block.subarray(0, MESSAGE_BYTES);
  const requestRoom = block.subarray(MESSAGE_BYTES, MESSAGE_BYTES + NSM_LIMITS.requestBytes);
  const responseRoom = block.subarray(MESSAGE_BYTES + NSM_LIMITS.requestBytes);
  const address = libc.addressOf(block);
  const view = new DataView(message.buffer, 0, MESSAGE_BYTES);
  let isOpen = true;

  const describe = (requestBytes: number): void => {
    view.setBigUint64(0, address + BigInt(requestRoom.byteOffset), true);
    view.setBigUint64(8, BigInt(requestBytes), true);
    view.setBigUint64(16, address + BigInt(responseRoom.byteOffset), true);
    view.setBigUint64(24, BigInt(responseRoom.length), true);
  };

  const exchange = (request: Uint8Array): Uint8Array => {
    if (!isOpen) throw deviceFault('the NSM was closed');
    if (request.length > requestRoom.length) {
      throw new Failure<DevNsmCode>(
        'malformed',
        'nsm/too-large',
        `a request of ${request.length} bytes; the NSM takes at most ${requestRoom.length}`,
      );
    }
    requestRoom.set(request);
    try {
      let result = EINTR;
      for (let i = 0; result === EINTR && i < INTERRUPTIONS; i += 1) {
        describe(request.length);
        result = libc.ioctl(fd, NSM_IOCTL_RAW, message);
      }
      if (result < 0) throw deviceFault(`the NSM's driver answers ${errnoName(result)}`, errnoName(result));
      const bytes = view.getBigUint64(24, true);
      if (bytes === 0n || bytes > BigInt(responseRoom.length)) {
        throw deviceFault(`the NSM gave a response of ${bytes} bytes`);
      }
      return responseRoom.slice(0, Number(bytes));
    } finally {
      // Random bytes are in it, from which keys are made.
      block.fill(0);
    }
  };

  return {
    exchange: async (request) => exchange(request),
    close() {
      if (isOpen) closeSync(fd);
      isOpen = false;
    },
  };
}

function openDevice(path: string): number {
  try {
    return openSync(path, 'r+');
  } catch (cause) {
    throw new Failure<DevNsmCode>('environment', 'nsm/absent', 'there is no Nitro Secure Module here', {
      where: path,
      hint: 'this image runs in a Nitro Enclave or in QEMU’s nitro-enclave machine, and nowhere else',
      cause,
    });
  }
}

function deviceFault(what: string, errno?: string): Failure<DevNsmCode> {
  const hints: Readonly<Record<string, string>> = {
    EPERM: 'the program must run as root inside the enclave',
    EACCES: 'the program must run as root inside the enclave',
    ENOTTY: 'the device is no NSM, or its driver is too old',
  };
  const hint = errno === undefined ? undefined : hints[errno];
  return new Failure('environment', 'nsm/device', what, hint === undefined ? {} : { hint });
}
