/**
 * A model that looks for what others left behind. onnxruntime hands out memory that nobody wrote where a product runs over
 * nothing (K = 0), so such a model sees pieces of the inputs before its own: in one process, not across calls.
 */
import * as ort from 'onnxruntime-node';
import { onnx } from 'onnx-proto';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Computer } from '../../../enclave/jail/gate-side.ts';
import { jailEntries, type Entries } from './entries.ts';
import * as models from './models.ts';
import { openComputer } from './open-computer.ts';

const { SIDE, node, ints, int, floats, longs, value } = models;
const UINT8 = 2;

const byte = (name: string, of: number): onnx.ITensorProto =>
  onnx.TensorProto.create({ name, dims: [], dataType: UINT8, rawData: Uint8Array.of(of) });

/** Says `bright` where the memory it finds is bright on average, else `dark`; leaves its own picture there. */
const LEFTOVERS = models.bytesOf(
  models.modelOf({
    nodes: [
      node('Slice', ['x', 'none', 'none', 'across'], ['empty']),
      node('Transpose', ['empty'], ['turned'], [ints('perm', [0, 1, 3, 2])]),
      node('Cast', ['empty'], ['a'], [int('to', UINT8)]),
      node('Cast', ['turned'], ['b'], [int('to', UINT8)]),
      node('QLinearMatMul', ['a', 'one', 'zero', 'b', 'one', 'zero', 'one', 'zero'], ['found']),
      node('Cast', ['found'], ['f'], [int('to', 1)]),
      node('ReduceMean', ['f'], ['m'], [ints('axes', [1, 2, 3]), int('keepdims', 0)]),
      node('Mul', ['m', 'nothing'], ['wait']),
      node('Add', ['x', 'wait'], ['later']),
      node('Cast', ['later'], ['left'], [int('to', UINT8)]),
      node('Cast', ['left'], ['l'], [int('to', 1)]),
      node('ReduceMean', ['l'], ['n'], [ints('axes', [1, 2, 3]), int('keepdims', 0)]),
      node('Mul', ['n', 'nothing'], ['o']),
      node('Add', ['m', 'o'], ['brightness']),
      node('Sub', ['brightness', 'middle'], ['plus']),
      node('Neg', ['plus'], ['minus']),
      node('Concat', ['plus', 'minus'], ['flat'], [int('axis', 0)]),
      node('Reshape', ['flat', 'row'], ['y']),
    ],
    initializers: [
      longs('none', [0]),
      longs('across', [3]),
      longs('row', [1, 2]),
      floats('one', [], [1]),
      byte('zero', 0),
      floats('nothing', [], [0]),
      floats('middle', [], [192]),
    ],
    inputs: [value('x', [1, 1, SIDE, SIDE])],
    outputs: [value('y', [1, 2])],
  }),
);

const MODEL = models.meansModel(LEFTOVERS, {
  labels: ['bright', 'dark'],
  input: { tensor: 'x', dtype: 'float32', layout: 'NCHW', width: SIDE, height: SIDE, colour: 'gray', resize: { mode: 'stretch' } }, // prettier-ignore
});

const plain = (level: number): Promise<Buffer> =>
  sharp({ create: { width: SIDE, height: SIDE, channels: 3, background: { r: level, g: level, b: level } } })
    .png()
    .toBuffer();

let entries: Entries;
let computer: Computer;

beforeAll(async () => {
  entries = await jailEntries();
  const kind = 'image-classification';
  const policy = models.policyFor(kind, { topK: 1 });
  computer = await openComputer(entries.paths, {
    kind,
    model: MODEL,
    policy,
  });
});
afterAll(async () => {
  await computer.close();
  entries.remove();
});

test('in one process the model sees the picture before its own: what the jails are for', async () => {
  const session = await ort.InferenceSession.create(LEFTOVERS, { intraOpNumThreads: 1, interOpNumThreads: 1 });
  const say = async (level: number): Promise<number> => {
    const picture = new ort.Tensor('float32', new Float32Array(SIDE * SIDE).fill(level), [1, 1, SIDE, SIDE]);
    const { y } = await session.run({ x: picture });
    return Number(y?.data[0]);
  };
  await say(0);
  await say(255);
  expect(await say(0)).toBeGreaterThan(0);
  expect(await say(0)).toBeLessThan(0);
});

test('a call sees nothing of the calls before it', async () => {
  const [dark, bright] = await Promise.all([plain(0), plain(255)]);
  const say = async (picture: Buffer): Promise<string> =>
    JSON.stringify(
      await computer.run([picture], { party: 'alice', signal: AbortSignal.timeout(60_000), left: Promise.resolve() }),
    );
  const alone = await say(dark);
  for (let round = 0; round < 3; round += 1) {
    await say(bright);
    expect(await say(dark)).toBe(alone);
  }
});

test('each call is served by processes of its own', async () => {
  const dark = await plain(0);
  const before = new Set(computer.pids());
  await computer.run([dark], { party: 'alice', signal: AbortSignal.timeout(60_000), left: Promise.resolve() });
  await computer.run([dark], { party: 'alice', signal: AbortSignal.timeout(60_000), left: Promise.resolve() });
  await computer.run([dark], { party: 'alice', signal: AbortSignal.timeout(60_000), left: Promise.resolve() });
  await expect.poll(() => computer.pids().filter((pid) => before.has(pid))).toEqual([]);
});
