/**
 * AF_VSOCK without AF_VSOCK: the machine that runs this may be a guest itself. The C library played here makes sockets of
 * the same kind (stream, non-blocking) in the unix domain and translates each address; everything above it is real.
 */
import { randomBytes } from 'node:crypto';
import { closeSync } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import type { Duplex } from 'node:stream';
import { afterEach, describe, expect, test } from 'vitest';
import type { Libc } from '../../../enclave/libc.ts';
import { loadLibc } from '../../../enclave/libc.ts';
import { encodeFrame, frameReader, writeFrame } from '../../../enclave/protocol/frame.ts';
import { decodeAddress, encodeAddress, openAfVsock, VMADDR_CID_ANY } from '../../../enclave/vsock/af-vsock.ts';
import type { AfVsock } from '../../../enclave/vsock/af-vsock.ts';
import { parentVsock } from '../../../enclave/vsock/parent.ts';
import type { Listener } from '../../../enclave/vsock/socket.ts';
import { realTimers } from '../real-timers.ts';

const [AF_UNIX, AF_VSOCK] = [1, 40];
const [EINPROGRESS, ECONNRESET, ETIMEDOUT, EAFNOSUPPORT] = [-115, -104, -110, -97];
const forever = (): AbortSignal => new AbortController().signal;
const world = Math.random().toString(36).slice(2);

/** sockaddr_un in the abstract namespace: one name for each context and port. */
function unixAddress(cid: number, port: number): Uint8Array {
  const name = Buffer.from(`\0accord-${process.pid}-${world}-${cid}:${port}`);
  return Buffer.concat([Uint8Array.of(AF_UNIX, 0), name]);
}

interface Machine {
  readonly libc: Libc;
  readonly sockets: (readonly number[])[];
  readonly dialled: number[];
}

interface MachineOptions {
  /** This machine's own context. */
  readonly cid?: number;
  /** What `accept` finds as the peer's context. */
  readonly peerCid?: number;
  /** Contexts to which a connection neither succeeds nor fails. */
  readonly hanging?: readonly number[];
  /** Milliseconds that a connection is under way. */
  readonly delay?: number;
}

function machine({ cid = 16, peerCid = 3, hanging = [], delay }: MachineOptions = {}): Machine {
  const real = loadLibc();
  const sockets: number[][] = [];
  const dialled: number[] = [];
  const pending = new Map<number, { readonly result: number; readonly at: number }>();
  const at = (address: Uint8Array): { cid: number; port: number } => {
    const decoded = decodeAddress(address);
    if (decoded === undefined || address.length !== 16) throw new Error('no sockaddr_vm');
    return decoded;
  };
  const libc: Libc = {
    ...real,
    socket(domain, type, protocol) {
      sockets.push([domain, type, protocol]);
      return real.socket(AF_UNIX, type, protocol);
    },
    bind: (fd, address) => real.bind(fd, unixAddress(at(address).cid === VMADDR_CID_ANY ? cid : -1, at(address).port)),
    connect(fd, address) {
      const peer = at(address);
      dialled.push(peer.cid);
      if (hanging.includes(peer.cid)) {
        pending.set(fd, { result: 0, at: Infinity });
        return EINPROGRESS;
      }
      const result = real.connect(fd, unixAddress(peer.cid, peer.port));
      if (delay === undefined) return result;
      pending.set(fd, { result, at: performance.now() + delay });
      return EINPROGRESS;
    },
    pollWritable: (fd) => (performance.now() >= (pending.get(fd)?.at ?? 0) ? 1 : 0),
    socketError: (fd) => pending.get(fd)?.result ?? 0,
    peerName(_fd, address) {
      address.set(encodeAddress(peerCid, 1234));
      return 0;
    },
  };
  return { libc, sockets, dialled };
}

const listeners: Listener[] = [];
afterEach(async () => {
  for (const listener of listeners.splice(0)) await listener.close();
});

let nextPort = 5000;
async function serve(vsock: AfVsock, accept: (stream: Duplex, cid: number) => void): Promise<number> {
  const port = (nextPort += 1);
  listeners.push(await vsock.listen(port, accept));
  return port;
}

describe('sockaddr_vm', () => {
  test('has 16 bytes: family, port and context in the order of the machine', () => {
    expect(Buffer.from(encodeAddress(3, 8001)).toString('hex')).toBe('28000000411f00000300000000000000');
    expect(Buffer.from(encodeAddress(VMADDR_CID_ANY, 5000)).toString('hex')).toBe('2800000088130000ffffffff00000000');
    expect(decodeAddress(encodeAddress(0xfffffffe, 0xffffffff))).toEqual({ cid: 0xfffffffe, port: 0xffffffff });
    expect(decodeAddress(Buffer.from('01000000411f00000300000000000000', 'hex'))).toBeUndefined();
    expect(decodeAddress(Uint8Array.of(40, 0))).toBeUndefined();
  });
});

describe('a stream', () => {
  test('is dialled and accepted, and carries frames both ways, whatever their size', async () => {
    const { libc, sockets } = machine({ peerCid: 77 });
    const vsock = await openAfVsock(libc, realTimers);
    let seen: number | undefined;
    const port = await serve(vsock, (stream, cid) => {
      seen = cid;
      void (async () => {
        for (const reader = frameReader(stream); ;) {
          const body = await reader.readFrame();
          if (body === undefined) return;
          await writeFrame(stream, body);
        }
      })().catch(() => {});
    });
    const stream = await vsock.dial(16, port, forever());
    const reader = frameReader(stream);
    for (const bytes of [1, 30_000, 33_000, 65_536, 327_680]) {
      const body = randomBytes(bytes);
      void writeFrame(stream, body);
      expect(body.equals((await reader.readFrame()) ?? Buffer.alloc(0))).toBe(true);
    }
    expect(seen).toBe(77);
    stream.destroy();
    // SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC
    expect(sockets).toEqual([[AF_VSOCK, 0o2004001, 0], [AF_VSOCK, 0o2004001, 0]]); // prettier-ignore
  });

  test('holds the writer back while nobody reads, and loses nothing', async () => {
    const vsock = await openAfVsock(machine().libc, realTimers);
    const accepted: Duplex[] = [];
    const port = await serve(vsock, (stream) => accepted.push(stream.pause()));
    const stream = await vsock.dial(16, port, forever());
    const bytes = randomBytes(8 * 1024 * 1024);
    let written = false;
    stream.end(bytes, () => (written = true));
    await expect.poll(() => accepted.length).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(written).toBe(false);
    const [reading] = accepted;
    if (reading === undefined) throw new Error('nothing was accepted');
    expect((await buffer(reading)).equals(bytes)).toBe(true);
  });

  test('that one side closes is closed on the other, both ways', async () => {
    const vsock = await openAfVsock(machine().libc, realTimers);
    const port = await serve(vsock, (stream) => void stream.end(encodeFrame(Buffer.from('last'))));
    const stream = await vsock.dial(16, port, forever());
    const reader = frameReader(stream);
    expect(String(Buffer.from((await reader.readFrame()) ?? []))).toBe('last');
    expect(await reader.readFrame()).toBeUndefined();
    await expect.poll(() => stream.destroyed).toBe(true);
    await expect(writeFrame(stream, Buffer.from('x'))).rejects.toMatchObject({ code: 'frame/closed' });
  });

  test('does not wait for another that stands still', async () => {
    const vsock = await openAfVsock(machine().libc, realTimers);
    const port = await serve(vsock, (stream) => stream.pipe(stream));
    const stuck = await vsock.dial(16, port, forever());
    stuck.write(Buffer.alloc(8 * 1024 * 1024));
    for (let i = 0; i < 20; i += 1) {
      const other = await vsock.dial(16, port, forever());
      await writeFrame(other, Buffer.from([i]));
      expect((await frameReader(other).readFrame())?.[0]).toBe(i);
      other.destroy();
    }
    stuck.destroy();
  });
});

describe('dialling', () => {
  test('waits for a connection that is under way', async () => {
    const { libc } = machine({ delay: 60 });
    const vsock = await openAfVsock(libc, realTimers);
    const port = await serve(vsock, (stream) => stream.end('hello'));
    const start = performance.now();
    const stream = await vsock.dial(16, port, forever());
    expect(performance.now() - start).toBeGreaterThan(50);
    expect(String(await buffer(stream))).toBe('hello');
  });

  test('fails with what became of the connection', async () => {
    for (const delay of [undefined, 20]) {
      const vsock = await openAfVsock(machine(delay === undefined ? {} : { delay }).libc, realTimers);
      const failing = vsock.dial(16, 1, forever());
      await expect(failing).rejects.toMatchObject({ code: 'vsock/unreachable', where: 'ECONNREFUSED' });
    }
    for (const [result, where] of [
      [ECONNRESET, 'ECONNRESET'],
      [ETIMEDOUT, 'ETIMEDOUT'],
    ] as const) {
      const { libc } = machine();
      const vsock = await openAfVsock({ ...libc, connect: () => result }, realTimers);
      await expect(vsock.dial(16, 1, forever())).rejects.toMatchObject({ code: 'vsock/unreachable', where });
    }
  });

  test('a port that neither answers nor refuses takes a second, or until the signal', async () => {
    const { libc } = machine({ hanging: [16] });
    const opened: number[] = [];
    const socket: Libc['socket'] = (...args) => {
      const fd = libc.socket(...args);
      opened.push(fd);
      return fd;
    };
    const vsock = await openAfVsock({ ...libc, socket }, realTimers);
    const start = performance.now();
    await expect(vsock.dial(16, 1, forever())).rejects.toMatchObject({ code: 'deadline/passed' });
    expect(performance.now() - start).toBeGreaterThan(900);
    const controller = new AbortController();
    const dialling = vsock.dial(16, 1, controller.signal);
    controller.abort(new Error('no longer wanted'));
    await expect(dialling).rejects.toThrow('no longer wanted');
    await expect(vsock.dial(16, 1, AbortSignal.abort(new Error('never wanted')))).rejects.toThrow('never wanted');
    // No descriptor is left: each that was opened can be had again.
    expect(opened).toHaveLength(2);
    expect(new Set(opened).size).toBe(1);
  });

  test('a kernel without vsock is named', async () => {
    const { libc } = machine();
    const vsock = await openAfVsock({ ...libc, socket: () => EAFNOSUPPORT }, realTimers);
    await expect(vsock.dial(3, 1, forever())).rejects.toMatchObject({
      code: 'vsock/unavailable',
      where: 'EAFNOSUPPORT',
    });
    await expect(vsock.listen(1, () => {})).rejects.toMatchObject({ code: 'vsock/unavailable' });
  });
});

describe('listening', () => {
  test('on a port that is taken fails', async () => {
    const vsock = await openAfVsock(machine().libc, realTimers);
    const port = await serve(vsock, () => {});
    await expect(vsock.listen(port, () => {})).rejects.toMatchObject({
      code: 'vsock/listen-failed',
      where: 'EADDRINUSE',
    });
  });

  test('ends with close, and open streams stay', async () => {
    const vsock = await openAfVsock(machine().libc, realTimers);
    const port = (nextPort += 1);
    const listener = await vsock.listen(port, (stream) => stream.pipe(stream));
    const stream = await vsock.dial(16, port, forever());
    await writeFrame(stream, Buffer.from('a'));
    const reader = frameReader(stream);
    await reader.readFrame();
    await listener.close();
    await expect(vsock.dial(16, port, forever())).rejects.toMatchObject({ where: 'ECONNREFUSED' });
    await writeFrame(stream, Buffer.from('b'));
    expect(String(Buffer.from((await reader.readFrame()) ?? []))).toBe('b');
    stream.destroy();
  });
});

describe('what is tried at the start', () => {
  test('is that bytes go through sockets of this kind', async () => {
    const real = loadLibc();
    await expect(openAfVsock({ ...real, socketPair: () => -24 }, realTimers)).rejects.toMatchObject({
      code: 'vsock/unsupported',
      kind: 'unsupported',
      message: expect.stringContaining('EMFILE'),
    });
    const split: Libc['socketPair'] = (domain, type) => {
      const [one, two] = [real.socketPair(domain, type), real.socketPair(domain, type)];
      if (typeof one === 'number' || typeof two === 'number') throw new Error('no pair');
      closeSync(one[1]);
      closeSync(two[1]);
      return [one[0], two[0]];
    };
    await expect(openAfVsock({ ...real, socketPair: split }, realTimers)).rejects.toMatchObject({
      code: 'vsock/unsupported',
    });
  });
});

describe('the parent', () => {
  /** What a context of the same world listens on. */
  const answering = async (cid: number, port: number): Promise<number[]> => {
    const accepted: number[] = [];
    const vsock = await openAfVsock(machine({ cid }).libc, realTimers);
    listeners.push(await vsock.listen(port, (stream) => (accepted.push(cid), stream.end(`${cid}`))));
    return accepted;
  };

  test.each([
    [3, [2]],
    [2, [3]],
    [3, []],
    [2, []],
  ] as const)('is found at %d while %j hang, and remembered', async (cid, hanging) => {
    const port = (nextPort += 1);
    await answering(cid, port);
    const guest = machine({ hanging });
    const parent = parentVsock(await openAfVsock(guest.libc, realTimers), realTimers);
    expect(String(await buffer(await parent.dial(port, forever())))).toBe(`${cid}`);
    expect(guest.dialled).toEqual([3, 2]);
    expect(String(await buffer(await parent.dial(port, forever())))).toBe(`${cid}`);
    expect(guest.dialled).toEqual([3, 2, cid]);
  });

  test('that answers at both is one of them, and the other connection is closed', async () => {
    const port = (nextPort += 1);
    await answering(2, port);
    await answering(3, port);
    const parent = parentVsock(await openAfVsock(machine().libc, realTimers), realTimers);
    expect(String(await buffer(await parent.dial(port, forever())))).toBe('3');
  });

  test('that is not there yet is tried three times, then given up', async () => {
    const guest = machine();
    const parent = parentVsock(await openAfVsock(guest.libc, realTimers), realTimers);
    await expect(parent.dial(1, forever())).rejects.toMatchObject({ code: 'vsock/unreachable' });
    expect(guest.dialled).toEqual([3, 2, 3, 2, 3, 2]);
    const late = (nextPort += 1);
    const dialling = parent.dial(late, forever());
    setTimeout(() => void answering(2, late), 50);
    expect(String(await buffer(await dialling))).toBe('2');
  });

  test('is given up with the signal', async () => {
    const guest = machine({ hanging: [2, 3] });
    const parent = parentVsock(await openAfVsock(guest.libc, realTimers), realTimers);
    const start = performance.now();
    await expect(parent.dial(1, AbortSignal.timeout(100))).rejects.toMatchObject({ name: 'TimeoutError' });
    expect(performance.now() - start).toBeLessThan(900);
  });

  test.each([
    [3, true],
    [2, false],
    [4, false],
    [16, false],
    [1, false],
  ])('is heard and nobody else: context %d, once it is known to be 3', async (peerCid, isHeard) => {
    const port = (nextPort += 1);
    await answering(3, port);
    const guest = machine({ peerCid });
    const vsock = await openAfVsock(guest.libc, realTimers);
    const parent = parentVsock(vsock, realTimers);
    await parent.dial(port, forever());
    const sessions = (nextPort += 1);
    listeners.push(await parent.listen(sessions, (stream) => stream.end('hello')));
    const stream = await vsock.dial(16, sessions, forever());
    expect(String(await buffer(stream).catch(() => ''))).toBe(isHeard ? 'hello' : '');
  });
});
