/** `/dev/nsm` against a driver that is played here: it reads and writes the memory that the ioctl's argument points to. */
import { closeSync, fstatSync, openSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import koffi from 'koffi';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createNsm } from '../../../enclave/attest/device.ts';
import { NSM_IOCTL_RAW, nsmOverDevice } from '../../../enclave/attest/dev-nsm.ts';
import { decodeCbor, encodeCbor } from '../../../enclave/encoding/cbor.ts';
import type { Libc } from '../../../enclave/libc.ts';
import { loadLibc } from '../../../enclave/libc.ts';

const memory = (address: bigint, bytes: bigint): Uint8Array => new Uint8Array(koffi.view(address, Number(bytes)));

interface Driver {
  readonly libc: Libc;
  readonly requests: Uint8Array[];
  readonly calls: { readonly fd: number; readonly request: number; readonly room: bigint }[];
  /** What the program's own memory holds at the response's address now. */
  readonly leftBehind: () => Uint8Array;
}

/** As the kernel's driver: what does not fit into the response's room is cut off. */
function driver(response: Uint8Array, results: number[] = []): Driver {
  const requests: Uint8Array[] = [];
  const calls: { fd: number; request: number; room: bigint }[] = [];
  let last: readonly [bigint, bigint] = [0n, 0n];
  const ioctl: Libc['ioctl'] = (fd, request, message) => {
    const view = new DataView(message.buffer, message.byteOffset, message.length);
    const field = (at: number): bigint => view.getBigUint64(at, true);
    calls.push({ fd, request, room: field(24) });
    const result = results.shift() ?? 0;
    if (result < 0) return result;
    requests.push(memory(field(0), field(8)).slice());
    const bytes = BigInt(response.length) < field(24) ? BigInt(response.length) : field(24);
    last = [field(16), bytes];
    memory(...last).set(response.subarray(0, Number(bytes)));
    view.setBigUint64(24, bytes, true);
    return result;
  };
  return { libc: { ...loadLibc(), ioctl }, requests, calls, leftBehind: () => memory(...last).slice() };
}

describe('/dev/nsm', () => {
  let folder = '';
  let device = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'accord-nsm-'));
    device = join(folder, 'nsm');
    await writeFile(device, '');
  });
  afterAll(() => rm(folder, { recursive: true }));

  test('is given the request as it is, and room for the longest response', async () => {
    const response = encodeCbor(new Map([['GetRandom', new Map([['random', new Uint8Array(256).fill(9)]])]]));
    const { libc, requests, calls } = driver(response);
    const transport = nsmOverDevice(libc, device);
    expect(await createNsm(transport).random(32)).toEqual(new Uint8Array(32).fill(9));
    expect(requests.map((bytes) => decodeCbor(bytes, { maxBytes: 64 }))).toEqual(['GetRandom']);
    expect(calls).toEqual([{ fd: expect.any(Number), request: 0xc0200a00, room: 12_288n }]);
    expect(NSM_IOCTL_RAW).toBe((3 << 30 >>> 0) + (32 << 16) + (0x0a << 8)); // prettier-ignore
    transport.close();
  });

  test('carries the longest request and the longest response', async () => {
    const response = new Uint8Array(12_288).map((_, i) => i);
    const request = new Uint8Array(4096).map((_, i) => i * 7);
    const { libc, requests } = driver(response);
    const transport = nsmOverDevice(libc, device);
    expect(await transport.exchange(request)).toEqual(response);
    expect(requests).toEqual([request]);
    transport.close();
  });

  test('is not asked what it would refuse for its length', async () => {
    const { libc, calls } = driver(Uint8Array.of(1));
    const transport = nsmOverDevice(libc, device);
    await expect(transport.exchange(new Uint8Array(4097))).rejects.toMatchObject({ code: 'nsm/too-large' });
    expect(calls).toEqual([]);
    transport.close();
  });

  test('leaves nothing of a response in the memory that it was given', async () => {
    const { libc, leftBehind } = driver(new Uint8Array(300).fill(0xaa));
    const transport = nsmOverDevice(libc, device);
    expect((await transport.exchange(Uint8Array.of(1)))[299]).toBe(0xaa);
    expect(leftBehind()).toEqual(new Uint8Array(300));
    transport.close();
  });

  test('overlapping exchanges keep their own answers', async () => {
    let n = 0;
    const first = driver(Uint8Array.of(1));
    const second = driver(Uint8Array.of(2));
    const ioctl: Libc['ioctl'] = (...args) => ((n += 1) === 1 ? first : second).libc.ioctl(...args);
    const transport = nsmOverDevice({ ...first.libc, ioctl }, device);
    const answers = await Promise.all([transport.exchange(Uint8Array.of(8)), transport.exchange(Uint8Array.of(9))]);
    expect(answers).toEqual([Uint8Array.of(1), Uint8Array.of(2)]);
    transport.close();
  });

  test('is asked again when it was interrupted, and not without end', async () => {
    const twice = driver(Uint8Array.of(5), [-4, -4]);
    const transport = nsmOverDevice(twice.libc, device);
    expect(await transport.exchange(Uint8Array.of(1))).toEqual(Uint8Array.of(5));
    expect(twice.calls.length).toBe(3);
    transport.close();
    const always = driver(Uint8Array.of(5), Array<number>(1000).fill(-4));
    const stuck = nsmOverDevice(always.libc, device);
    await expect(stuck.exchange(Uint8Array.of(1))).rejects.toMatchObject({ code: 'nsm/device' });
    expect(always.calls.length).toBeLessThan(100);
    stuck.close();
  });

  test.each([
    [-1, 'EPERM'],
    [-13, 'EACCES'],
    [-90, 'EMSGSIZE'],
    [-110, 'ETIMEDOUT'],
  ])('says what its driver said: %d is %s', async (result, name) => {
    const { libc } = driver(Uint8Array.of(1), [result]);
    const transport = nsmOverDevice(libc, device);
    const failing = transport.exchange(Uint8Array.of(1));
    await expect(failing).rejects.toMatchObject({ code: 'nsm/device', message: expect.stringContaining(name) });
    transport.close();
  });

  test('an answer of no bytes is none', async () => {
    const { libc } = driver(new Uint8Array(0));
    const transport = nsmOverDevice(libc, device);
    await expect(transport.exchange(Uint8Array.of(1))).rejects.toMatchObject({ code: 'nsm/device' });
    transport.close();
    await expect(transport.exchange(Uint8Array.of(1))).rejects.toMatchObject({ code: 'nsm/device' });
  });

  test('an answer that says to be longer than its room is none', async () => {
    const { libc } = driver(Uint8Array.of(5));
    const boasting: Libc = {
      ...libc,
      ioctl: (fd, request, message) => {
        const result = libc.ioctl(fd, request, message);
        const view = new DataView(message.buffer, message.byteOffset, message.length);
        view.setBigUint64(24, view.getBigUint64(24, true) + 12_288n, true);
        return result;
      },
    };
    const transport = nsmOverDevice(boasting, device);
    await expect(transport.exchange(Uint8Array.of(1))).rejects.toMatchObject({
      code: 'nsm/device',
      message: expect.stringContaining('12289 bytes'),
    });
    transport.close();
  });

  test('that was closed is asked nothing, and is closed once', async () => {
    const { libc, calls } = driver(Uint8Array.of(5));
    const transport = nsmOverDevice(libc, device);
    transport.close();
    await expect(transport.exchange(Uint8Array.of(1))).rejects.toMatchObject({ code: 'nsm/device' });
    expect(calls).toEqual([]);
    // The kernel gives the lowest number that is free: to close again would close this file.
    const other = openSync(device, 'r');
    transport.close();
    expect(fstatSync(other).isFile()).toBe(true);
    closeSync(other);
  });

  test('a file that is no device is refused by the real ioctl', async () => {
    const transport = nsmOverDevice(loadLibc(), device);
    const failing = transport.exchange(Uint8Array.of(1));
    await expect(failing).rejects.toMatchObject({ message: expect.stringContaining('ENOTTY') });
    transport.close();
  });

  test('where there is none, that is said', () => {
    expect(() => nsmOverDevice(loadLibc(), join(folder, 'absent'))).toThrow(
      expect.objectContaining({ code: 'nsm/absent', kind: 'environment' }),
    );
  });
});
