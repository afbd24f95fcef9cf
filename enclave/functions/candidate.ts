/** What post-processing hands to the gate: indexes and numbers, no words. */
import { modelFailure } from './model-refusal.ts';

export interface Candidate {
  /** Index into the manifest's labels. */
  readonly label: number;
  /** 0 to 1. */
  readonly score: number;
  /** Of a detector: [xmin, ymin, xmax, ymax], relative to the input tensor; may reach outside of it. */
  readonly box?: Box;
}

export type Box = readonly [xmin: number, ymin: number, xmax: number, ymax: number];

/** An output tensor of the model. */
export interface OutputTensor {
  readonly data: Float32Array;
  readonly dims: readonly number[];
}

/** Demands a shape; -1 stands for any size. Leading ones may be left out. Throws `Failure<ModelCode>`. */
export function demandShape(tensor: OutputTensor, shape: readonly number[], name: string): void {
  const trimmed = (dims: readonly number[]): readonly number[] => {
    const first = dims.findIndex((size) => size !== 1);
    return first === -1 ? [1] : dims.slice(first);
  };
  const actual = trimmed(tensor.dims);
  const expected = trimmed(shape);
  const fits =
    actual.length === expected.length && expected.every((size, index) => size === -1 || size === actual[index]);
  if (!fits) {
    const wanted = shape.map((size) => (size === -1 ? 'any' : size)).join(', ');
    throw modelFailure('model/wrong-output', `${name} is [${tensor.dims.join(', ')}], not [${wanted}]`, name);
  }
}

/** NaN and infinities are no answer. Throws `Failure<ModelCode>`. */
export function demandFinite({ data }: OutputTensor, name: string): void {
  // A sum is finite exactly where every summand is, up to overflow, which 2^27 float32 in a float64 cannot reach.
  let sum = 0;
  for (let index = 0; index < data.length; index++) sum += data[index] ?? Number.NaN;
  if (!Number.isFinite(sum)) throw modelFailure('model/not-finite', `${name} holds NaN or infinity`, name);
}

/** A score as it may be answered; rounding may leave it a hair above 1. Throws `Failure<ModelCode>`. */
export function demandScore(score: number, name: string): number {
  if (score >= 0 && score <= 1.0001) return Math.min(score, 1);
  const hint = 'activations in the manifest say what is still to be applied to the numbers of the model';
  throw modelFailure('model/wrong-output', `${name} gives a score of ${score.toFixed(3)}, outside 0 to 1`, name, hint);
}

/** Best first; the lower index first where scores are equal, so that the order is always the same. */
export function best<T extends Candidate>(candidates: T[], limit: number): T[] {
  return candidates
    .map((candidate, index) => ({ candidate, index }))
    .sort((a, b) => b.candidate.score - a.candidate.score || a.index - b.index)
    .slice(0, limit)
    .map(({ candidate }) => candidate);
}
