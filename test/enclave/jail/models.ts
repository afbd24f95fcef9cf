/** ONNX models that tests make themselves: small, and wrong in one named way where they are wrong. */
import type { onnx } from 'onnx-proto';
import onnxProto from 'onnx-proto';
import { packModel, parseModelPackage, type ModelPackage } from '../../../enclave/functions/model-package.ts';
import type { PictureManifest } from '../../../enclave/functions/model-manifest.ts';
import type { PicturePolicy } from '../../../policies/model.ts';

const { AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto } =
  onnxProto.onnx;
const { AttributeType } = AttributeProto;
const FLOAT = 1;
const INT64 = 7;

export type Node = onnx.NodeProto;
export type Attribute = onnx.IAttributeProto;

export const ints = (name: string, values: readonly number[]): Attribute => ({
  name,
  type: AttributeType.INTS,
  ints: [...values],
});
export const int = (name: string, value: number): Attribute => ({ name, type: AttributeType.INT, i: value });

export function node(
  opType: string,
  input: readonly string[],
  output: readonly string[],
  attribute: readonly Attribute[] = [],
): Node {
  return NodeProto.create({ opType, input: [...input], output: [...output], attribute: [...attribute] });
}

export function floats(name: string, dims: readonly number[], values: readonly number[]): onnx.ITensorProto {
  return TensorProto.create({
    name,
    dims: [...dims],
    dataType: FLOAT,
    rawData: new Uint8Array(Float32Array.from(values).buffer),
  });
}

export function longs(name: string, values: readonly number[]): onnx.ITensorProto {
  const raw = BigInt64Array.from(values, (value) => BigInt(value));
  return TensorProto.create({ name, dims: [values.length], dataType: INT64, rawData: new Uint8Array(raw.buffer) });
}

export function value(
  name: string,
  dims: readonly (number | string)[] | undefined,
  elemType: number = FLOAT,
): onnx.IValueInfoProto {
  const dim = dims?.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size }));
  return ValueInfoProto.create({
    name,
    type: { tensorType: { elemType, ...(dim === undefined ? {} : { shape: { dim } }) } },
  });
}

export interface Graph {
  readonly nodes: readonly Node[];
  readonly initializers?: readonly onnx.ITensorProto[];
  readonly inputs: readonly onnx.IValueInfoProto[];
  readonly outputs: readonly onnx.IValueInfoProto[];
}

export function modelOf(graph: Graph): onnx.ModelProto {
  return ModelProto.create({
    irVersion: 8,
    producerName: 'test',
    opsetImport: [OperatorSetIdProto.create({ domain: '', version: 13 })],
    graph: GraphProto.create({
      name: 'graph',
      node: [...graph.nodes],
      initializer: [...(graph.initializers ?? [])],
      input: [...graph.inputs],
      output: [...graph.outputs],
    }),
  });
}

export const bytesOf = (model: onnx.ModelProto): Uint8Array => ModelProto.encode(model).finish();

/** Side of the test models' square input. */
export const SIDE = 16;

/**
 * A classifier one can reckon by hand: its three logits are the means of red, green and blue, as pixels of 0 to 255 over
 * 32, so that the reddest picture is `red`.
 */
export function meansGraph(changes: Partial<Graph> = {}): Graph {
  return {
    nodes: [node('ReduceMean', ['x'], ['y'], [ints('axes', [2, 3]), int('keepdims', 0)])],
    inputs: [value('x', [1, 3, SIDE, SIDE])],
    outputs: [value('y', [1, 3])],
    ...changes,
  };
}

export const MEANS_MANIFEST: PictureManifest = {
  apiVersion: 'accord/v1',
  name: 'means',
  labels: ['red', 'green', 'blue'],
  input: {
    tensor: 'x',
    dtype: 'float32',
    layout: 'NCHW',
    width: SIDE,
    height: SIDE,
    colour: 'RGB',
    resize: { mode: 'stretch' },
    scale: 1 / 32,
  },
  output: { kind: 'classification', tensor: 'y', activation: 'softmax' },
};

export function meansModel(
  onnxBytes: Uint8Array = bytesOf(modelOf(meansGraph())),
  manifest: object = {},
): ModelPackage {
  const json = JSON.stringify({ ...MEANS_MANIFEST, ...manifest });
  return parseModelPackage(packModel(json, onnxBytes), 'image-classification');
}

/** A classifier that takes a while: `layers` convolutions of 64 channels over 256 x 256. */
export function slowModel(layers: number): ModelPackage {
  const wide = 64;
  const names = Array.from({ length: layers + 1 }, (_, index) => `h${index}`);
  const same = [ints('pads', [1, 1, 1, 1])];
  const graph = meansGraph({
    nodes: [
      node('Resize', ['x', '', 'scales'], ['big']),
      node('Conv', ['big', 'first'], ['h0'], same),
      ...names.slice(1).map((name, index) => node('Conv', [names[index] ?? '', 'each'], [name], same)),
      node('Conv', [names[layers] ?? '', 'last'], ['three'], same),
      node('ReduceMean', ['three'], ['y'], [ints('axes', [2, 3]), int('keepdims', 0)]),
    ],
    initializers: [
      floats('scales', [4], [1, 1, 16, 16]),
      floats('first', [wide, 3, 3, 3], Array<number>(wide * 27).fill(0.01)),
      floats('each', [wide, wide, 3, 3], Array<number>(wide * wide * 9).fill(0.001)),
      floats('last', [3, wide, 3, 3], Array<number>(3 * wide * 9).fill(0.001)),
    ],
  });
  return meansModel(bytesOf(modelOf(graph)));
}

export function policyFor(uses: PicturePolicy['uses'], output: Partial<PicturePolicy['output']> = {}): PicturePolicy {
  return {
    uses,
    model: { from: 'bob' },
    calls: { alice: 3 },
    input: { maxBytes: 8_388_608, buckets: [8_388_608] },
    output: { topK: 3, decimals: 3, ...output },
    release: { afterMs: 0, padTo: 1_024 },
  };
}
