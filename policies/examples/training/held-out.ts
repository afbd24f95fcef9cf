/** How well an ONNX file does on pictures that no training saw: drawn anew, photographed, decoded, as real inputs are. */
import * as ort from 'onnxruntime-node';
import { SIDE } from './classifier.ts';
import { DETECTOR_READING, DETECTOR_SIDE, GRID } from './detector.ts';
import { lesion, LESION_FRAME, LESION_LABELS } from './lesions.ts';
import { CLASSIFIER_TENSORS, DETECTOR_TENSORS } from './manifests.ts';
import type { TensorNames } from './onnx.ts';
import { photograph, tensorOfJpeg } from './photograph.ts';
import { seeded } from './random.ts';
import { scene, SCENE_FRAME, SCENE_LABELS, type Thing } from './scenes.ts';

/** From a picture's bytes to what the network gives for it. */
export type Model = (jpeg: Uint8Array) => Promise<Float32Array>;

export async function openModel(onnx: Uint8Array, side: number, names: TensorNames): Promise<Model> {
  const session = await ort.InferenceSession.create(onnx, { logSeverityLevel: 3, intraOpNumThreads: 1 });
  return async (jpeg) => {
    const input = new ort.Tensor('float32', await tensorOfJpeg(jpeg, side), [1, 3, side, side]);
    const output = (await session.run({ [names.input]: input }))[names.output]?.data;
    if (!(output instanceof Float32Array)) throw new TypeError(`the model gives no ${names.output}`);
    return output;
  };
}

/** The part of `count` new pictures that are named rightly. */
export async function classifierAccuracy(onnx: Uint8Array, count: number, seed: number): Promise<number> {
  const model = await openModel(onnx, SIDE, CLASSIFIER_TENSORS);
  const random = seeded(seed);
  let right = 0;
  for (let i = 0; i < count; i++) {
    const label = LESION_LABELS[i % LESION_LABELS.length] ?? 'melanoma';
    const output = await model(await photograph(lesion(label, random), LESION_FRAME));
    if (nameOf(output) === label) right++;
  }
  return right / count;
}

export function nameOf(output: Float32Array): string | undefined {
  return LESION_LABELS[output.indexOf(Math.max(...output))];
}

/**
 * Of all things in `count` new pictures and all that were reported, the part that agree: same label, and boxes that
 * overlap by half. A missed thing counts against it, and so does one that is not there.
 */
export async function detectorAgreement(onnx: Uint8Array, count: number, seed: number): Promise<number> {
  const model = await openModel(onnx, DETECTOR_SIDE, DETECTOR_TENSORS);
  const random = seeded(seed);
  let [agreed, all] = [0, 0];
  for (let i = 0; i < count; i++) {
    const { shader, things } = scene(random);
    const found = readGrid(await model(await photograph(shader, SCENE_FRAME)));
    const matched = things.filter((thing) =>
      found.some((one) => one.label === thing.label && overlap(one, thing) >= 0.5),
    );
    agreed += matched.length;
    all += things.length + Math.max(0, found.length - matched.length);
  }
  return agreed / all;
}

/** As the manifest describes it: low scores and overlapping boxes dropped. */
export function readGrid(grid: Float32Array): readonly Thing[] {
  const cells = GRID * GRID;
  const at = (channel: number, cell: number): number => grid[channel * cells + cell] ?? 0;
  const candidates = Array.from({ length: cells }, (_, cell) => {
    const classes = SCENE_LABELS.map((_, k) => Math.exp(at(5 + k, cell)));
    const label = classes.indexOf(Math.max(...classes));
    const share = (classes[label] ?? 0) / classes.reduce((sum, value) => sum + value, 0);
    const x = ((cell % GRID) + sigmoid(at(1, cell))) / GRID;
    const y = (Math.floor(cell / GRID) + sigmoid(at(2, cell))) / GRID;
    const box = { x, y, width: sigmoid(at(3, cell)), height: sigmoid(at(4, cell)) };
    return { label, box, score: sigmoid(at(0, cell)) * share };
  })
    .filter(({ score }) => score >= DETECTOR_READING.scoreThreshold)
    .sort((a, b) => b.score - a.score);
  const kept: typeof candidates = [];
  for (const one of candidates) {
    if (!kept.some((other) => overlap(one, other) > DETECTOR_READING.iouThreshold)) kept.push(one);
  }
  return kept;
}

const sigmoid = (value: number): number => 1 / (1 + Math.exp(-value));

function overlap({ box: a }: Thing, { box: b }: Thing): number {
  const shared = (at: number, size: number, other: number, otherSize: number): number =>
    Math.max(0, Math.min(at + size / 2, other + otherSize / 2) - Math.max(at - size / 2, other - otherSize / 2));
  const both = shared(a.x, a.width, b.x, b.width) * shared(a.y, a.height, b.y, b.height);
  return both / (a.width * a.height + b.width * b.height - both);
}
