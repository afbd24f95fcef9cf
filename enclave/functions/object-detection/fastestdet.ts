/** FastestDet-like detectors: one grid; each cell gives objectness, an offset, a size and its classes, plane by plane. */
import { activate, sigmoid } from '../activation.ts';
import { demandScore, demandShape, type OutputTensor } from '../candidate.ts';
import { MAX_BOXES, type FastestDetOutput, type PictureManifest } from '../model-manifest.ts';
import { modelFailure } from '../model-refusal.ts';
import { argmax, centred } from './boxes.ts';
import type { BoxCandidate } from './suppress.ts';

const CENTRE = { tanh: Math.tanh, sigmoid, none: (value: number): number => value } as const;
const SIZE = { sigmoid, none: (value: number): number => value } as const;

/** Every cell that reaches the threshold. Throws `Failure<ModelCode>` where the tensor does not fit the manifest. */
export function readFastestDet(
  tensor: OutputTensor,
  manifest: PictureManifest,
  output: FastestDetOutput,
): BoxCandidate[] {
  const { labels } = manifest;
  demandShape(tensor, [1, 5 + labels.length, -1, -1], output.tensor);
  const [rows = 0, columns = 0] = tensor.dims.slice(-2);
  const plane = rows * columns;
  if (plane > MAX_BOXES) {
    throw modelFailure('model/too-complex', `${plane} cells; at most ${MAX_BOXES} are taken`, output.tensor);
  }
  const classes = new Float64Array(labels.length);
  const found: BoxCandidate[] = [];
  for (let cell = 0; cell < plane; cell++) {
    const at = (index: number): number => tensor.data[index * plane + cell] ?? Number.NaN;
    const raw = output.activations.objectness === 'sigmoid' ? sigmoid(at(0)) : at(0);
    const objectness = demandScore(raw, output.tensor) ** output.powers.objectness;
    // A class scores at most 1, so this cell cannot reach the threshold.
    if (objectness < output.scoreThreshold) continue;
    activate(output.activations.classes, tensor.data, 5 * plane + cell, plane, classes);
    const label = argmax(classes);
    const score = objectness * demandScore(classes[label] ?? Number.NaN, output.tensor) ** output.powers.classes;
    if (score < output.scoreThreshold) continue;
    const cx = ((cell % columns) + CENTRE[output.centre](at(1))) / columns;
    const cy = (Math.floor(cell / columns) + CENTRE[output.centre](at(2))) / rows;
    found.push({
      label,
      score: Math.min(1, score),
      box: centred(cx, cy, SIZE[output.size](at(3)), SIZE[output.size](at(4))),
    });
  }
  return found;
}
