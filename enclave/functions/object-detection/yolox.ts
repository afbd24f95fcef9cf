/** YOLOX-like detectors: one row a cell, cells of every stride one after the other, row by row. */
import { activate, sigmoid } from '../activation.ts';
import { demandScore, demandShape, type OutputTensor } from '../candidate.ts';
import { cellCount, type PictureManifest, type YoloxOutput } from '../model-manifest.ts';
import { argmax, centred } from './boxes.ts';
import type { BoxCandidate } from './suppress.ts';

/** Every cell that reaches the threshold. Throws `Failure<ModelCode>` where the tensor does not fit the manifest. */
export function readYolox(tensor: OutputTensor, manifest: PictureManifest, output: YoloxOutput): BoxCandidate[] {
  const { input, labels } = manifest;
  const width = 5 + labels.length;
  demandShape(tensor, [1, cellCount(input, output.strides), width], output.tensor);
  const { data } = tensor;
  const classes = new Float64Array(labels.length);
  const found: BoxCandidate[] = [];
  let row = 0;
  for (const stride of output.strides) {
    const columns = Math.floor(input.width / stride);
    const rows = Math.floor(input.height / stride);
    for (let cell = 0; cell < columns * rows; cell++, row += width) {
      const at = (index: number): number => data[row + index] ?? Number.NaN;
      const objectness = output.activations.objectness === 'sigmoid' ? sigmoid(at(4)) : at(4);
      // A class scores at most 1, so this cell cannot reach the threshold.
      if (demandScore(objectness, output.tensor) < output.scoreThreshold) continue;
      activate(output.activations.classes, data, row + 5, 1, classes);
      const label = argmax(classes);
      const score = objectness * demandScore(classes[label] ?? Number.NaN, output.tensor);
      if (score < output.scoreThreshold) continue;
      const grid = output.boxes === 'grid-exp';
      const cx = grid ? (at(0) + (cell % columns)) * stride : at(0);
      const cy = grid ? (at(1) + Math.floor(cell / columns)) * stride : at(1);
      const w = grid ? Math.exp(at(2)) * stride : at(2);
      const h = grid ? Math.exp(at(3)) * stride : at(3);
      found.push({
        label,
        score: Math.min(1, score),
        box: centred(cx / input.width, cy / input.height, w / input.width, h / input.height),
      });
    }
  }
  return found;
}
