/* oxlint-disable typescript/no-non-null-assertion -- indexes come from the loops around them, and these loops are hot */
/**
 * The layers of a small convolutional network on plain typed arrays, one picture at a time. Tensors are
 * [channels][rows][columns], as in ONNX. Sums run in one fixed order, so training gives the same bits every time.
 */
import type { Random } from './random.ts';

export interface Shape {
  readonly channels: number;
  readonly rows: number;
  readonly columns: number;
}

export interface Parameters {
  readonly values: Float64Array;
  /** Sum over the batch so far. */
  readonly gradient: Float64Array;
}

export interface Layer {
  readonly output: Shape;
  readonly parameters: readonly Parameters[];
  /** The result is overwritten by the next call. */
  readonly forward: (input: Float64Array) => Float64Array;
  /**
   * From the gradient of the output to that of the input of the last `forward`, where that is `wanted`; adds up those of
   * the parameters. The first layer's input is the picture, which nobody changes.
   */
  readonly backward: (gradient: Float64Array, wanted: boolean) => Float64Array;
}

export interface Convolution extends Layer {
  readonly kind: 'convolution';
  readonly kernel: number;
  readonly stride: number;
  /** [output channels][input channels][kernel][kernel] */
  readonly weights: Parameters;
  readonly bias: Parameters;
}
export interface Relu extends Layer {
  readonly kind: 'relu';
}
export interface MaxPool extends Layer {
  readonly kind: 'max-pool';
}
export interface Flatten extends Layer {
  readonly kind: 'flatten';
}
export interface Dense extends Layer {
  readonly kind: 'dense';
  /** [outputs][inputs] */
  readonly weights: Parameters;
  readonly bias: Parameters;
}
export type AnyLayer = Convolution | Relu | MaxPool | Flatten | Dense;

export const sizeOf = ({ channels, rows, columns }: Shape): number => channels * rows * columns;

function parameters(size: number, fill: () => number): Parameters {
  return { values: Float64Array.from({ length: size }, fill), gradient: new Float64Array(size) };
}

/**
 * Padding of half a kernel on every side, so that stride 1 keeps the size and stride 2 halves it. Channels come in fours.
 */
export function convolution(
  input: Shape,
  channels: number,
  kernel: number,
  stride: number,
  random: Random,
): Convolution {
  const pad = kernel >> 1;
  const rows = Math.floor((input.rows + 2 * pad - kernel) / stride) + 1;
  const columns = Math.floor((input.columns + 2 * pad - kernel) / stride) + 1;
  const taps = input.channels * kernel * kernel;
  const cells = rows * columns;
  const spread = Math.sqrt(2 / taps);
  const weights = parameters(channels * taps, () => random.normal() * spread);
  const bias = parameters(channels, () => 0);
  const source = tapSources(input, kernel, stride, pad, rows, columns);
  const patches = new Float64Array(cells * taps);
  const result = new Float64Array(channels * cells);
  // One more than the input: padding reads a zero there, and its gradient is left there.
  const padded = new Float64Array(sizeOf(input) + 1);
  const paddedGradient = new Float64Array(sizeOf(input) + 1);
  const inputGradient = paddedGradient.subarray(0, -1);

  const forward = (x: Float64Array): Float64Array => {
    padded.set(x);
    for (let i = 0; i < patches.length; i++) patches[i] = padded[source[i]!]!;
    const w = weights.values;
    // Four channels at a time: four sums that do not wait for each other.
    for (let o = 0; o < channels; o += 4) {
      const [w0, w1, w2, w3] = [o * taps, (o + 1) * taps, (o + 2) * taps, (o + 3) * taps];
      for (let cell = 0; cell < cells; cell++) {
        const at = cell * taps;
        let s0 = bias.values[o]!;
        let s1 = bias.values[o + 1]!;
        let s2 = bias.values[o + 2]!;
        let s3 = bias.values[o + 3]!;
        for (let t = 0; t < taps; t++) {
          const value = patches[at + t]!;
          s0 += w[w0 + t]! * value;
          s1 += w[w1 + t]! * value;
          s2 += w[w2 + t]! * value;
          s3 += w[w3 + t]! * value;
        }
        result[o * cells + cell] = s0;
        result[(o + 1) * cells + cell] = s1;
        result[(o + 2) * cells + cell] = s2;
        result[(o + 3) * cells + cell] = s3;
      }
    }
    return result;
  };

  const backward = (gradient: Float64Array, wanted: boolean): Float64Array => {
    if (wanted) paddedGradient.fill(0);
    const w = weights.values;
    const dw = weights.gradient;
    const db = bias.gradient;
    for (let o = 0; o < channels; o++) {
      const offset = o * taps;
      for (let cell = 0; cell < cells; cell++) {
        // Most are zero: rectifiers and pooling let few through.
        const g = gradient[o * cells + cell]!;
        if (g === 0) continue;
        const at = cell * taps;
        db[o] = db[o]! + g;
        for (let t = 0; t < taps; t++) {
          dw[offset + t] = dw[offset + t]! + g * patches[at + t]!;
        }
        if (!wanted) continue;
        for (let t = 0; t < taps; t++) {
          const from = source[at + t]!;
          paddedGradient[from] = paddedGradient[from]! + g * w[offset + t]!;
        }
      }
    }
    return inputGradient;
  };

  const output = { channels, rows, columns };
  return { kind: 'convolution', kernel, stride, weights, bias, output, parameters: [weights, bias], forward, backward };
}

/** For each cell and tap, which input it reads; one past the end in the padding. */
function tapSources(
  input: Shape,
  kernel: number,
  stride: number,
  pad: number,
  rows: number,
  columns: number,
): Int32Array {
  const sources = new Int32Array(rows * columns * input.channels * kernel * kernel);
  let at = 0;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      for (let c = 0; c < input.channels; c++) {
        for (let k = 0; k < kernel * kernel; k++) {
          const y = row * stride + Math.floor(k / kernel) - pad;
          const x = column * stride + (k % kernel) - pad;
          const inside = y >= 0 && y < input.rows && x >= 0 && x < input.columns;
          sources[at++] = inside ? (c * input.rows + y) * input.columns + x : sizeOf(input);
        }
      }
    }
  }
  return sources;
}

export function relu(input: Shape): Relu {
  const result = new Float64Array(sizeOf(input));
  const inputGradient = new Float64Array(sizeOf(input));
  const forward = (x: Float64Array): Float64Array => {
    for (let i = 0; i < result.length; i++) result[i] = x[i]! > 0 ? x[i]! : 0;
    return result;
  };
  const backward = (gradient: Float64Array): Float64Array => {
    for (let i = 0; i < result.length; i++) inputGradient[i] = result[i]! > 0 ? gradient[i]! : 0;
    return inputGradient;
  };
  return { kind: 'relu', output: input, parameters: [], forward, backward };
}

/** 2 x 2, stride 2. */
export function maxPool(input: Shape): MaxPool {
  const output = { channels: input.channels, rows: input.rows >> 1, columns: input.columns >> 1 };
  const result = new Float64Array(sizeOf(output));
  const winner = new Int32Array(sizeOf(output));
  const inputGradient = new Float64Array(sizeOf(input));
  const forward = (x: Float64Array): Float64Array => {
    let at = 0;
    for (let c = 0; c < output.channels; c++) {
      for (let row = 0; row < output.rows; row++) {
        for (let column = 0; column < output.columns; column++, at++) {
          const first = (c * input.rows + 2 * row) * input.columns + 2 * column;
          let best = first;
          if (x[first + 1]! > x[best]!) best = first + 1;
          if (x[first + input.columns]! > x[best]!) best = first + input.columns;
          if (x[first + input.columns + 1]! > x[best]!) best = first + input.columns + 1;
          winner[at] = best;
          result[at] = x[best]!;
        }
      }
    }
    return result;
  };
  const backward = (gradient: Float64Array): Float64Array => {
    inputGradient.fill(0);
    for (let i = 0; i < winner.length; i++) inputGradient[winner[i]!] = gradient[i]!;
    return inputGradient;
  };
  return { kind: 'max-pool', output, parameters: [], forward, backward };
}

export function flatten(input: Shape): Flatten {
  const output = { channels: sizeOf(input), rows: 1, columns: 1 };
  return { kind: 'flatten', output, parameters: [], forward: (x) => x, backward: (gradient) => gradient };
}

export function dense(input: Shape, outputs: number, random: Random): Dense {
  const inputs = sizeOf(input);
  const spread = Math.sqrt(1 / inputs);
  const weights = parameters(outputs * inputs, () => random.normal() * spread);
  const bias = parameters(outputs, () => 0);
  const seen = new Float64Array(inputs);
  const result = new Float64Array(outputs);
  const inputGradient = new Float64Array(inputs);
  const forward = (x: Float64Array): Float64Array => {
    seen.set(x);
    for (let o = 0; o < outputs; o++) {
      let sum = bias.values[o]!;
      for (let i = 0; i < inputs; i++) sum += weights.values[o * inputs + i]! * seen[i]!;
      result[o] = sum;
    }
    return result;
  };
  const backward = (gradient: Float64Array): Float64Array => {
    inputGradient.fill(0);
    for (let o = 0; o < outputs; o++) {
      const g = gradient[o]!;
      bias.gradient[o] = bias.gradient[o]! + g;
      for (let i = 0; i < inputs; i++) {
        const at = o * inputs + i;
        weights.gradient[at] = weights.gradient[at]! + g * seen[i]!;
        inputGradient[i] = inputGradient[i]! + g * weights.values[at]!;
      }
    }
    return inputGradient;
  };
  const output = { channels: outputs, rows: 1, columns: 1 };
  return { kind: 'dense', weights, bias, output, parameters: [weights, bias], forward, backward };
}
