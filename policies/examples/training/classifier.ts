import { render } from './canvas.ts';
import { convolution, dense, flatten, maxPool, relu } from './layers.ts';
import { lesion, LESION_FRAME, LESION_LABELS } from './lesions.ts';
import { crossEntropy, stack, train, type Network } from './network.ts';
import { seeded, type Random } from './random.ts';

export const SIDE = 64;
const CELLS = SIDE * SIDE;

export interface Recipe {
  /** Of the network's first weights and of the pictures it learns from. */
  readonly seed: number;
  readonly pictures: number;
  readonly epochs: number;
}

interface Picture {
  readonly label: number;
  /** SIDE x SIDE pixels of three bytes. */
  readonly pixels: Uint8Array;
}

/** Pictures of all classes in turn, as the network sees them. */
function drawPictures(count: number, seed: number): readonly Picture[] {
  const random = seeded(seed);
  return Array.from({ length: count }, (_, index) => {
    const label = index % LESION_LABELS.length;
    const shader = lesion(LESION_LABELS[label] ?? 'melanoma', random);
    return { label, pixels: render(shader, LESION_FRAME, SIDE, SIDE, 2) };
  });
}

export function trainClassifier({ seed, pictures, epochs }: Recipe, progress: (text: string) => void): Network {
  progress(`drawing ${pictures} pictures`);
  const examples = drawPictures(pictures, seed);
  const random = seeded(seed + 1);
  const network = stack({ channels: 3, rows: SIDE, columns: SIDE }, [
    (shape) => convolution(shape, 8, 5, 2, random),
    relu,
    maxPool,
    (shape) => convolution(shape, 16, 3, 1, random),
    relu,
    maxPool,
    (shape) => convolution(shape, 32, 3, 1, random),
    relu,
    maxPool,
    flatten,
    (shape) => dense(shape, LESION_LABELS.length, random),
  ]);
  const targets = LESION_LABELS.map((_, label) => oneOf(LESION_LABELS.length, label));
  const tensor = new Float64Array(3 * CELLS);
  const input = (index: number, draw: Random): { tensor: Float64Array; target: Float64Array } => {
    const picture = examples[index];
    if (picture === undefined) throw new RangeError(`there is no example ${index}`);
    fill(tensor, picture.pixels, draw);
    return { tensor, target: targets[picture.label] ?? tensor };
  };
  const onEpoch = (epoch: number, loss: number): void =>
    progress(`epoch ${epoch} of ${epochs}: loss ${loss.toFixed(4)}`);
  train(
    network,
    { count: examples.length, input },
    { epochs, batch: 16, rate: 2e-3, loss: crossEntropy, onEpoch },
    random,
  );
  return network;
}

const oneOf = (size: number, index: number): Float64Array =>
  Float64Array.from({ length: size }, (_, i) => Number(i === index));

/** Mirrored, shifted and lit anew at every turn, so that few pictures teach much. */
function fill(tensor: Float64Array, pixels: Uint8Array, draw: Random): void {
  const [mirrorX, mirrorY] = [draw.unit() < 0.5, draw.unit() < 0.5];
  const [shiftX, shiftY] = [draw.whole(-3, 3), draw.whole(-3, 3)];
  const gain = draw.between(0.9, 1.1);
  for (let y = 0; y < SIDE; y++) {
    const fromY = clamp((mirrorY ? SIDE - 1 - y : y) + shiftY);
    for (let x = 0; x < SIDE; x++) {
      const from = 3 * (fromY * SIDE + clamp((mirrorX ? SIDE - 1 - x : x) + shiftX));
      const to = y * SIDE + x;
      for (let c = 0; c < 3; c++) tensor[c * CELLS + to] = normalise(gain * (pixels[from + c] ?? 0));
    }
  }
}

const clamp = (at: number): number => Math.max(0, Math.min(SIDE - 1, at));

/** The manifest says the same: (pixel * scale - mean) / std. */
export const INPUT_SCALE: number = 1 / 255;
export const INPUT_MEAN = 0.5;
export const INPUT_STD = 0.25;
export const normalise = (pixel: number): number => (pixel * INPUT_SCALE - INPUT_MEAN) / INPUT_STD;
