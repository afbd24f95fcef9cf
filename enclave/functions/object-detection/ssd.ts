/** SSD-like detectors: a tensor of scores and one of boxes, which may be offsets to priors. */
import { activate } from '../activation.ts';
import { demandScore, demandShape, type Box, type OutputTensor } from '../candidate.ts';
import {
  MAX_BOXES,
  classCount,
  priorCount,
  type PictureManifest,
  type PriorLevel,
  type SsdOutput,
} from '../model-manifest.ts';
import { modelFailure } from '../model-refusal.ts';
import { argmax, centred } from './boxes.ts';
import type { BoxCandidate } from './suppress.ts';

/** Every row that reaches the threshold. Throws `Failure<ModelCode>` where the tensors do not fit the manifest. */
export function readSsd(
  scores: OutputTensor,
  boxes: OutputTensor,
  manifest: PictureManifest,
  output: SsdOutput,
): BoxCandidate[] {
  const count = classCount(manifest);
  const rows = output.priors === undefined ? Math.floor(boxes.data.length / 4) : priorCount(output.priors.levels);
  demandShape(boxes, [1, rows, 4], output.boxes);
  demandShape(scores, [1, rows, count], output.scores);
  if (rows > MAX_BOXES) {
    throw modelFailure('model/too-complex', `${rows} boxes; at most ${MAX_BOXES} are taken`, output.boxes);
  }
  const priors = output.priors === undefined ? undefined : layPriors(output.priors.levels, rows);
  const classes = new Float64Array(count);
  const found: BoxCandidate[] = [];
  const background = output.background ?? -1;
  for (let row = 0; row < rows; row++) {
    activate(output.activation, scores.data, row * count, 1, classes);
    const index = argmax(classes, background);
    const score = demandScore(classes[index] ?? Number.NaN, output.scores);
    if (score < output.scoreThreshold) continue;
    const label = background !== -1 && index > background ? index - 1 : index;
    found.push({ label, score, box: boxAt(boxes.data, row, manifest, output, priors) });
  }
  return found;
}

function boxAt(
  data: Float32Array,
  row: number,
  { input }: PictureManifest,
  output: SsdOutput,
  priors: Float64Array | undefined,
): Box {
  const at = (index: number): number => data[row * 4 + index] ?? Number.NaN;
  const sx = output.coordinates === 'pixels' ? input.width : 1;
  const sy = output.coordinates === 'pixels' ? input.height : 1;
  switch (output.order) {
    case 'xyxy':
      return [at(0) / sx, at(1) / sy, at(2) / sx, at(3) / sy];
    case 'yxyx':
      return [at(1) / sx, at(0) / sy, at(3) / sx, at(2) / sy];
    case 'cxcywh':
      return fromPrior([at(0) / sx, at(1) / sy, at(2) / sx, at(3) / sy], row, output, priors);
    case 'cycxhw':
      return fromPrior([at(1) / sx, at(0) / sy, at(3) / sx, at(2) / sy], row, output, priors);
  }
}

function fromPrior([x, y, w, h]: Box, row: number, output: SsdOutput, priors: Float64Array | undefined): Box {
  if (priors === undefined || output.priors === undefined) return centred(x, y, w, h);
  const [centre = 0, size = 0] = output.priors.variances;
  const prior = (index: number): number => priors[row * 4 + index] ?? Number.NaN;
  return centred(
    prior(0) + x * centre * prior(2),
    prior(1) + y * centre * prior(3),
    prior(2) * Math.exp(w * size),
    prior(3) * Math.exp(h * size),
  );
}

/** cx, cy, w, h of every prior: levels, rows, columns, sizes. */
function layPriors(levels: readonly PriorLevel[], count: number): Float64Array {
  const priors = new Float64Array(count * 4);
  let at = 0;
  for (const { rows, columns, sizes } of levels) {
    for (let cell = 0; cell < rows * columns; cell++) {
      for (const [w = 0, h = 0] of sizes) {
        priors.set([((cell % columns) + 0.5) / columns, (Math.floor(cell / columns) + 0.5) / rows, w, h], at);
        at += 4;
      }
    }
  }
  return priors;
}
