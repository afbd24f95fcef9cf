/** From the model's numbers to what was found. Runs in the computing jail. */
import { demandFinite, type OutputTensor } from '../candidate.ts';
import type { DetectorOutput, PictureManifest } from '../model-manifest.ts';
import { modelFailure } from '../model-refusal.ts';
import { readFastestDet } from './fastestdet.ts';
import { readSsd } from './ssd.ts';
import { suppress, type BoxCandidate } from './suppress.ts';
import { readYolox } from './yolox.ts';

/** Throws `Failure<ModelCode>` where the tensors do not fit the manifest. */
export function detect(
  tensorOf: (name: string) => OutputTensor,
  manifest: PictureManifest,
  output: DetectorOutput,
  topK: number,
): readonly BoxCandidate[] {
  const finite = (name: string): OutputTensor => {
    const tensor = tensorOf(name);
    demandFinite(tensor, name);
    return tensor;
  };
  const found = read(finite, manifest, output);
  // A size is an exponential: finite numbers of the model can still make a box without end.
  if (found.some(({ box }) => !box.every(Number.isFinite))) {
    throw modelFailure('model/not-finite', 'a box is not finite', 'boxes');
  }
  const real = found.filter(({ box }) => box[0] < box[2] && box[1] < box[3]);
  return suppress(real, output, topK);
}

function read(
  tensor: (name: string) => OutputTensor,
  manifest: PictureManifest,
  output: DetectorOutput,
): BoxCandidate[] {
  switch (output.kind) {
    case 'yolox':
      return readYolox(tensor(output.tensor), manifest, output);
    case 'fastestdet':
      return readFastestDet(tensor(output.tensor), manifest, output);
    case 'ssd':
      return readSsd(tensor(output.scores), tensor(output.boxes), manifest, output);
  }
}
