import onnxProto from 'onnx-proto';
import { sizeOf, type AnyLayer, type Shape } from './layers.ts';
import type { Network } from './network.ts';

const { onnx } = onnxProto;
type Node = onnxProto.onnx.INodeProto;
type Tensor = onnxProto.onnx.ITensorProto;
type Value = onnxProto.onnx.IValueInfoProto;

/** Operator set and file version that every ONNX runtime of the last years reads. */
const OPERATOR_SET = 13;
const IR_VERSION = 7;
const FLOAT = 1;
const { INT, INTS } = onnx.AttributeProto.AttributeType;

export interface TensorNames {
  readonly input: string;
  readonly output: string;
}

/** The network as an ONNX file, of batch 1 and single precision. */
export function writeOnnx(network: Network, name: string, names: TensorNames): Uint8Array {
  const nodes: Node[] = [];
  const tensors: Tensor[] = [];
  let from = names.input;
  for (const [index, layer] of network.layers.entries()) {
    const to = index === network.layers.length - 1 ? names.output : `${layer.kind}-${index}`;
    nodes.push(nodeOf(layer, from, to, `${index}`));
    tensors.push(...tensorsOf(layer, network.layers[index - 1]?.output ?? network.input, `${index}`));
    from = to;
  }
  const model = onnx.ModelProto.create({
    irVersion: IR_VERSION,
    producerName: 'accord-examples',
    opsetImport: [{ domain: '', version: OPERATOR_SET }],
    graph: {
      name,
      node: nodes,
      initializer: tensors,
      input: [valueOf(names.input, dimensions(network.input))],
      output: [valueOf(names.output, dimensions(network.output))],
    },
  });
  return onnx.ModelProto.encode(model).finish();
}

function nodeOf(layer: AnyLayer, from: string, to: string, id: string): Node {
  const ends = { input: [from], output: [to], name: to };
  switch (layer.kind) {
    case 'convolution': {
      const pad = layer.kernel >> 1;
      const attribute = [
        integers('kernel_shape', [layer.kernel, layer.kernel]),
        integers('strides', [layer.stride, layer.stride]),
        integers('pads', [pad, pad, pad, pad]),
      ];
      return { ...ends, opType: 'Conv', input: [from, `weights-${id}`, `bias-${id}`], attribute };
    }
    case 'relu':
      return { ...ends, opType: 'Relu' };
    case 'max-pool':
      return { ...ends, opType: 'MaxPool', attribute: [integers('kernel_shape', [2, 2]), integers('strides', [2, 2])] };
    case 'flatten':
      return { ...ends, opType: 'Flatten', attribute: [{ name: 'axis', type: INT, i: 1 }] };
    case 'dense': {
      const attribute = [{ name: 'transB', type: INT, i: 1 }];
      return { ...ends, opType: 'Gemm', input: [from, `weights-${id}`, `bias-${id}`], attribute };
    }
  }
}

function integers(name: string, ints: number[]): onnxProto.onnx.IAttributeProto {
  return { name, type: INTS, ints };
}

function tensorsOf(layer: AnyLayer, input: Shape, id: string): Tensor[] {
  if (layer.kind !== 'convolution' && layer.kind !== 'dense') return [];
  const outputs = layer.output.channels;
  const dims =
    layer.kind === 'dense' ? [outputs, sizeOf(input)] : [outputs, input.channels, layer.kernel, layer.kernel];
  return [tensorOf(`weights-${id}`, dims, layer.weights.values), tensorOf(`bias-${id}`, [outputs], layer.bias.values)];
}

/** ONNX keeps raw data little-endian, whatever the machine. */
function tensorOf(name: string, dims: number[], values: Float64Array): Tensor {
  const rawData = new Uint8Array(4 * values.length);
  const view = new DataView(rawData.buffer);
  for (const [index, value] of values.entries()) view.setFloat32(4 * index, value, true);
  return { name, dims, dataType: FLOAT, rawData };
}

const dimensions = ({ channels, rows, columns }: Shape): number[] =>
  rows === 1 && columns === 1 ? [1, channels] : [1, channels, rows, columns];

function valueOf(name: string, dims: number[]): Value {
  const shape = { dim: dims.map((dimValue) => ({ dimValue })) };
  return { name, type: { tensorType: { elemType: FLOAT, shape } } };
}
