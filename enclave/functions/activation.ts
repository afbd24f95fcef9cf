/** What the manifest says is still to be applied to a model's numbers. */
import type { Activation } from './model-manifest.ts';

export const sigmoid = (value: number): number => 1 / (1 + Math.exp(-value));

/** Applies it to `count` numbers that lie `step` apart from `start` on, into `into`. */
export function activate(
  activation: Activation,
  data: Float32Array,
  start: number,
  step: number,
  into: Float64Array,
): void {
  const count = into.length;
  let most = Number.NEGATIVE_INFINITY;
  for (let index = 0; index < count; index++) {
    const value = data[start + index * step] ?? Number.NaN;
    into[index] = activation === 'sigmoid' ? sigmoid(value) : value;
    if (value > most) most = value;
  }
  if (activation !== 'softmax') return;
  let sum = 0;
  for (let index = 0; index < count; index++) {
    const power = Math.exp((into[index] ?? 0) - most);
    into[index] = power;
    sum += power;
  }
  for (let index = 0; index < count; index++) into[index] = (into[index] ?? 0) / sum;
}
