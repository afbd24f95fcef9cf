/** How a model's tensors must hang together: one maker each, made before they are read, and no size out of the picture. */
import { onnx } from 'onnx-proto';
import { describe, expect, test } from 'vitest';
import { inspectOnnx } from '../../../enclave/jail/onnx/inspect.ts';
import { matchManifest } from '../../../enclave/jail/onnx/match-manifest.ts';
import { MAY_LEAVE_UNWRITTEN, OPERATORS, SIZE_INPUTS } from '../../../enclave/jail/onnx/operators.ts';
import * as models from './models.ts';

const { node, ints, int, floats, longs, value } = models;
const { AttributeType } = onnx.AttributeProto;
const STRING = 8;
const INT64 = 7;

const inspect = (graph: Partial<models.Graph>) => () =>
  inspectOnnx(models.bytesOf(models.modelOf(models.meansGraph(graph))));
const refusal = (code: string): unknown => expect.objectContaining({ code, kind: 'malformed' });
const mean = node('ReduceMean', ['x'], ['y'], [ints('axes', [2, 3]), int('keepdims', 0)]);
/** Three whole numbers that the picture gives. */
const seen = [mean, node('Cast', ['y'], ['seen'], [int('to', INT64)])];

/** Few steps for a picture that is not bright green, `big` for one that is. */
const patient = (big: number): Partial<models.Graph> => ({
  nodes: [
    node('ReduceMean', ['x'], ['m'], [ints('axes', [2, 3]), int('keepdims', 0)]),
    node('Gather', ['m', 'green'], ['g'], [int('axis', 1)]),
    node('Reshape', ['g', 'one'], ['level']),
    node('Greater', ['level', 'seven'], ['hot']),
    node('Where', ['hot', 'big', 'one'], ['n']),
    node('Tile', ['seed', 'n'], ['t']),
    node('ReduceMin', ['t'], ['r'], [int('keepdims', 0)]),
    node('Add', ['m', 'r'], ['y']),
  ],
  initializers: [
    longs('green', [1]),
    longs('one', [1]),
    longs('big', [big]),
    floats('seven', [1], [7]),
    floats('seed', [1], [0]),
  ],
});

describe('no size follows from the picture', () => {
  const inputs = [...SIZE_INPUTS].flatMap(([operator, gives]) =>
    Object.keys(gives).map((index): [string, number] => [operator, Number(index)]),
  );
  // By hand, from the operators' own documents: one that fell out of the table above would take its test with it.
  const BY_HAND =
    'ConstantOfShape 0, Expand 1, Pad 1 3, ReduceL1 1, ReduceL2 1, ReduceLogSum 1, ReduceLogSumExp 1, ReduceMax 1, ReduceMean 1, ReduceMin 1, ReduceProd 1, ReduceSum 1, ReduceSumSquare 1, Reshape 1, Resize 1 2 3, Slice 1 2 3 4, Split 1, Squeeze 1, Tile 1, TopK 1, Unsqueeze 1, Upsample 1';
  test('the table is whole', () => {
    const rows = [...SIZE_INPUTS].map(([operator, gives]) => `${operator} ${Object.keys(gives).join(' ')}`);
    expect(rows.join(', ')).toBe(BY_HAND);
  });
  test('and so is the one of operators that may leave memory unwritten', () => {
    expect([...MAY_LEAVE_UNWRITTEN].join(' ')).toBe(
      'AveragePool Conv ConvInteger ConvTranspose Einsum Gemm MatMul MatMulInteger MaxPool QLinearConv QLinearMatMul',
    );
  });
  const taking = (operator: string, index: number, size: string): models.Node =>
    node(operator, [...Array.from({ length: index }, (_, at) => (at === 0 ? 'y' : '')), size], ['z']);

  test.each(inputs)('%s, input %i', (operator, index) => {
    expect(OPERATORS).toContain(operator);
    const steady = { initializers: [longs('size', [1])] };
    expect(inspect({ nodes: [...seen, taking(operator, index, 'seen')] })).toThrow(
      expect.objectContaining({
        code: 'model/operator-not-allowed',
        message: expect.stringMatching(new RegExp(`^seen gives a size .* of ${operator}\\)`)),
        where: `node 2 (${operator})`,
        hint: expect.stringContaining('fixed shapes'),
      }),
    );
    expect(inspect({ nodes: [...seen, taking(operator, index, 'size')], ...steady })).not.toThrow();
  });
  test('a model that is quick for grey and slow for bright green', () => {
    expect(inspect(patient(100_000))).toThrow(refusal('model/operator-not-allowed'));
    expect(inspect(patient(100_000))).toThrow(/^n gives a size \(repeats of Tile\)/);
  });
  test('a name that is a byte order mark is a name', () => {
    const marked = (names: readonly string[]): string[] => names.map((name) => (name === 'n' ? '\uFEFF' : name));
    const graph = patient(100_000);
    const nodes = (graph.nodes ?? []).map((one) =>
      node(one.opType, marked(one.input), marked(one.output), one.attribute),
    );
    expect(inspect({ ...graph, nodes })).toThrow(/gives a size \(repeats of Tile\)/);
  });
  test('however many steps lie between', () => {
    const steps = [
      node('Mul', ['seen', 'two'], ['a']),
      node('Concat', ['two', 'a'], ['b'], [int('axis', 0)]),
      node('Gather', ['b', 'two'], ['c']),
      node('Reshape', ['y', 'c'], ['z']),
    ];
    expect(inspect({ nodes: [...seen, ...steps], initializers: [longs('two', [2])] })).toThrow(/^c gives a size/);
  });
  test('by way of an index, a condition or a second output', () => {
    const through = (nodes: readonly models.Node[]) =>
      inspect({ nodes: [...seen, ...nodes, node('Reshape', ['y', 's'], ['z'])], initializers: [longs('w', [1, 3])] });
    expect(through([node('Gather', ['w', 'seen'], ['s'])])).toThrow(/^s gives a size/);
    expect(through([node('Greater', ['seen', 'w'], ['hot']), node('Where', ['hot', 'w', 'w'], ['s'])])).toThrow(
      /^s gives a size/,
    );
    expect(through([node('TopK', ['y', 'w'], ['values', 's'])])).toThrow(/^s gives a size/);
  });
  test('memory that a product over nothing leaves unwritten counts as the picture', () => {
    const nodes = [
      mean,
      node('MatMul', ['tall', 'wide'], ['found']),
      node('Cast', ['found'], ['n'], [int('to', INT64)]),
      node('Tile', ['y', 'n'], ['z']),
    ];
    const initializers = [floats('tall', [1, 0], []), floats('wide', [0, 2], [])];
    expect(inspect({ nodes, initializers })).toThrow(/^n gives a size/);
  });
  test('shapes, constants and what is reckoned from them do', () => {
    const nodes = [
      mean,
      node('Shape', ['x'], ['shape']),
      node('Constant', [], ['axes'], [ints('value_ints', [0])]),
      node('Gather', ['shape', 'axes'], ['batch']),
      node('ConstantOfShape', ['batch'], ['zeros']),
      node('Size', ['y'], ['size']),
      node('Unsqueeze', ['size', 'axes'], ['three']),
      node('Concat', ['batch', 'three'], ['to'], [int('axis', 0)]),
      node('Reshape', ['y', 'to'], ['z']),
      node('Slice', ['z', 'zeros', 'batch', 'axes'], ['first']),
    ];
    expect(inspect({ nodes })).not.toThrow();
  });
  test('picture values that give no size are free', () => {
    const nodes = [...seen, node('Gather', ['w', 'seen'], ['a']), node('Clip', ['y', 'a', 'a'], ['z'])];
    expect(inspect({ nodes, initializers: [floats('w', [3], [1, 2, 3])] })).not.toThrow();
  });
});

describe('no tensor holds text', () => {
  const attribute = (of: models.Attribute) => inspect({ nodes: [mean, node('Constant', [], ['z'], [of])] });
  test('cast to it and back', () => {
    const nodes = [mean, node('Cast', ['y'], ['s'], [int('to', STRING)]), node('Cast', ['s'], ['z'], [int('to', 1)])];
    expect(inspect({ nodes })).toThrow(refusal('model/unsupported-field'));
  });
  test('as a constant', () => {
    const one = Buffer.from('1');
    const text = { name: 'value_string', type: AttributeType.STRING, s: one };
    expect(attribute(text)).toThrow(refusal('model/unsupported-field'));
    const texts = { name: 'value_strings', type: AttributeType.STRINGS, strings: [one] };
    expect(attribute(texts)).toThrow(refusal('model/unsupported-field'));
    const tensor = { name: 'value', type: AttributeType.TENSOR, t: { dims: [0], dataType: STRING } };
    expect(attribute(tensor)).toThrow(refusal('model/unsupported-field'));
  });
  test('as a type of a graph’s value', () => {
    expect(inspect({ outputs: [value('y', [1, 3], STRING)] })).toThrow(refusal('model/unsupported-field'));
  });
});

describe('a name means one thing', () => {
  const relu = node('Relu', ['y'], ['z']);
  test.each<readonly [name: string, graph: Partial<models.Graph>, message: RegExp]>([
    [
      'two outputs of the graph',
      { outputs: [value('y', [1, 3]), value('y', [1, 3], INT64)] },
      /y stands twice among the outputs/,
    ],
    [
      'two inputs of the graph',
      { inputs: [value('x', [1, 3, 16, 16]), value('x', [1, 3, 16, 16])] },
      /x stands twice among the inputs/,
    ],
    [
      'two initializers',
      { initializers: [floats('c', [1], [0]), floats('c', [1], [9])] },
      /c stands twice among the initializers/,
    ],
    ['outputs of two nodes', { nodes: [mean, relu, relu] }, /z is made twice/],
    ['two outputs of a node', { nodes: [mean, node('TopK', ['y', ''], ['z', 'z'])] }, /z is made twice/],
    ['an output of a node and an input', { nodes: [mean, node('Relu', ['y'], ['x'])] }, /x is made twice/],
    [
      'an output of a node and an initializer',
      { nodes: [mean, relu], initializers: [floats('z', [1], [0])] },
      /z is made twice/,
    ],
    [
      'two attributes of a node',
      { nodes: [mean, node('Cast', ['y'], ['z'], [int('to', 1), int('to', INT64)])] },
      /to stands twice among the attributes/,
    ],
  ])('%s', (_, graph, message) => {
    expect(inspect(graph)).toThrow(refusal('model/malformed-onnx'));
    expect(inspect(graph)).toThrow(message);
  });
  test('an initializer that stands for the picture', () => {
    const graph = { initializers: [floats('x', [1, 3, 16, 16], Array<number>(768).fill(1))] };
    const match = (): void => matchManifest(inspect(graph)(), models.MEANS_MANIFEST);
    expect(match).toThrow(refusal('model/wrong-input'));
  });
  test('outputs that are left out have none', () => {
    const nodes = [mean, node('TopK', ['y', 'k'], ['', 'a']), node('TopK', ['y', 'k'], ['', 'b'])];
    expect(inspect({ nodes, initializers: [longs('k', [1])] })).not.toThrow();
  });
});

describe('a tensor is made before it is read', () => {
  test.each([
    ['by nobody', [node('Relu', ['nowhere'], ['y'])], /nowhere is read/],
    ['later', [node('Relu', ['m'], ['y']), node('Abs', ['x'], ['m'])], /m is read/],
    ['out of itself', [node('Add', ['x', 'y'], ['y'])], /y is read/],
  ] as const)('not %s', (_, nodes, message) => {
    expect(inspect({ nodes })).toThrow(refusal('model/malformed-onnx'));
    expect(inspect({ nodes })).toThrow(message);
  });
});
