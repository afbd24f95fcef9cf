/** An ONNX file before onnxruntime sees it, and the match with its manifest. */
import { inspectOnnx } from '../../../enclave/jail/onnx/inspect.ts';
import { matchManifest } from '../../../enclave/jail/onnx/match-manifest.ts';
import {
  MEANS_MANIFEST,
  bytesOf,
  floats,
  ints,
  longs,
  meansGraph,
  modelOf,
  node,
  value,
} from '../../enclave/jail/models.ts';
import { readMessage, varyMessage, writeMessage } from '../protobuf.ts';
import type { Target } from '../target.ts';
import { mutate } from '../mutate.ts';
import { MODEL_CODE_SET } from './model-codes.ts';

export async function open(): Promise<Target> {
  const convolved = meansGraph({
    nodes: [
      node('Conv', ['x', 'w', 'b'], ['h'], [ints('pads', [1, 1, 1, 1])]),
      node('Relu', ['h'], ['r']),
      node('Reshape', ['r', 'shape'], ['y']),
    ],
    initializers: [
      floats('w', [1, 3, 3, 3], Array<number>(27).fill(0.1)),
      floats('b', [1], [0]),
      longs('shape', [1, 3]),
    ],
  });
  const open = meansGraph({ inputs: [value('x', ['batch', 3, 16, 16])] });
  return {
    codes: MODEL_CODE_SET,
    seeds: [meansGraph(), convolved, open].map((graph) => bytesOf(modelOf(graph))),
    vary(bytes, random) {
      const message = readMessage(bytes);
      if (message === undefined)
        return mutate(bytes, random, { others: [bytes], words: [], maxBytes: bytes.length + 8 });
      return writeMessage(varyMessage(message, random));
    },
    words: [
      'Conv',
      'Loop',
      'If',
      'NonMaxSuppression',
      'ai.onnx.ml',
      'com.microsoft',
      'x',
      'y',
      'training_mode',
      '\u00ff',
    ],
    maxBytes: 30_000,
    run(bytes) {
      matchManifest(inspectOnnx(bytes), MEANS_MANIFEST);
      return 'model of the manifest';
    },
  };
}
