/**
 * AF_VSOCK streams in Node, which has none. The C library makes the socket; libuv's Pipe (Node's class for unix sockets)
 * then reads, writes and accepts on the descriptor, since to libuv a stream socket is a stream socket. That class is not
 * public: this file alone touches it, and `openAfVsock` tries all of it before anything depends on it.
 *
 *     struct sockaddr_vm { uint16 family = 40; uint16 0; uint32 port; uint32 cid; uint32 0; }     // in the machine's order
 *
 * What holds for every stream, whatever carries it: there is no half-close (an end is the end of both ways, and may come
 * late or never), a port where nobody listens may refuse, hang or time out, and what breaks breaks like any socket
 * (ECONNRESET, EPIPE, ENOTCONN). So exchanges end by their lengths, whoever is done closes, and dialling has a limit.
 */
import { closeSync } from 'node:fs';
import { Socket, connect as connectUnix } from 'node:net';
import type { Duplex } from 'node:stream';
import { Failure } from '../../policies/failure.ts';
import type { Timers } from '../deadline.ts';
import { within } from '../deadline.ts';
import type { Libc } from '../libc.ts';
import { errnoName } from '../libc.ts';
import type { Listener, VsockCode } from './socket.ts';

/** Any context of this machine (to listen), and the most that a port or a context can be. */
export const VMADDR_CID_ANY = 0xffff_ffff;

/** A stream that is not there after so long will not be: a dialled port answers within a few milliseconds. */
export const DIAL_MS = 1_000;

export interface AfVsock {
  /** Connects, within `DIAL_MS`. Rejects with `vsock/unreachable`, or with the signal's reason. */
  dial(cid: number, port: number, signal: AbortSignal): Promise<Duplex>;
  /** On all contexts of this machine. `accept` learns who dials. */
  listen(port: number, accept: (stream: Duplex, peerCid: number) => void): Promise<Listener>;
}

const AF_UNIX = 1;
const AF_VSOCK = 40;
/** SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC */
const STREAM = 0o1 | 0o4000 | 0o2000000;
const EINPROGRESS = -115;
const BACKLOG = 511;
const ADDRESS_BYTES = 16;
/** Milliseconds on any processor; a starved emulator may take seconds. */
const PROBE_MS = 10_000;

export function encodeAddress(cid: number, port: number): Uint8Array {
  const bytes = new Uint8Array(ADDRESS_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_VSOCK, true);
  view.setUint32(4, port, true);
  view.setUint32(8, cid, true);
  return bytes;
}

/** Undefined for an address of another family. */
export function decodeAddress(bytes: Uint8Array): { readonly cid: number; readonly port: number } | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < 12 || view.getUint16(0, true) !== AF_VSOCK) return undefined;
  return { port: view.getUint32(4, true), cid: view.getUint32(8, true) };
}

/** Throws `vsock/unsupported` where this Node does not do what this file needs of it. Opens no AF_VSOCK socket yet. */
export async function openAfVsock(libc: Libc, timers: Timers): Promise<AfVsock> {
  const Pipe = findPipe();
  await probe(libc, Pipe, timers);
  return {
    dial: (cid, port, signal) =>
      within(timers, DIAL_MS, `dialling vsock ${cid}:${port}`, (limit) => dial(libc, Pipe, timers, cid, port, limit), signal), // prettier-ignore
    listen: async (port, accept) => listen(libc, Pipe, port, accept),
  };
}

async function dial(
  libc: Libc,
  Pipe: PipeClass,
  timers: Timers,
  cid: number,
  port: number,
  signal: AbortSignal,
): Promise<Duplex> {
  // prettier-ignore
  signal.throwIfAborted();
  const fd = newSocket(libc);
  let done: number;
  try {
    done = libc.connect(fd, encodeAddress(cid, port));
    if (done === EINPROGRESS) done = await decided(libc, fd, timers, signal);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  if (done === 0) return streamOf(Pipe, fd);
  closeSync(fd);
  throw new Failure<VsockCode>('environment', 'vsock/unreachable', `nobody answers on vsock ${cid}:${port}`, {
    where: errnoName(done),
  });
}

/** Looks again and again, less and less often. The kernel tells of a connection's end by making the socket writable. */
async function decided(libc: Libc, fd: number, timers: Timers, signal: AbortSignal): Promise<number> {
  for (let pause = 1; ; pause = Math.min(2 * pause, 16)) {
    await wait(timers, pause, signal);
    const ready = libc.pollWritable(fd);
    if (ready < 0) return ready;
    if (ready > 0) return libc.socketError(fd);
  }
}

function wait(timers: Timers, milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      stop();
      reject(signal.reason);
    };
    const stop = timers(milliseconds, () => {
      signal.removeEventListener('abort', abort);
      resolve();
    });
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
}

function listen(
  libc: Libc,
  Pipe: PipeClass,
  port: number,
  accept: (stream: Duplex, peerCid: number) => void,
): Listener {
  const fd = newSocket(libc);
  const bound = libc.bind(fd, encodeAddress(VMADDR_CID_ANY, port));
  if (bound < 0) {
    closeSync(fd);
    throw cannotListen(port, bound);
  }
  const handle = openPipe(Pipe, SERVER, fd);
  handle.onconnection = (status, accepted) => {
    // An accept that failed (the peer is gone again, no descriptor left) is the end of that connection alone.
    if (status < 0 || !isPipe(accepted)) return;
    const address = new Uint8Array(ADDRESS_BYTES);
    const peer = libc.peerName(accepted.fd, address) < 0 ? undefined : decodeAddress(address);
    if (peer === undefined) accepted.close();
    else accept(streamOn(accepted), peer.cid);
  };
  const listening = handle.listen(BACKLOG);
  if (listening < 0) {
    handle.close();
    throw cannotListen(port, listening);
  }
  return { close: () => new Promise((resolve) => handle.close(() => resolve())) };
}

function newSocket(libc: Libc): number {
  const fd = libc.socket(AF_VSOCK, STREAM, 0);
  if (fd >= 0) return fd;
  throw new Failure<VsockCode>('environment', 'vsock/unavailable', 'the kernel gives no vsock socket', {
    where: errnoName(fd),
    hint: 'EAFNOSUPPORT: the kernel has no vsock (modprobe vsock); EMFILE: too many files are open',
  });
}

function cannotListen(port: number, result: number): Failure<VsockCode> {
  return new Failure('environment', 'vsock/listen-failed', `cannot listen on vsock port ${port}`, {
    where: errnoName(result),
    hint: 'EADDRINUSE: another program listens there already',
  });
}

// ── Node's own class for unix sockets, which is not public ──

interface PipeHandle {
  readonly fd: number;
  onconnection: ((status: number, accepted: unknown) => void) | undefined;
  /** 0, or `-errno`. */
  open(fd: number): number;
  listen(backlog: number): number;
  close(closed?: () => void): void;
}
type PipeClass = new (type: number) => PipeHandle;

const SOCKET = 0;
const SERVER = 1;

function isPipe(value: unknown): value is PipeHandle {
  if (typeof value !== 'object' || value === null) return false;
  return ['open', 'listen', 'close'].every((name) => typeof Reflect.get(value, name) === 'function');
}

function isPipeClass(value: unknown): value is PipeClass {
  return typeof value === 'function' && isPipe(value.prototype);
}

/** The class of the handle inside a socket that dials a path; that nobody answers there does not matter. */
function findPipe(): PipeClass {
  const socket = connectUnix('/');
  socket.on('error', () => {});
  const handle: unknown = Reflect.get(socket, '_handle');
  const found: unknown = typeof handle === 'object' && handle !== null ? handle.constructor : undefined;
  socket.destroy();
  if (!isPipeClass(found)) throw unsupported('its class for unix sockets is not where it was');
  return found;
}

function openPipe(Pipe: PipeClass, type: number, fd: number): PipeHandle {
  const handle = new Pipe(type);
  const opened = handle.open(fd);
  if (opened === 0 && handle.fd === fd) return handle;
  handle.close();
  closeSync(fd);
  throw unsupported('its class for unix sockets takes no descriptor');
}

const streamOf = (Pipe: PipeClass, fd: number): Duplex => streamOn(openPipe(Pipe, SOCKET, fd));

function streamOn(handle: PipeHandle): Duplex {
  // An end is the end of both ways: what is still to be written is written, then the socket closes by itself.
  const options = { handle, allowHalfOpen: false, readable: true, writable: true };
  const socket = new Socket(options);
  // Whoever reads or writes learns of the error there; unheard it would end the process.
  socket.on('error', () => {});
  return socket;
}

/** Sends one byte each way through a pair of sockets made as vsock's are. */
async function probe(libc: Libc, Pipe: PipeClass, timers: Timers): Promise<void> {
  const pair = libc.socketPair(AF_UNIX, STREAM);
  if (typeof pair === 'number') throw unsupported(`a pair of sockets cannot be made: ${errnoName(pair)}`);
  const [near, far] = [streamOf(Pipe, pair[0]), streamOf(Pipe, pair[1])];
  const arrives = (from: Duplex, to: Duplex, signal: AbortSignal): Promise<boolean> =>
    new Promise((resolve) => {
      signal.addEventListener('abort', () => resolve(false), { once: true });
      to.once('data', (part: unknown) => resolve(part instanceof Uint8Array && part.length === 1 && part[0] === 7));
      to.once('close', () => resolve(false));
      from.write(Uint8Array.of(7));
    });
  try {
    const both = await within(timers, PROBE_MS, 'trying a socket', (signal) =>
      Promise.all([arrives(near, far, signal), arrives(far, near, signal)]),
    );
    if (both.includes(false))
      throw unsupported('its class for unix sockets does not carry bytes of a given descriptor');
  } finally {
    near.destroy();
    far.destroy();
  }
}

function unsupported(why: string): Failure<VsockCode> {
  return new Failure('unsupported', 'vsock/unsupported', `this version of Node cannot be used with vsock: ${why}`, {
    where: process.version,
    hint: 'use Node 20, with which it was tested',
  });
}
