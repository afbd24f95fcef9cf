/**
 * Pictures and the model that makes of each what the test wants: an answer, an answer that is none, a crash of the library
 * that computes. Which it is, the pixels say, and nothing that the gate could see.
 */
import { randomBytes } from 'node:crypto';
import sharp from 'sharp';
import {
  MEANS_MANIFEST,
  SIDE,
  bytesOf,
  int,
  ints,
  floats,
  longs,
  meansGraph,
  modelOf,
  node,
  slowModel,
} from '../enclave/jail/models.ts';
import type { Model } from './place.ts';
import { BUCKET } from './agreement.ts';

const INT32 = 6;
const FLOAT = 1;
const SLOW_LAYERS = 3;

/**
 * The means of red, green and blue as labels; but a picture without blue has the least of whole numbers divided by -1,
 * which the processor does not survive (SIGFPE), and one without green makes logarithms of zero, which are no numbers to answer with.
 */
export function fragileModel(): Model {
  const graph = meansGraph({
    nodes: [
      node('ReduceMean', ['x'], ['means'], [ints('axes', [2, 3]), int('keepdims', 0)]),
      node('Gather', ['means', 'two'], ['blue'], [int('axis', 1)]),
      node('Ceil', ['blue'], ['up']),
      node('Mul', ['up', 'twice'], ['even']),
      node('Sub', ['even', 'one'], ['odd']),
      node('Cast', ['odd'], ['whole'], [int('to', INT32)]),
      node('Cast', ['lowest'], ['least'], [int('to', INT32)]),
      node('Div', ['least', 'whole'], ['quotient']),
      node('Cast', ['quotient'], ['number'], [int('to', FLOAT)]),
      node('Gather', ['means', 'first'], ['green'], [int('axis', 1)]),
      node('Log', ['green'], ['log']),
      node('Mul', ['log', 'nought'], ['nothing']),
      node('Mul', ['number', 'nought'], ['also']),
      node('Add', ['means', 'nothing'], ['sum']),
      node('Add', ['sum', 'also'], ['y']),
    ],
    initializers: [
      longs('two', [2]),
      longs('first', [1]),
      floats('twice', [1, 1], [2]),
      floats('one', [1, 1], [1]),
      floats('lowest', [1, 1], [-(2 ** 31)]),
      floats('nought', [1, 1], [0]),
    ],
  });
  return { manifest: JSON.stringify(MEANS_MANIFEST), onnx: bytesOf(modelOf(graph)) };
}

/** The same labels, another model. */
export function plainModel(): Model {
  return { manifest: JSON.stringify(MEANS_MANIFEST), onnx: bytesOf(modelOf(meansGraph())) };
}

/** A tenth of a second a picture, and more, on processors that are quick at it. */
export function tooSlowModel(): Model {
  return { manifest: JSON.stringify(MEANS_MANIFEST), onnx: slowModel(SLOW_LAYERS).file };
}

type Colour = readonly [red: number, green: number, blue: number];

async function plain([r, g, b]: Colour): Promise<Uint8Array> {
  const image = sharp({ create: { width: SIDE, height: SIDE, channels: 3, background: { r, g, b } } });
  return new Uint8Array(await image.png().toBuffer());
}

/** Mostly of this colour, and with noise in it that no compression takes out: almost the whole bucket. */
async function large([r, g, b]: Colour): Promise<Uint8Array> {
  const side = 68;
  const data = randomBytes(side * side * 3).map((byte, index) => ([r, g, b][index % 3] ?? 0) * 0.5 + byte * 0.5);
  const image = sharp(data, { raw: { width: side, height: side, channels: 3 } });
  const bytes = new Uint8Array(await image.png().toBuffer());
  if (bytes.length > BUCKET || bytes.length < BUCKET * 0.75)
    throw new Error(`the large picture has ${bytes.length} bytes`);
  return bytes;
}

export interface Pictures {
  readonly red: Uint8Array;
  readonly green: Uint8Array;
  readonly large: Uint8Array;
  /** No answer comes of it. */
  readonly senseless: Uint8Array;
  /** Kills the process that computes. */
  readonly deadly: Uint8Array;
}

export async function makePictures(): Promise<Pictures> {
  return {
    red: await plain([220, 20, 20]),
    green: await plain([20, 220, 20]),
    large: await large([220, 20, 20]),
    senseless: await plain([220, 0, 20]),
    deadly: await plain([220, 20, 0]),
  };
}
