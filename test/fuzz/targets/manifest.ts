/** A contributed model's package: length, manifest, and what follows it. */
import { concat } from '../../../enclave/encoding/bytes.ts';
import { packModel, parseModelPackage } from '../../../enclave/functions/model-package.ts';
import type { ModelManifest } from '../../../enclave/functions/model-manifest.ts';
import type { ModelFunctionKind } from '../../../policies/model.ts';
import { mutate } from '../mutate.ts';
import type { Random } from '../random.ts';
import { demandSame } from '../target.ts';
import type { Target } from '../target.ts';
import { varyJson } from '../trees.ts';
import { MODEL_CODE_SET } from './model-codes.ts';

const input = {
  tensor: 'x',
  dtype: 'float32',
  layout: 'NCHW',
  width: 64,
  height: 64,
  colour: 'RGB',
  resize: { mode: 'letterbox', position: 'centre', pad: 114 },
  scale: 0.01,
  mean: [0.1, 0.2, 0.3],
  std: [1],
} as const;
const suppression = { scoreThreshold: 0.3, iouThreshold: 0.5 } as const;
const common = { apiVersion: 'accord/v1', name: 'small', labels: ['red', 'green', 'blue'], input } as const;

const MANIFESTS: readonly ModelManifest[] = [
  { ...common, output: { kind: 'classification', tensor: 'y', activation: 'softmax' } },
  {
    ...common,
    input: { ...input, resize: { mode: 'crop', shortSide: 80 } },
    output: { ...suppression, kind: 'yolox', tensor: 'y', strides: [8, 16, 32], boxes: 'grid-exp', activations: { objectness: 'sigmoid', classes: 'sigmoid' } }, // prettier-ignore
  },
  {
    ...common,
    input: { ...input, resize: { mode: 'stretch' } },
    output: { ...suppression, kind: 'fastestdet', tensor: 'y', centre: 'tanh', size: 'sigmoid', powers: { objectness: 0.6, classes: 0.4 }, activations: { objectness: 'none', classes: 'softmax' } }, // prettier-ignore
  },
  {
    ...common,
    output: { ...suppression, kind: 'ssd', scores: 's', boxes: 'b', activation: 'none', background: 0, order: 'cxcywh', coordinates: 'relative', priors: { levels: [{ columns: 4, rows: 4, sizes: [[0.1, 0.2]] }], variances: [0.1, 0.2] } }, // prettier-ignore
  },
  { ...common, input: { features: ['age', 'pulse'] }, output: { kind: 'tree', format: 'json' } },
  { ...common, input: { features: ['age'] }, output: { kind: 'tree', format: 'onnx' } },
];

export async function open(): Promise<Target> {
  return {
    codes: MODEL_CODE_SET,
    seeds: MANIFESTS.map((manifest) => packed(new TextEncoder().encode(JSON.stringify(manifest)))),
    vary: async (bytes, random: Random) => {
      const end = 4 + lengthOf(bytes);
      return packed(await varyJson(bytes.subarray(4, end), random), bytes.subarray(end));
    },
    /** The length says where the braces end. */
    repair(bytes, random) {
      const end = bytes.lastIndexOf(0x7d) + 1;
      if (end < 5) return mutate(bytes, random, { others: [bytes], words: [], maxBytes: bytes.length });
      return packed(bytes.subarray(4, end), bytes.subarray(end));
    },
    words: ['"kind"', '"ssd"', '"yolox"', '"fastestdet"', '"classification"', '"tree"', '"features"', '"gray"', '"uint8"', '[1e308]', '{"levels":[]}', '\\u0000', '"__proto__":{}', ',"labels":["a","a"]', '1e999'], // prettier-ignore
    maxBytes: 20_000,
    run(bytes) {
      const { manifest, manifestBytes } = parseModelPackage(bytes, kindOf(new TextDecoder().decode(bytes)));
      const rest = bytes.subarray(4 + manifestBytes.length);
      demandSame(
        packModel(new TextDecoder('utf-8', { ignoreBOM: true }).decode(manifestBytes), rest),
        bytes,
        'a package is written otherwise',
      );
      return manifest.output.kind;
    },
  };
}

function kindOf(text: string): ModelFunctionKind {
  if (text.includes('"kind":"tree"')) return 'decision-tree';
  return text.includes('"kind":"classification"') ? 'image-classification' : 'object-detection';
}

function packed(manifest: Uint8Array, onnx: Uint8Array = Uint8Array.of(1)): Uint8Array {
  const head = new Uint8Array(4);
  new DataView(head.buffer).setUint32(0, manifest.length);
  return concat(head, manifest, onnx.length === 0 ? Uint8Array.of(1) : onnx);
}

const lengthOf = (bytes: Uint8Array): number =>
  bytes.length < 4 ? 0 : new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
