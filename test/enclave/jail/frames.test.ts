/** The framing between gate and jail: any cutting into pieces gives the same frame, and nothing unexpected passes. */
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, closeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeCandidates, encodeCandidates } from '../../../enclave/jail/candidates.ts';
import { assembleFrame, FRAME, frameHeader, FrameFault, type Frame } from '../../../enclave/jail/frames.ts';
import { readFrame, writeFrame } from '../../../enclave/jail/pipe.ts';

const bytes = fc.uint8Array({ maxLength: 300 });
const type = fc.constantFrom(...Object.values(FRAME));
const whole = (type: Frame['type'], body: Uint8Array): Uint8Array => {
  const known = Object.values(FRAME).find((value) => value === type) ?? FRAME.ready;
  return Buffer.concat([frameHeader(known, body.length), body]);
};

describe('a frame put together from pieces', () => {
  test('is the same however it is cut', () => {
    fc.assert(
      fc.property(type, bytes, fc.array(fc.nat(310), { maxLength: 12 }), (type, body, cuts) => {
        const stream = whole(type, body);
        const places = [0, ...cuts.filter((cut) => cut < stream.length).sort((a, b) => a - b), stream.length];
        const assembler = assembleFrame({ [type]: 300 });
        const frames = places.slice(1).map((end, index) => assembler.push(stream.subarray(places[index], end)));
        expect(frames.filter((frame) => frame !== undefined)).toEqual([{ type, body }]);
        // Empty pieces at the end come after the frame was whole; the last that carried bytes gave it.
        expect(frames.at(-1) ?? frames.findLast((frame) => frame !== undefined)).toEqual({ type, body });
      }),
    );
  });
  test('byte by byte', () => {
    const assembler = assembleFrame({ [FRAME.input]: 4 });
    const frames = [...whole(FRAME.input, Uint8Array.of(1, 2, 3, 4))].map((byte) =>
      assembler.push(Uint8Array.of(byte)),
    );
    expect(frames.filter((frame) => frame !== undefined)).toHaveLength(1);
    expect(frames.at(-1)).toEqual({ type: FRAME.input, body: Uint8Array.of(1, 2, 3, 4) });
  });
  test('that is longer than expected is refused before its body comes', () => {
    const assembler = assembleFrame({ [FRAME.input]: 4 });
    expect(() => assembler.push(frameHeader(FRAME.input, 0xffff_ffff))).toThrow(/claims 4294967295 bytes; at most 4/);
  });
  test('of another type is refused', () => {
    expect(() => assembleFrame({ [FRAME.input]: 4 }).push(frameHeader(FRAME.pixels, 0))).toThrow(FrameFault);
    expect(() => assembleFrame({}).push(frameHeader(FRAME.ready, 0))).toThrow(/not expected/);
  });
  test('with bytes behind it is refused', () => {
    const assembler = assembleFrame({ [FRAME.input]: 4 });
    expect(() => assembler.push(Buffer.concat([whole(FRAME.input, Uint8Array.of(1)), Uint8Array.of(2)]))).toThrow(
      /follow/,
    );
  });
  test('any bytes give a frame, nothing yet, or a fault', () => {
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 5 }), (pieces) => {
        const assembler = assembleFrame({ [FRAME.input]: 64, [FRAME.ready]: 0 });
        try {
          for (const piece of pieces) if (assembler.push(piece) !== undefined) return;
        } catch (error) {
          expect(error).toBeInstanceOf(FrameFault);
        }
      }),
    );
  });
});

describe("the jail's end of the pipe", () => {
  const inFile = <T>(content: Uint8Array, use: (descriptor: number, path: string) => T): T => {
    const folder = mkdtempSync(join(tmpdir(), 'accord-pipe-'));
    const path = join(folder, 'pipe');
    writeFileSync(path, content);
    const descriptor = openSync(path, 'r+');
    try {
      return use(descriptor, path);
    } finally {
      closeSync(descriptor);
      rmSync(folder, { recursive: true });
    }
  };
  test('reads what it writes', () => {
    fc.assert(
      fc.property(type, fc.array(bytes, { maxLength: 3 }), (type, parts) => {
        const written = inFile(new Uint8Array(), (descriptor, path) => {
          writeFrame(type, parts, descriptor);
          return readFileSync(path);
        });
        // From a file, reads at no position go on from the last; here each read starts where the last ended.
        const frame = inFile(written, (descriptor) => readFrame({ [type]: 900 }, descriptor));
        expect(frame).toEqual({ type, body: new Uint8Array(Buffer.concat(parts)) });
      }),
      { numRuns: 50 },
    );
  });
  test('takes a pipe that ends for the end of the gate', () => {
    const content = whole(FRAME.input, Uint8Array.of(1, 2, 3));
    for (let length = 0; length < content.length; length++) {
      expect(
        inFile(content.subarray(0, length), (descriptor) => readFrame({ [FRAME.input]: 3 }, descriptor)),
      ).toBeUndefined();
    }
  });
});

describe('candidates', () => {
  const number = fc.double({ noNaN: true, noDefaultInfinity: true });
  const candidate = fc.record({ label: fc.nat(0xffff), score: fc.double({ min: 0, max: 1, noNaN: true }) });
  const boxed = fc.tuple(candidate, fc.tuple(number, number, number, number)).map(([rest, box]) => ({ ...rest, box }));

  test('come back as they were', () => {
    const round = (boxes: boolean) => (list: Parameters<typeof encodeCandidates>[0]) => {
      expect(decodeCandidates(encodeCandidates(list, boxes), boxes)).toEqual(list);
    };
    fc.assert(fc.property(fc.array(candidate), round(false)));
    fc.assert(fc.property(fc.array(boxed), round(true)));
  });
  test.each([Number.NaN, Number.POSITIVE_INFINITY, -0.1, 1.1])('with a score of %s are none', (score) => {
    expect(decodeCandidates(encodeCandidates([{ label: 0, score }], false), false)).toBeUndefined();
  });
  test.each([Number.NaN, Number.NEGATIVE_INFINITY])('with %s in a box are none', (wrong) => {
    const bytes = encodeCandidates([{ label: 0, score: 1, box: [0, 0, wrong, 1] }], true);
    expect(decodeCandidates(bytes, true)).toBeUndefined();
  });
  test('of a broken length are none', () => {
    expect(decodeCandidates(new Uint8Array(9), false)).toBeUndefined();
    expect(decodeCandidates(new Uint8Array(43), true)).toBeUndefined();
  });
});
