/* oxlint-disable typescript/no-non-null-assertion -- indexes come from the loops around them, and these loops are hot */
import { sizeOf, type AnyLayer, type Parameters, type Shape } from './layers.ts';
import type { Random } from './random.ts';

export interface Network {
  readonly input: Shape;
  readonly layers: readonly AnyLayer[];
  readonly output: Shape;
}

/** Layers one after the other, each made for the shape that the one before it gives. */
export function stack(input: Shape, makers: readonly ((shape: Shape) => AnyLayer)[]): Network {
  const layers: AnyLayer[] = [];
  let shape = input;
  for (const make of makers) {
    const layer = make(shape);
    layers.push(layer);
    shape = layer.output;
  }
  return { input, layers, output: shape };
}

function predict({ layers }: Network, input: Float64Array): Float64Array {
  let x = input;
  for (const layer of layers) x = layer.forward(x);
  return x;
}

function learn({ layers }: Network, gradient: Float64Array): void {
  let g = gradient;
  for (let i = layers.length - 1; i >= 0; i--) g = layers[i]?.backward(g, i > 0) ?? g;
}

export interface Examples {
  readonly count: number;
  /** The input of one example; it may be another one (shifted, mirrored) at each call. */
  readonly input: (index: number, random: Random) => { readonly tensor: Float64Array; readonly target: Float64Array };
}

export interface Training {
  readonly epochs: number;
  readonly batch: number;
  readonly rate: number;
  /** Writes the gradient of the loss by the network's output, and returns the loss. */
  readonly loss: (output: Float64Array, target: Float64Array, gradient: Float64Array) => number;
  readonly onEpoch?: (epoch: number, meanLoss: number) => void;
}

/** Adam, with a rate that rises for the first tenth and then falls along a cosine. */
export function train(network: Network, examples: Examples, training: Training, random: Random): void {
  const parameters = network.layers.flatMap((layer) => layer.parameters);
  const moments = parameters.map(({ values }) => ({
    first: new Float64Array(values.length),
    second: new Float64Array(values.length),
  }));
  const gradient = new Float64Array(sizeOf(network.output));
  const order = Int32Array.from({ length: examples.count }, (_, index) => index);
  const steps = training.epochs * Math.ceil(examples.count / training.batch);
  let step = 0;
  for (let epoch = 1; epoch <= training.epochs; epoch++) {
    random.shuffle(order);
    let lossSum = 0;
    for (let start = 0; start < order.length; start += training.batch) {
      const batch = order.subarray(start, start + training.batch);
      for (const index of batch) {
        const { tensor, target } = examples.input(index, random);
        lossSum += training.loss(predict(network, tensor), target, gradient);
        learn(network, gradient);
      }
      step++;
      const rate = training.rate * schedule(step / steps);
      for (const [i, parameter] of parameters.entries()) {
        const moment = moments[i];
        if (moment !== undefined) adam(parameter, moment, rate, batch.length, step);
      }
    }
    training.onEpoch?.(epoch, lossSum / order.length);
  }
}

function schedule(progress: number): number {
  return progress < 0.1 ? progress / 0.1 : 0.5 * (1 + Math.cos((Math.PI * (progress - 0.1)) / 0.9)) + 0.01;
}

function adam(
  { values, gradient }: Parameters,
  { first, second }: { readonly first: Float64Array; readonly second: Float64Array },
  rate: number,
  batch: number,
  step: number,
): void {
  const correction1 = 1 - 0.9 ** step;
  const correction2 = 1 - 0.999 ** step;
  for (let i = 0; i < values.length; i++) {
    const g = gradient[i]! / batch;
    const m = 0.9 * first[i]! + 0.1 * g;
    const v = 0.999 * second[i]! + 0.001 * g * g;
    first[i] = m;
    second[i] = v;
    values[i] =
      values[i]! - (rate * (m / correction1)) / (Math.sqrt(v / correction2) + 1e-8) - rate * 1e-4 * values[i]!;
    gradient[i] = 0;
  }
}

/** Softmax and cross-entropy; the target is one number a class, summing to 1. */
export function crossEntropy(output: Float64Array, target: Float64Array, gradient: Float64Array): number {
  let max = -Infinity;
  for (const value of output) max = Math.max(max, value);
  let sum = 0;
  for (let i = 0; i < output.length; i++) sum += Math.exp(output[i]! - max);
  let loss = 0;
  for (let i = 0; i < output.length; i++) {
    const probability = Math.exp(output[i]! - max) / sum;
    gradient[i] = probability - target[i]!;
    if (target[i]! > 0) loss -= target[i]! * Math.log(Math.max(probability, 1e-12));
  }
  return loss;
}
