import { getEventListeners } from 'node:events';
import { Duplex, PassThrough, Readable } from 'node:stream';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { expectSameBytes } from '../../same-bytes.ts';
import { encodeCbor } from '../../../enclave/encoding/cbor.ts';
import type { CborValue } from '../../../enclave/encoding/cbor.ts';
import { fromHex, toHex } from '../../../enclave/encoding/hex.ts';
import { decodeOuter, encodeFrame, encodeOuter, frameReader, writeFrame } from '../../../enclave/protocol/frame.ts';
import type { OuterMessage } from '../../../enclave/protocol/frame.ts';
import { LIMITS } from '../../../enclave/protocol/limits.ts';
import { Failure } from '../../../policies/failure.ts';

const MESSAGES: readonly OuterMessage[] = [
  { t: 'hello', v: 1, nonce: new Uint8Array(32).fill(1) },
  { t: 'welcome', attestation: new Uint8Array(4000).fill(2) },
  { t: 'open', enc: new Uint8Array(32).fill(3), ct: new Uint8Array(40).fill(4) },
  { t: 'sealed', ct: new Uint8Array(16) },
  { t: 'closed' },
];

/** Frames as they are on the wire, with what a reader must make of them. */
interface FramingVector {
  readonly name: string;
  readonly wire: Uint8Array;
  readonly frames: readonly number[];
  readonly end: 'clean' | 'frame/oversized' | 'frame/empty' | 'frame/truncated';
}

const head = (length: number): Uint8Array => {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, length);
  return bytes;
};
const join = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
const frame = (length: number): Uint8Array => encodeFrame(new Uint8Array(length).fill(length & 255));

const VECTORS: readonly FramingVector[] = [
  { name: 'nothing', wire: new Uint8Array(0), frames: [], end: 'clean' },
  { name: 'one byte in one frame', wire: frame(1), frames: [1], end: 'clean' },
  { name: 'three frames in a row', wire: join(frame(5), frame(300), frame(1)), frames: [5, 300, 1], end: 'clean' },
  { name: 'a frame of no bytes', wire: join(frame(3), head(0), frame(3)), frames: [3], end: 'frame/empty' },
  { name: 'one byte over the limit', wire: join(head(2001), new Uint8Array(10)), frames: [], end: 'frame/oversized' },
  { name: 'as long as a frame may be', wire: frame(2000), frames: [2000], end: 'clean' },
  { name: 'four gigabytes announced', wire: join(frame(7), head(0xffffffff)), frames: [7], end: 'frame/oversized' },
  { name: 'ends inside the first length', wire: head(5).subarray(0, 2), frames: [], end: 'frame/truncated' },
  {
    name: 'ends inside a later length',
    wire: join(frame(9), head(5).subarray(0, 3)),
    frames: [9],
    end: 'frame/truncated',
  },
  { name: 'ends after a length', wire: head(5), frames: [], end: 'frame/truncated' },
  { name: 'ends inside a body', wire: frame(50).subarray(0, 53), frames: [], end: 'frame/truncated' },
];

const CUTS: Readonly<Record<string, number>> = {
  whole: Number.MAX_SAFE_INTEGER,
  'in chunks of 7': 7,
  'byte by byte': 1,
};

async function read(wire: Uint8Array, size: number): Promise<{ frames: Uint8Array[]; end: string }> {
  const stream = new PassThrough();
  void (async () => {
    for (let at = 0; at < wire.length; at += size) {
      stream.write(wire.subarray(at, at + size));
      if (size < wire.length) await new Promise((resolve) => setImmediate(resolve));
    }
    stream.end();
  })();
  const reader = frameReader(stream, 2000);
  const frames: Uint8Array[] = [];
  try {
    for (let body = await reader.readFrame(); body !== undefined; body = await reader.readFrame()) frames.push(body);
    return { frames, end: 'clean' };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return { frames, end: error.code };
  }
}

describe.each(VECTORS)('reading: $name', ({ wire, frames, end }) => {
  test.each(Object.entries(CUTS))('%s', async (_, size) => {
    const result = await read(wire, size);
    expect(result.frames.map((body) => body.length)).toEqual(frames);
    for (const body of result.frames) expect(body.every((byte) => byte === (body.length & 255))).toBe(true);
    expect(result.end).toBe(end);
  });
});

const soon = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('reading', () => {
  test('takes nothing ahead of a frame: what follows belongs to whoever comes next', async () => {
    const stream = new PassThrough();
    stream.end(join(frame(100), new TextEncoder().encode('then TLS')));
    expect(await frameReader(stream).readFrame()).toHaveLength(100);
    const rest: Buffer[] = [];
    for await (const part of stream) rest.push(part);
    expect(Buffer.concat(rest).toString()).toBe('then TLS');
  });

  test('a frame larger than the stream’s own buffer arrives', async () => {
    const { frames, end } = await read(frame(2000), 64);
    expect([frames.length, end]).toEqual([1, 'clean']);
    const stream = new PassThrough({ highWaterMark: 16 });
    const body = new Uint8Array(LIMITS.frameBytes).fill(5);
    stream.end(encodeFrame(body));
    expectSameBytes(await frameReader(stream).readFrame(), body);
  });

  test('the largest frame arrives one byte at a time', async () => {
    const wire = encodeFrame(new Uint8Array(LIMITS.frameBytes).fill(6));
    let at = 0;
    const stream = new Readable({ highWaterMark: 1, read: () => void stream.push(wire.subarray(at, ++at)) });
    expectSameBytes(await frameReader(stream).readFrame(), wire.subarray(4));
  });

  test('a body is a copy of its own', async () => {
    const stream = new PassThrough();
    const wire = frame(10);
    stream.end(wire);
    const body = await frameReader(stream).readFrame();
    wire.fill(0);
    expect(body).toEqual(new Uint8Array(10).fill(10));
  });

  test('waits no longer than it is told, and leaves no listener behind', async () => {
    const stream = new PassThrough();
    const listeners = (): number => stream.eventNames().reduce((sum, name) => sum + stream.listenerCount(name), 0);
    const before = listeners();
    const controller = new AbortController();
    const reading = frameReader(stream).readFrame(controller.signal);
    setImmediate(() => controller.abort(new Error('enough')));
    await expect(reading).rejects.toThrow('enough');
    expect(listeners()).toBe(before);
    await expect(frameReader(stream).readFrame(AbortSignal.abort(new Error('at once')))).rejects.toThrow('at once');
  });

  test.each([
    ['when it has its frame', async (stream: PassThrough) => void stream.write(frame(3).subarray(3))],
    ['when the stream ends', async (stream: PassThrough) => void stream.end()],
    ['when the connection breaks', async (stream: PassThrough) => void stream.destroy(new Error('reset by peer'))],
  ])('leaves no listener behind %s, after frames that came in pieces', async (_, last) => {
    const stream = new PassThrough();
    const { signal } = new AbortController();
    const listeners = (): number =>
      getEventListeners(signal, 'abort').length +
      stream.eventNames().reduce((sum, name) => sum + stream.listenerCount(name), 0);
    const before = listeners();
    const reader = frameReader(stream);
    for (let round = 0; round < 3; round++) {
      const reading = reader.readFrame(signal);
      for (const piece of [0, 2, 6]) {
        await soon();
        stream.write(frame(10).subarray(piece, piece === 0 ? 2 : piece === 2 ? 6 : undefined));
      }
      expect(await reading).toHaveLength(10);
      expect(listeners()).toBe(before);
    }
    const reading = reader.readFrame(signal).catch(() => undefined);
    await soon();
    stream.write(frame(3).subarray(0, 3));
    await soon();
    await last(stream);
    await reading;
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    if (!stream.destroyed) expect(listeners()).toBe(before);
  });

  test('a connection that breaks is an environment failure; one that is cut inside a frame is truncated', async () => {
    const broken = new PassThrough();
    broken.write(head(10));
    const reading = frameReader(broken).readFrame();
    setImmediate(() => broken.destroy(new Error('reset by peer')));
    await expect(reading).rejects.toMatchObject({ code: 'frame/closed', kind: 'environment' });
    const cut = new PassThrough();
    cut.write(head(10));
    const cutting = frameReader(cut).readFrame();
    setImmediate(() => cut.destroy());
    await expect(cutting).rejects.toMatchObject({ code: 'frame/truncated' });
  });
});

describe('writing', () => {
  test('waits until there is room', async () => {
    let release = (): void => {};
    const written: number[] = [];
    const slow = new Duplex({
      highWaterMark: 8,
      read: () => {},
      write: (chunk: Uint8Array, _, done) => {
        written.push(chunk.length);
        release = done;
      },
    });
    let finished = false;
    const writing = writeFrame(slow, new Uint8Array(100).fill(1)).then(() => (finished = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect([written, finished]).toEqual([[104], false]);
    release();
    await writing;
    expect(finished).toBe(true);
  });

  test.each(['destroyed', 'ended'])('to a connection that is %s', async (how) => {
    const stream = new PassThrough();
    if (how === 'destroyed') stream.destroy();
    else stream.end();
    await expect(writeFrame(stream, new Uint8Array(3))).rejects.toMatchObject({
      code: 'frame/closed',
      kind: 'environment',
    });
  });

  test('to a connection that breaks on the way', async () => {
    const stream = new Duplex({
      highWaterMark: 1,
      read: () => {},
      write: (_chunk, _encoding, done) => setImmediate(() => done(new Error('broken pipe'))),
    });
    stream.on('error', () => {});
    await expect(writeFrame(stream, new Uint8Array(3))).rejects.toMatchObject({ code: 'frame/closed' });
  });

  test('gives up when it is told to', async () => {
    const stuck = new Duplex({ highWaterMark: 1, read: () => {}, write: () => {} });
    const controller = new AbortController();
    setImmediate(() => controller.abort(new Error('enough')));
    await expect(writeFrame(stuck, new Uint8Array(3), controller.signal)).rejects.toThrow('enough');
  });

  test.each([0, LIMITS.frameBytes + 1])('a body of %i bytes is no frame', async (length) => {
    expect(() => encodeFrame(new Uint8Array(length))).toThrow(Failure);
    await expect(writeFrame(new PassThrough(), new Uint8Array(length))).rejects.toBeInstanceOf(Failure);
  });
});

describe('messages', () => {
  test.each(MESSAGES)('$t comes back as it went', (message) => {
    expect(decodeOuter(encodeOuter(message))).toEqual(message);
  });

  test('hello, byte for byte', () => {
    const hello = encodeOuter({ t: 'hello', v: 1, nonce: new Uint8Array(32) });
    expect(toHex(hello)).toBe(`a361746568656c6c6f617601656e6f6e63655820${'00'.repeat(32)}`);
  });

  const map = (entries: Readonly<Record<string, CborValue>>): Uint8Array =>
    encodeCbor(new Map(Object.entries(entries)));
  const nonce = new Uint8Array(32);
  const HOSTILE: Readonly<Record<string, Uint8Array>> = {
    notCbor: fromHex('ff'),
    notAMap: encodeCbor([1]),
    noType: map({ nonce }),
    unknownType: map({ t: 'goodbye' }),
    typeTwice: fromHex('a2617466636c6f736564617466636c6f736564'),
    extraKey: map({ t: 'closed', why: 'quota' }),
    otherVersion: map({ t: 'hello', v: 2, nonce }),
    shortNonce: map({ t: 'hello', v: 1, nonce: new Uint8Array(31) }),
    longNonce: map({ t: 'hello', v: 1, nonce: new Uint8Array(33) }),
    nonceAsText: map({ t: 'hello', v: 1, nonce: 'x'.repeat(32) }),
    noAttestation: map({ t: 'welcome', attestation: new Uint8Array(0) }),
    hugeAttestation: map({ t: 'welcome', attestation: new Uint8Array(LIMITS.attestationBytes + 1) }),
    shortEncapsulation: map({ t: 'open', enc: new Uint8Array(31), ct: new Uint8Array(16) }),
    lessThanATag: map({ t: 'sealed', ct: new Uint8Array(15) }),
    trailing: join(map({ t: 'closed' }), Uint8Array.of(0)),
    empty: new Uint8Array(0),
    oversized: new Uint8Array(LIMITS.frameBytes + 1),
  };
  test.each(Object.entries(HOSTILE))('%s', (_, body) => {
    expect(() => decodeOuter(body)).toThrow(Failure);
    try {
      decodeOuter(body);
    } catch (error) {
      expect(error).toMatchObject({ kind: 'malformed' });
    }
  });

  test('any bytes give a message or a coded failure, never anything else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (body) => {
        try {
          decodeOuter(body);
        } catch (error) {
          expect(error).toBeInstanceOf(Failure);
        }
      }),
    );
  });
});
