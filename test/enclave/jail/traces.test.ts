/** What jails said of an input does not stay in the gate: neither whole, nor cut off, nor where it is refused. */
import { expect, test } from 'vitest';
import { PICTURE_HEADER_BYTES, FRAME, assembleFrame, frameHeader } from '../../../enclave/jail/frames.ts';
import type { Frame } from '../../../enclave/jail/frames.ts';
import type { JailPaths } from '../../../enclave/jail/gate-side.ts';
import { pictureStages } from '../../../enclave/jail/picture-stages.ts';
import type { Jail } from '../../../enclave/jail/process.ts';
import { realTimers } from '../real-timers.ts';
import { MEANS_MANIFEST, SIDE, policyFor } from './models.ts';
import { barePrison } from './bare-prison.ts';

const PATHS: JailPaths = { node: '', decode: '', compute: '', record: '', tree: '', prison: barePrison() };
const PIXELS = SIDE * SIDE * 3;

/** A jail that answers one question so. */
const saying = (reply: () => Frame): Jail => ({
  pid: 1,
  alive: () => true,
  ask: async () => reply(),
  rest: () => {},
  kill: async () => {},
});

function decoded(width: number, bytes = PICTURE_HEADER_BYTES + PIXELS): Frame {
  const body = new Uint8Array(bytes).fill(7);
  const view = new DataView(body.buffer);
  view.setUint32(0, width);
  view.setUint32(4, 32);
  view.setUint8(8, 0);
  return { type: FRAME.pixels, body };
}

const pixelsOf = ({ body }: Frame): number => body.subarray(PICTURE_HEADER_BYTES).reduce((sum, byte) => sum + byte, 0);

test.each<readonly [what: string, decoded: Frame, computed: () => Frame]>([
  ['a call that is answered', decoded(32), () => ({ type: FRAME.candidates, body: new Uint8Array(0) })],
  [
    'a model that crashes',
    decoded(32),
    () => {
      throw new Error('gone');
    },
  ],
  [
    'a decoder that lies about a size',
    decoded(0),
    () => {
      throw new Error('not reached');
    },
  ],
  [
    'a decoder that says too much',
    decoded(32, PICTURE_HEADER_BYTES + PIXELS - 1),
    () => {
      throw new Error('not reached');
    },
  ],
])('pixels are gone after %s', async (_, frame, computed) => {
  const policy = policyFor('image-classification');
  const stages = pictureStages({
    paths: PATHS,
    timers: realTimers,
    file: new Uint8Array(1),
    manifest: MEANS_MANIFEST,
    policy,
  });
  expect(pixelsOf(frame)).toBeGreaterThan(0);
  await stages
    .run(
      [Uint8Array.of(1)],
      (work) => work(saying(() => frame)),
      (work) => work(saying(computed)),
    )
    .catch(() => {});
  expect(pixelsOf(frame)).toBe(0);
});

test('what came of a frame that was cut off is gone', () => {
  const limits = { [FRAME.pixels]: 1_000 };
  const assembler = assembleFrame(limits);
  assembler.push(frameHeader(FRAME.pixels, 1_000));
  assembler.push(new Uint8Array(600).fill(7));
  assembler.wipe();
  expect(assembler.push(new Uint8Array(400))?.body.every((byte) => byte === 0)).toBe(true);
});
