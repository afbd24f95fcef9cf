/* oxlint-disable typescript/no-non-null-assertion -- indexes come from the loops around them, and these loops are hot */
import { render } from './canvas.ts';
import { normalise } from './classifier.ts';
import { convolution, maxPool, relu } from './layers.ts';
import { stack, train, type Network } from './network.ts';
import { seeded, type Random } from './random.ts';
import { scene, SCENE_FRAME, SCENE_LABELS, type Thing } from './scenes.ts';
import type { Recipe } from './classifier.ts';

export const DETECTOR_SIDE = 80;
const PIXELS = DETECTOR_SIDE * DETECTOR_SIDE;
/** Of input pixels to a cell. */
const STRIDE = 8;
export const GRID: number = DETECTOR_SIDE / STRIDE;
const CELLS = GRID * GRID;
const CHANNELS = 5 + SCENE_LABELS.length;

/**
 * Which answers count; the manifest says the same. The score is low because two cells share a thing whose centre lies
 * between them; the overlap then drops one of the two.
 */
export const DETECTOR_READING = { scoreThreshold: 0.25, iouThreshold: 0.3 } as const;

interface Picture {
  readonly things: readonly Thing[];
  /** DETECTOR_SIDE x DETECTOR_SIDE pixels of three bytes. */
  readonly pixels: Uint8Array;
}

function drawScenes(count: number, seed: number): readonly Picture[] {
  const random = seeded(seed);
  return Array.from({ length: count }, () => {
    const { shader, things } = scene(random);
    return { things, pixels: render(shader, SCENE_FRAME, DETECTOR_SIDE, DETECTOR_SIDE, 2) };
  });
}

/**
 * One answer a cell, as FastestDet lays it out: objectness, tx, ty, tw, th, classes. The cell in which a thing's centre
 * lies answers for it.
 */
export function trainDetector({ seed, pictures, epochs }: Recipe, progress: (text: string) => void): Network {
  progress(`drawing ${pictures} pictures`);
  const examples = drawScenes(pictures, seed);
  const random = seeded(seed + 1);
  const network = stack({ channels: 3, rows: DETECTOR_SIDE, columns: DETECTOR_SIDE }, [
    (shape) => convolution(shape, 8, 5, 2, random),
    relu,
    maxPool,
    (shape) => convolution(shape, 16, 3, 1, random),
    relu,
    maxPool,
    (shape) => convolution(shape, 32, 3, 1, random),
    relu,
    (shape) => convolution(shape, 32, 3, 1, random),
    relu,
    (shape) => convolution(shape, CHANNELS, 1, 1, random),
  ]);
  const tensor = new Float64Array(3 * PIXELS);
  const target = new Float64Array(CHANNELS * CELLS);
  const input = (index: number, draw: Random): { tensor: Float64Array; target: Float64Array } => {
    const picture = examples[index];
    if (picture === undefined) throw new RangeError(`there is no example ${index}`);
    fill(tensor, target, picture, draw);
    return { tensor, target };
  };
  const onEpoch = (epoch: number, loss: number): void =>
    progress(`epoch ${epoch} of ${epochs}: loss ${loss.toFixed(4)}`);
  train(network, { count: examples.length, input }, { epochs, batch: 16, rate: 4e-3, loss: gridLoss, onEpoch }, random);
  return network;
}

function fill(tensor: Float64Array, target: Float64Array, { pixels, things }: Picture, draw: Random): void {
  const mirror = draw.unit() < 0.5;
  const gain = draw.between(0.9, 1.1);
  for (let y = 0; y < DETECTOR_SIDE; y++) {
    for (let x = 0; x < DETECTOR_SIDE; x++) {
      const from = 3 * (y * DETECTOR_SIDE + (mirror ? DETECTOR_SIDE - 1 - x : x));
      for (let c = 0; c < 3; c++)
        tensor[c * PIXELS + y * DETECTOR_SIDE + x] = normalise(gain * (pixels[from + c] ?? 0));
    }
  }
  target.fill(0);
  for (const { label, box } of things) {
    const column = (mirror ? 1 - box.x : box.x) * GRID;
    const row = box.y * GRID;
    const cell = Math.floor(row) * GRID + Math.floor(column);
    const values = [1, column % 1, row % 1, box.width, box.height];
    for (const [channel, value] of values.entries()) target[channel * CELLS + cell] = value;
    target[(5 + label) * CELLS + cell] = 1;
  }
}

/**
 * Cross-entropy of everything: of objectness everywhere, of box and class where something is. Sizes weigh most: they are
 * fractions of the whole picture, so small differences of theirs are large parts of a box.
 */
function gridLoss(output: Float64Array, target: Float64Array, gradient: Float64Array): number {
  let loss = 0;
  gradient.fill(0);
  const binary = (at: number, weight: number): void => {
    const wanted = target[at]!;
    const given = 1 / (1 + Math.exp(-output[at]!));
    gradient[at] = weight * (given - wanted);
    loss -= weight * (wanted * Math.log(given + 1e-9) + (1 - wanted) * Math.log(1 - given + 1e-9));
  };
  for (let cell = 0; cell < CELLS; cell++) {
    const something = (target[cell] ?? 0) === 1;
    binary(cell, something ? 3 : 1);
    if (!something) continue;
    binary(CELLS + cell, 8);
    binary(2 * CELLS + cell, 8);
    binary(3 * CELLS + cell, 80);
    binary(4 * CELLS + cell, 80);
    loss += classLoss(output, target, gradient, cell);
  }
  return loss;
}

function classLoss(output: Float64Array, target: Float64Array, gradient: Float64Array, cell: number): number {
  let sum = 0;
  for (let k = 0; k < SCENE_LABELS.length; k++) sum += Math.exp(output[(5 + k) * CELLS + cell]!);
  let loss = 0;
  for (let k = 0; k < SCENE_LABELS.length; k++) {
    const at = (5 + k) * CELLS + cell;
    const probability = Math.exp(output[at]!) / sum;
    gradient[at] = 3 * (probability - target[at]!);
    if ((target[at] ?? 0) === 1) loss = -3 * Math.log(probability + 1e-9);
  }
  return loss;
}
