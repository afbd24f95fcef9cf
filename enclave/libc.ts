/**
 * The few calls of the C library that Node does not offer and the gate needs: `/dev/nsm` wants an ioctl, AF_VSOCK sockets
 * must be made, bound and connected by hand, and jails must not inherit descriptors. Each call is synchronous, and only the
 * NSM's waits, for some milliseconds: sockets are non-blocking, and koffi's asynchronous calls are not used, since each would
 * hold one of the four threads on which Node's own file system and WebCrypto run.
 *
 * koffi (docs/decisions/0006) is loaded when first asked for.
 */
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { getSystemErrorName } from 'node:util';
import type * as Koffi from 'koffi';
import { Failure } from '../policies/failure.ts';

export type LibcCode = 'libc/absent';

/** As in the kernel, every call gives 0 or a value from 0 on where it succeeded, and `-errno` where it did not. */
export interface Libc {
  /** `argument` is read and written in place. */
  ioctl(fd: number, request: number, argument: Uint8Array): number;
  /** The descriptor. */
  socket(domain: number, type: number, protocol: number): number;
  /** Two connected descriptors, or one error. */
  socketPair(domain: number, type: number): readonly [number, number] | number;
  bind(fd: number, address: Uint8Array): number;
  connect(fd: number, address: Uint8Array): number;
  /** 1 when a connection that was begun is decided, 0 when not yet. */
  pollWritable(fd: number): number;
  /** SO_ERROR: 0, or `-errno` of what became of a connection. */
  socketError(fd: number): number;
  /** Fills `address` with the peer's. */
  peerName(fd: number, address: Uint8Array): number;
  /** Where the bytes of an array stand. The array must be kept, and must be of more than 64 bytes: V8 moves smaller ones. */
  addressOf(bytes: Uint8Array): bigint;
}

/** struct pollfd { int fd; short events; short revents; } */
const POLLFD_BYTES = 8;
const POLLOUT = 4;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const INT_BYTES = 4;
const SYS_CLOSE_RANGE = 436;
const CLOSE_RANGE_CLOEXEC = 4;
const F_SETFD = 2;
const FD_CLOEXEC = 1;
/** After input, output and errors. */
const FIRST_INHERITED = 3;

/** Throws `libc/absent` where koffi or the C library is not there. */
export function loadLibc(): Libc {
  try {
    return bindCalls();
  } catch (cause) {
    throw absent(cause);
  }
}

function absent(cause: unknown): Failure<LibcCode> {
  return new Failure('unsupported', 'libc/absent', 'the C library cannot be called from here', {
    hint: 'koffi must be installed for this platform (Linux with glibc, x64)',
    cause,
  });
}

/**
 * What this process was itself given open by whoever started it, and did not ask for, goes no further: Node marks its own
 * descriptors so. Throws `libc/absent`.
 */
export function closeInheritedOnExec(): void {
  try {
    const { library } = openLibrary();
    const syscall = library.func('long syscall(long number, unsigned long a, unsigned long b, unsigned long c)');
    if (syscall(SYS_CLOSE_RANGE, FIRST_INHERITED, 0xffff_ffff, CLOSE_RANGE_CLOEXEC) === 0) return;
    // Kernels before 5.11: one by one.
    const fcntl = library.func('int fcntl(int fd, int command, ...)');
    for (const fd of readdirSync('/proc/self/fd').map(Number)) {
      if (fd >= FIRST_INHERITED) fcntl(fd, F_SETFD, 'int', FD_CLOEXEC);
    }
  } catch (cause) {
    throw absent(cause);
  }
}

/** `ECONNRESET` for -104. */
export function errnoName(result: number): string {
  return getSystemErrorName(result);
}

/** Throws where koffi or the C library is not there. */
export function openLibrary(): { readonly koffi: typeof Koffi; readonly library: Koffi.LibraryHandle } {
  const koffi: typeof Koffi = createRequire(import.meta.url)('koffi');
  return { koffi, library: koffi.load('libc.so.6') };
}

function bindCalls(): Libc {
  const { koffi, library } = openLibrary();
  // Declared as in C, except that pointers to structs are bytes that we lay out ourselves.
  const ioctl = library.func('int ioctl(int fd, unsigned long request, ...)');
  const socket = library.func('int socket(int domain, int type, int protocol)');
  const socketpair = library.func('int socketpair(int domain, int type, int protocol, void *pair)');
  const bind = library.func('int bind(int fd, const void *address, uint32_t bytes)');
  const connect = library.func('int connect(int fd, const void *address, uint32_t bytes)');
  const poll = library.func('int poll(void *fds, unsigned long count, int milliseconds)');
  const getsockopt = library.func('int getsockopt(int fd, int level, int name, void *value, void *bytes)');
  const getpeername = library.func('int getpeername(int fd, void *address, void *bytes)');
  const result = (returned: number): number => (returned < 0 ? -koffi.errno() : returned);

  return {
    ioctl: (fd, request, argument) => result(ioctl(fd, request, 'void *', argument)),
    socket: (domain, type, protocol) => result(socket(domain, type, protocol)),
    socketPair(domain, type) {
      const pair = new Int32Array(2);
      const made = result(socketpair(domain, type, 0, pair));
      return made < 0 ? made : [pair[0] ?? -1, pair[1] ?? -1];
    },
    bind: (fd, address) => result(bind(fd, address, address.length)),
    connect: (fd, address) => result(connect(fd, address, address.length)),
    pollWritable(fd) {
      const entry = Buffer.alloc(POLLFD_BYTES);
      entry.writeInt32LE(fd, 0);
      entry.writeInt16LE(POLLOUT, 4);
      return result(poll(entry, 1, 0));
    },
    socketError(fd) {
      const value = Buffer.alloc(INT_BYTES);
      const read = result(getsockopt(fd, SOL_SOCKET, SO_ERROR, value, Int32Array.of(INT_BYTES)));
      return read < 0 ? read : -value.readInt32LE(0);
    },
    peerName: (fd, address) => result(getpeername(fd, address, Int32Array.of(address.length))),
    addressOf: (bytes) => koffi.address(bytes),
  };
}
