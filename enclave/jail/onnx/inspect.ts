/**
 * Judges an ONNX file before onnxruntime sees it. Runs in the computing jail: the bytes are hostile until shown
 * otherwise. What it lets pass is one graph of allowed operators, whole in itself, of bounded size; whether it is the one
 * that the manifest describes is for `matchManifest` to say.
 */
import { modelFailure } from '../../functions/model-refusal.ts';
import * as format from './format.ts';
import { CONTROL_FLOW, INSTEAD, OPERATORS } from './operators.ts';
import { readMessage, text, type Message, type Range, type Reader } from './protobuf.ts';
import { checkDistinct, checkWiring, type Node } from './wiring.ts';

/** Bounds, each some ten times what the largest public picture models have. */
export const ONNX_LIMITS = {
  /** Fields read in all, elements of unpacked and of integer tensors among them. */
  fields: 1_000_000,
  nodes: 20_000,
  tensors: 20_000,
  /** Inputs or outputs of a node; attributes of a node. */
  perNode: 1_024,
  nameBytes: 512,
  rank: 8,
  /** 2^27 elements: 512 MiB of float32. */
  elements: 134_217_728,
  irVersion: { from: 3, to: 11 },
  /** Of ONNX's own operators. */
  opset: { from: 7, to: 22 },
} as const;

/** Dimension of a shape: a number, or a name where the file leaves it open. */
export type Dimension = number | string;

export interface TensorType {
  readonly name: string;
  readonly element: string;
  /** Undefined where the file does not say. */
  readonly shape: readonly Dimension[] | undefined;
}

/** What the file says of itself, for tests and for messages. */
export interface OnnxSummary {
  readonly irVersion: number;
  readonly opset: number;
  readonly operators: ReadonlyMap<string, number>;
  readonly initializers: number;
  readonly inputs: readonly TensorType[];
  readonly outputs: readonly TensorType[];
}

/** Reads and judges the file by itself. Throws `Failure<ModelCode>`. */
export function inspectOnnx(bytes: Uint8Array): OnnxSummary {
  const reader: Reader = { bytes, budget: ONNX_LIMITS.fields };
  const model = readMessage(reader, { start: 0, end: bytes.length }, format.MODEL, 'model');
  const irVersion = inRange(single(model.ints(1), 'ir_version'), ONNX_LIMITS.irVersion, 'IR version');
  const opset = readOpset(reader, model);
  const graphs = model.ranges(7);
  if (graphs[0] === undefined)
    throw modelFailure('model/malformed-onnx', 'the ONNX file is malformed: no graph', 'model');
  const graph = readMessage(reader, graphs[0], format.GRAPH, 'graph');
  bounded(graph.ranges(1).length, ONNX_LIMITS.nodes, 'nodes');
  bounded(graph.ranges(5).length, ONNX_LIMITS.tensors, 'initializers');
  bounded(graph.ranges(11).length, ONNX_LIMITS.tensors, 'inputs');
  bounded(graph.ranges(12).length, ONNX_LIMITS.perNode, 'outputs');
  bounded(graph.ranges(13).length, 2 * ONNX_LIMITS.nodes, 'value_info entries');
  const nodes = graph.ranges(1).map((range, index) => readNode(reader, range, index));
  const initializers = graph.ranges(5).map((range, index) => readTensor(reader, range, `initializer ${index}`));
  graph.ranges(13).forEach((range, index) => readValue(reader, range, `value_info ${index}`));
  const inputs = graph.ranges(11).map((range, index) => readValue(reader, range, `input ${index}`));
  const outputs = graph.ranges(12).map((range, index) => readValue(reader, range, `output ${index}`));
  checkWiring({ nodes, initializers, inputs: inputs.map(nameOf), outputs: outputs.map(nameOf) });
  // Before IR version 4, initializers are listed among the inputs.
  const weights = new Set(initializers);
  return {
    irVersion,
    opset,
    operators: countOperators(nodes),
    initializers: weights.size,
    inputs: inputs.filter(({ name }) => !weights.has(name)),
    outputs,
  };
}

const nameOf = ({ name }: TensorType): string => name;

function countOperators(nodes: readonly Node[]): ReadonlyMap<string, number> {
  const operators = new Map<string, number>();
  for (const { operator } of nodes) operators.set(operator, (operators.get(operator) ?? 0) + 1);
  return operators;
}

function readOpset(reader: Reader, model: Message): number {
  const versions = model.ranges(8).map((range) => {
    const set = readMessage(reader, range, format.OPSET, 'opset_import');
    const domain = name(reader, set.ranges(1), 'opset_import');
    if (domain !== '' && domain !== 'ai.onnx') {
      throw modelFailure('model/custom-operator', `operators of domain ${domain} are not taken`, 'opset_import');
    }
    return single(set.ints(2), 'opset version');
  });
  if (versions.length !== 1) {
    throw modelFailure(
      'model/unsupported-opset',
      `the file imports ${versions.length} operator sets, not one`,
      'model',
    );
  }
  return inRange(versions[0], ONNX_LIMITS.opset, 'operator set');
}

function readNode(reader: Reader, range: Range, index: number): Node {
  const node = readMessage(reader, range, format.NODE, `node ${index}`);
  const operator = name(reader, node.ranges(4), `node ${index}`);
  const where = `node ${index} (${operator})`;
  const domain = name(reader, node.ranges(7), where);
  if ((domain !== '' && domain !== 'ai.onnx') || name(reader, node.ranges(8), where) !== '') {
    throw modelFailure('model/custom-operator', `operator ${operator} of domain ${domain} is not taken`, where);
  }
  if (CONTROL_FLOW.has(operator)) {
    throw modelFailure('model/control-flow', `${operator} is not taken: its time depends on data`, where);
  }
  if (!OPERATORS.has(operator)) {
    throw modelFailure('model/operator-not-allowed', `operator ${operator} is not taken`, where, INSTEAD.get(operator));
  }
  // A third input switches Dropout to training, which is random.
  if (operator === 'Dropout' && node.ranges(1).length > 2) {
    throw modelFailure('model/operator-not-allowed', 'Dropout in training mode is not taken', where);
  }
  if (operator === 'BatchNormalization' && isTraining(reader, node, where)) {
    throw modelFailure('model/operator-not-allowed', 'BatchNormalization in training mode is not taken', where);
  }
  for (const field of [1, 2, 5]) bounded(node.ranges(field).length, ONNX_LIMITS.perNode, `parts of ${where}`);
  const attributes = node.ranges(5).map((attribute) => readAttribute(reader, attribute, operator, where));
  checkDistinct(attributes, 'attributes', where);
  const names = (field: number): readonly string[] => node.ranges(field).map((at) => name(reader, [at], where));
  return { operator, where, inputs: names(1), outputs: names(2) };
}

/** In training it writes running statistics, which onnxruntime may put over the weights: state from one run to the next. */
function isTraining(reader: Reader, node: Message, where: string): boolean {
  if (node.ranges(2).length > 1) return true;
  return node.ranges(5).some((range) => {
    const attribute = readMessage(reader, range, format.ATTRIBUTE, `attribute of ${where}`);
    return (
      name(reader, attribute.ranges(1), where) === 'training_mode' && attribute.ints(3).some((mode) => mode !== 0n)
    );
  });
}

/** Checks an attribute; gives its name. */
function readAttribute(reader: Reader, range: Range, operator: string, where: string): string {
  const attribute = readMessage(reader, range, format.ATTRIBUTE, `attribute of ${where}`);
  for (const tensor of [...attribute.ranges(5), ...attribute.ranges(10)])
    readTensor(reader, tensor, `tensor of ${where}`);
  const called = name(reader, attribute.ranges(1), where);
  if (operator === 'Cast' && called === 'to') for (const type of attribute.ints(3)) elementType(type, where);
  if (operator === 'Constant' && attribute.ranges(4).length + attribute.ranges(9).length > 0) {
    throw modelFailure('model/unsupported-field', 'text as a constant is not taken', where);
  }
  return called;
}

/** Checks a tensor that stands in the file; gives its name. */
function readTensor(reader: Reader, range: Range, where: string): string {
  const tensor = readMessage(reader, range, format.TENSOR, where);
  if (tensor.ints(14).some((location) => location !== 0n)) {
    throw modelFailure('model/external-data', 'the file keeps weights outside of itself', where);
  }
  const type = elementType(single(tensor.ints(2), `data_type of ${where}`), where);
  const elements = countOf(tensor.ints(1), where);
  const raw = tensor.ranges(9)[0];
  const listed =
    tensor.count(4) + tensor.count(10) + tensor.ints(5).length + tensor.ints(7).length + tensor.ints(11).length;
  const has = raw === undefined ? listed : (raw.end - raw.start) / type.bytes;
  if (has !== elements || (raw !== undefined && listed > 0)) {
    throw modelFailure('model/malformed-onnx', `the shape says ${elements} elements, the data has ${has}`, where);
  }
  return name(reader, tensor.ranges(8), where);
}

function readValue(reader: Reader, range: Range, where: string): TensorType {
  const value = readMessage(reader, range, format.VALUE, where);
  const called = name(reader, value.ranges(1), where);
  const type = value.ranges(2)[0];
  if (type === undefined) return { name: called, element: 'unknown', shape: undefined };
  const inner = readMessage(reader, type, format.TYPE, where).ranges(1)[0];
  if (inner === undefined) return { name: called, element: 'unknown', shape: undefined };
  const tensor = readMessage(reader, inner, format.TENSOR_TYPE, where);
  const element = elementType(single(tensor.ints(1), `element type of ${where}`), where).name;
  const shape = tensor.ranges(2)[0];
  return { name: called, element, shape: shape === undefined ? undefined : readShape(reader, shape, where) };
}

function readShape(reader: Reader, range: Range, where: string): readonly Dimension[] {
  const dims = readMessage(reader, range, format.SHAPE, where).ranges(1);
  const sizes = dims.map((dim): Dimension => {
    const dimension = readMessage(reader, dim, format.DIMENSION, where);
    const value = dimension.ints(1)[0];
    return value === undefined ? `?${name(reader, dimension.ranges(2), where)}` : count(value, where);
  });
  countOf(
    sizes.filter((size) => typeof size === 'number').map((size) => BigInt(size)),
    where,
  );
  return sizes;
}

function name(reader: Reader, ranges: readonly Range[], where: string): string {
  return ranges[0] === undefined ? '' : text(reader, ranges[0], ONNX_LIMITS.nameBytes, where);
}

function single(values: readonly bigint[], what: string): bigint {
  if (values[0] === undefined)
    throw modelFailure('model/malformed-onnx', `the ONNX file is malformed: no ${what}`, what);
  return values[0];
}

function elementType(code: bigint, where: string): { readonly name: string; readonly bytes: number } {
  const type = format.ELEMENTS[Number(code)];
  if (type === undefined) throw modelFailure('model/unsupported-field', `element type ${code} is not taken`, where);
  return type;
}

function inRange(
  value: bigint | undefined,
  range: { readonly from: number; readonly to: number },
  what: string,
): number {
  if (value === undefined || value < BigInt(range.from) || value > BigInt(range.to)) {
    const message = `${what} ${value ?? 'none'} is not taken; ${range.from} to ${range.to} are`;
    throw modelFailure('model/unsupported-opset', message, what, 'export the model again with a version in that range');
  }
  return Number(value);
}

function bounded(actual: number, limit: number, what: string): void {
  if (actual > limit) throw modelFailure('model/too-complex', `${actual} ${what}; at most ${limit} are taken`, 'graph');
}

function count(value: bigint, where: string): number {
  if (value <= BigInt(ONNX_LIMITS.elements)) return Number(value);
  throw modelFailure('model/too-complex', `a dimension of ${BigInt.asIntN(64, value)} is not taken`, where);
}

/** Number of elements of a shape. */
function countOf(dims: readonly bigint[], where: string): number {
  bounded(dims.length, ONNX_LIMITS.rank, `dimensions of ${where}`);
  const elements = dims.map((dim) => count(dim, where)).reduce((product, dim) => product * dim, 1);
  bounded(elements, ONNX_LIMITS.elements, `elements of ${where}`);
  return elements;
}
