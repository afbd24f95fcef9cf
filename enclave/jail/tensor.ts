/** From pixels to the elements of the input tensor: `(pixel * scale - mean) / std`, in the manifest's order. */
import { channelsOf, type ModelInput } from '../functions/model-manifest.ts';

export interface TensorFiller {
  readonly dims: readonly number[];
  /** The tensor's elements; the same array is filled again for each picture. */
  fill(pixels: Uint8Array): Float32Array | Uint8Array;
}

/** `pixels` come by row as RGB or gray; a pixel has 256 values, so each channel's elements are a table. */
export function createFiller(input: ModelInput): TensorFiller {
  const { width, height, layout, colour } = input;
  const channels = channelsOf(colour);
  const area = width * height;
  const elements = input.dtype === 'uint8' ? new Uint8Array(area * channels) : new Float32Array(area * channels);
  const tables = Array.from({ length: channels }, (_, channel) => tableOf(input, channel));
  return {
    dims: layout === 'NCHW' ? [1, channels, height, width] : [1, height, width, channels],
    fill(pixels) {
      for (let channel = 0; channel < channels; channel++) {
        // Channels of the tensor are in the order of `colour`; those of the pixels always R, G, B.
        const source = colour === 'BGR' ? 2 - channel : channel;
        const step = layout === 'NCHW' ? 1 : channels;
        const start = layout === 'NCHW' ? channel * area : channel;
        spread(pixels, source, channels, tables[channel] ?? new Float32Array(256), elements, start, step, area);
      }
      return elements;
    },
  };
}

function spread(
  pixels: Uint8Array,
  source: number,
  channels: number,
  table: Float32Array,
  elements: Float32Array | Uint8Array,
  start: number,
  step: number,
  area: number,
): void {
  for (let pixel = 0, from = source, to = start; pixel < area; pixel++, from += channels, to += step) {
    elements[to] = table[pixels[from] ?? 0] ?? 0;
  }
}

function tableOf(input: ModelInput, channel: number): Float32Array {
  const { scale = 1, mean = [0], std = [1] } = input;
  const offset = mean[channel] ?? mean[0] ?? 0;
  const divisor = std[channel] ?? std[0] ?? 1;
  return Float32Array.from({ length: 256 }, (_, pixel) => (pixel * scale - offset) / divisor);
}
