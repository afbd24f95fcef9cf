/** From the model's numbers to the most likely labels. Runs in the computing jail. */
import { activate } from '../activation.ts';
import { best, demandFinite, demandScore, type Candidate, type OutputTensor } from '../candidate.ts';
import type { ClassificationOutput } from '../model-manifest.ts';
import { modelFailure } from '../model-refusal.ts';

/** Throws `Failure<ModelCode>` where the tensor does not fit the manifest. */
export function classify(
  tensor: OutputTensor,
  output: ClassificationOutput,
  labels: number,
  topK: number,
): readonly Candidate[] {
  if (tensor.data.length !== labels) {
    const message = `${output.tensor} has ${tensor.data.length} numbers; the manifest has ${labels} labels`;
    throw modelFailure('model/wrong-output', message, output.tensor);
  }
  demandFinite(tensor, output.tensor);
  const scores = new Float64Array(labels);
  activate(output.activation, tensor.data, 0, 1, scores);
  const candidates = Array.from(scores, (score, label) => ({ label, score: demandScore(score, output.tensor) }));
  return best(candidates, topK);
}
