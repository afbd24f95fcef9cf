/** What an ONNX file may be. Each refusal has its own code; the reader agrees with an independent one on real files. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { onnx } from 'onnx-proto';
import { describe, expect, test } from 'vitest';
import { inspectOnnx, ONNX_LIMITS } from '../../../enclave/jail/onnx/inspect.ts';
import { matchManifest } from '../../../enclave/jail/onnx/match-manifest.ts';
import { Failure } from '../../../policies/failure.ts';
import { describeWithVectors } from '../../vectors.ts';
import * as models from './models.ts';

const { AttributeType } = onnx.AttributeProto;
const good = (): onnx.ModelProto => models.modelOf(models.meansGraph());
const inspect = (model: onnx.ModelProto): unknown => inspectOnnx(models.bytesOf(model));
/** A field that our tables and those of the independent writer do not know: key, length, bytes. */
const withField = (number: number, content: Uint8Array, bytes: Uint8Array = models.bytesOf(good())): Uint8Array => {
  const key = (number << 3) | 2;
  const head = key < 128 ? [key] : [(key & 0x7f) | 0x80, key >> 7];
  return Buffer.concat([bytes, Uint8Array.from([...head, content.length]), content]);
};

test('a good model is read', () => {
  expect(inspect(good())).toEqual({
    irVersion: 8,
    opset: 13,
    operators: new Map([['ReduceMean', 1]]),
    initializers: 0,
    inputs: [{ name: 'x', element: 'float32', shape: [1, 3, 16, 16] }],
    outputs: [{ name: 'y', element: 'float32', shape: [1, 3] }],
  });
});

type Tampering = readonly [name: string, code: string, tamper: () => Uint8Array];

const changed = (change: (model: onnx.ModelProto, graph: onnx.IGraphProto) => void) => (): Uint8Array => {
  const model = good();
  change(model, model.graph ?? {});
  return models.bytesOf(model);
};
const withNode = (node: models.Node): (() => Uint8Array) => changed((_, graph) => void graph.node?.push(node));
const withTensor = (tensor: onnx.ITensorProto): (() => Uint8Array) =>
  changed((_, graph) => void (graph.initializer = [tensor]));
const nested: onnx.IGraphProto = models.modelOf(models.meansGraph()).graph ?? {};

const TAMPERINGS: readonly Tampering[] = [
  ['nothing at all', 'model/malformed-onnx', () => new Uint8Array()],
  ['text', 'model/malformed-onnx', () => Buffer.from('this is not an ONNX file')],
  ['zeros', 'model/malformed-onnx', () => new Uint8Array(64)],
  ['cut in the middle', 'model/malformed-onnx', () => models.bytesOf(good()).subarray(0, -20)],
  ['a byte too many', 'model/malformed-onnx', () => Buffer.concat([models.bytesOf(good()), Uint8Array.of(0x08)])],
  [
    'two graphs, which readers merge',
    'model/malformed-onnx',
    () => Buffer.concat([models.bytesOf(good()), models.bytesOf(good())]),
  ],
  ['no graph', 'model/malformed-onnx', changed((model) => void (model.graph = null))],
  ['an IR version of tomorrow', 'model/unsupported-opset', changed((model) => void (model.irVersion = 99))],
  [
    'an operator set of tomorrow',
    'model/unsupported-opset',
    changed((model) => void (model.opsetImport = [{ version: 99 }])),
  ],
  ['two operator sets', 'model/unsupported-opset', changed((model) => void model.opsetImport.push({ version: 13 }))],
  ['an IR version before the first', 'model/unsupported-opset', changed((model) => void (model.irVersion = 2))],
  ['an IR version after the last', 'model/unsupported-opset', changed((model) => void (model.irVersion = 12))],
  [
    'an operator set before the first',
    'model/unsupported-opset',
    changed((model) => void (model.opsetImport = [{ version: 6 }])),
  ],
  [
    'an operator set after the last',
    'model/unsupported-opset',
    changed((model) => void (model.opsetImport = [{ version: 23 }])),
  ],
  [
    'a node of too many inputs',
    'model/too-complex',
    withNode(
      models.node(
        'Concat',
        Array.from({ length: 1_025 }, () => 'x'),
        ['z'],
      ),
    ),
  ],
  ['no operator set', 'model/unsupported-opset', changed((model) => void (model.opsetImport = []))],
  [
    'another domain imported',
    'model/custom-operator',
    changed((model) => void model.opsetImport.push({ domain: 'com.microsoft', version: 1 })),
  ],
  [
    'an operator of another domain',
    'model/custom-operator',
    withNode(onnx.NodeProto.create({ opType: 'Gelu', domain: 'com.microsoft' })),
  ],
  ['If', 'model/control-flow', withNode(models.node('If', ['x'], ['z']))],
  ['Loop', 'model/control-flow', withNode(models.node('Loop', ['x'], ['z']))],
  [
    'a nested graph in a harmless operator',
    'model/control-flow',
    withNode(models.node('Relu', ['x'], ['z'], [{ name: 'body', type: AttributeType.GRAPH, g: nested }])),
  ],
  [
    'nested graphs',
    'model/control-flow',
    withNode(models.node('Relu', ['x'], ['z'], [{ name: 'bodies', type: AttributeType.GRAPHS, graphs: [nested] }])),
  ],
  ['NonMaxSuppression', 'model/operator-not-allowed', withNode(models.node('NonMaxSuppression', ['x'], ['z']))],
  ['something random', 'model/operator-not-allowed', withNode(models.node('RandomNormal', [], ['z']))],
  ['Dropout in training mode', 'model/operator-not-allowed', withNode(models.node('Dropout', ['x', 'r', 't'], ['z']))],
  [
    'BatchNormalization in training mode',
    'model/operator-not-allowed',
    withNode(models.node('BatchNormalization', ['x', 's', 'b', 'm', 'v'], ['z'], [models.int('training_mode', 1)])),
  ],
  [
    'BatchNormalization that writes its statistics',
    'model/operator-not-allowed',
    withNode(models.node('BatchNormalization', ['x', 's', 'b', 'm', 'v'], ['z', 'm2', 'v2'])),
  ],
  ['an operator that nobody knows', 'model/operator-not-allowed', withNode(models.node('Frobnicate', ['x'], ['z']))],
  [
    'weights in another file',
    'model/external-data',
    withTensor({ name: 'w', dims: [1], dataType: 1, externalData: [{ key: 'location', value: '/etc/passwd' }] }),
  ],
  [
    'weights said to be in another file',
    'model/external-data',
    withTensor({ ...models.floats('w', [1], [1]), dataLocation: onnx.TensorProto.DataLocation.EXTERNAL }),
  ],
  [
    'weights of a constant in another file',
    'model/external-data',
    withNode(
      models.node(
        'Constant',
        [],
        ['z'],
        [
          {
            name: 'value',
            type: AttributeType.TENSOR,
            t: { dims: [1], dataType: 1, externalData: [{ key: 'location', value: 'x' }] },
          },
        ],
      ),
    ),
  ],
  ['functions', 'model/unsupported-field', () => withField(25, new Uint8Array())],
  ['training information', 'model/unsupported-field', () => withField(20, new Uint8Array())],
  ['a field that no version of the format has', 'model/malformed-onnx', () => withField(77, Uint8Array.of(1, 2))],
  [
    'sparse weights',
    'model/unsupported-field',
    changed((_, graph) => void (graph.sparseInitializer = [{ dims: [1] }])),
  ],
  [
    'text as weights',
    'model/unsupported-field',
    withTensor({ name: 'w', dims: [1], dataType: 8, stringData: [Buffer.from('a')] }),
  ],
  [
    'an attribute of a function',
    'model/unsupported-field',
    withNode(models.node('Relu', ['x'], ['z'], [{ name: 'a', refAttrName: 'b' }])),
  ],
  [
    'a sequence as output',
    'model/unsupported-field',
    changed((_, graph) => void (graph.output = [{ name: 'y', type: { sequenceType: {} } }])),
  ],
  ['fewer weights than the shape says', 'model/malformed-onnx', withTensor(models.floats('w', [3], [1, 2]))],
  ['weights twice', 'model/malformed-onnx', withTensor({ ...models.floats('w', [1], [1]), floatData: [1] })],
  ['a negative dimension', 'model/too-complex', withTensor(models.floats('w', [-1], []))],
  [
    'an enormous dimension',
    'model/too-complex',
    changed((_, graph) => void (graph.valueInfo = [models.value('z', [1, 100_000, 100_000])])),
  ],
  ['too many dimensions', 'model/too-complex', withTensor(models.floats('w', Array<number>(9).fill(1), [1]))],
  [
    'too many nodes',
    'model/too-complex',
    changed(
      (_, graph) =>
        void (graph.node = Array.from({ length: ONNX_LIMITS.nodes + 1 }, () => models.node('Relu', ['x'], ['z']))),
    ),
  ],
  ['a name without end', 'model/too-complex', withNode(models.node('R'.repeat(600), ['x'], ['z']))],
  [
    'a name that is not text',
    'model/malformed-onnx',
    () => {
      const bytes = Buffer.from(models.bytesOf(good()));
      bytes[bytes.indexOf('ReduceMean')] = 0xff;
      return bytes;
    },
  ],
];

test.each(TAMPERINGS)('%s: %s', (_, code, tamper) => {
  const judged = (): unknown => inspectOnnx(tamper());
  expect(judged).toThrow(expect.objectContaining({ code, kind: 'malformed' }));
});

describe('the graph against the manifest', () => {
  const match =
    (changes: Partial<models.Graph>, manifest: object = {}) =>
    () => {
      const summary = inspectOnnx(models.bytesOf(models.modelOf(models.meansGraph(changes))));
      matchManifest(summary, { ...models.MEANS_MANIFEST, ...manifest });
    };
  const x = (dims: readonly (number | string)[] | undefined, type?: number): Partial<models.Graph> => ({
    inputs: [models.value('x', dims, type)],
  });

  test('a batch left open is fed with one', () => {
    expect(match(x(['N', 3, 16, 16]))).not.toThrow();
  });
  test('before IR version 4, weights stand among the inputs', () => {
    const w = models.floats('w', [1], [1]);
    const inputs = [models.value('x', [1, 3, 16, 16]), models.value('w', [1])];
    expect(match({ inputs, initializers: [w] })).not.toThrow();
    expect(match({ inputs })).toThrow(expect.objectContaining({ code: 'model/wrong-input' }));
  });
  const constant = models.node('Constant', [], ['y'], [models.int('value_int', 1)]);
  test.each([
    ['another name', { inputs: [models.value('q', [1, 3, 16, 16])], nodes: [models.node('Relu', ['q'], ['y'])] }],
    ['another size', x([1, 3, 32, 32])],
    ['another layout', x([1, 16, 16, 3])],
    ['an open size', x([1, 3, 'height', 'width'])],
    ['no shape', x(undefined)],
    ['another batch', x([4, 3, 16, 16])],
    ['another element type', x([1, 3, 16, 16], 11)],
    ['two inputs', { inputs: [models.value('x', [1, 3, 16, 16]), models.value('z', [1])] }],
    ['none', { inputs: [], nodes: [constant] }],
  ] as const)('an input with %s is refused', (_, changes) => {
    expect(match(changes)).toThrow(expect.objectContaining({ code: 'model/wrong-input' }));
  });
  test.each([
    ['another name', [models.value('q', [1, 3])]],
    ['another element type', [models.value('y', [1, 3], 7)]],
  ])('an output with %s is refused', (_, outputs) => {
    expect(match({ outputs })).toThrow(expect.objectContaining({ code: 'model/wrong-output' }));
  });
});

describe('any bytes give a summary or a coded refusal', () => {
  const total = (bytes: Uint8Array): void => {
    try {
      inspectOnnx(bytes);
    } catch (error) {
      expect(error).toBeInstanceOf(Failure);
      expect(error).toMatchObject({ code: expect.stringMatching(/^model\//) });
    }
  };
  test('random ones', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), total), { numRuns: 2_000 });
  });
  test('a good model with bytes changed', () => {
    const bytes = models.bytesOf(good());
    const change = fc.tuple(fc.nat(bytes.length - 1), fc.nat(255));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const broken = Uint8Array.from(bytes);
        for (const [at, byte] of changes) broken[at] = byte;
        total(broken);
      }),
      { numRuns: 5_000 },
    );
  });
  test('every way to cut a good model off is refused', () => {
    const bytes = models.bytesOf(good());
    for (let length = 0; length < bytes.length; length++) {
      expect(() => inspectOnnx(bytes.subarray(0, length)), `cut at ${length}`).toThrow(Failure);
    }
  });
});

describeWithVectors('real models read as another reader reads them', (folder) => {
  test.each(['FastestDet', 'yolox-nano', 'ultraface-RFB-320', 'mnist'])('%s', (name) => {
    const bytes = readFileSync(join(folder, 'models', `${name}.onnx`));
    const { graph, irVersion, opsetImport } = onnx.ModelProto.decode(bytes);
    const operators = new Map<string, number>();
    for (const { opType } of graph?.node ?? []) operators.set(opType ?? '', (operators.get(opType ?? '') ?? 0) + 1);
    const weights = new Set(graph?.initializer?.map((tensor) => tensor.name));
    const values = (list: readonly onnx.IValueInfoProto[] = []): unknown =>
      list.map((value) => ({
        name: value.name,
        element: 'float32',
        shape: value.type?.tensorType?.shape?.dim?.map((dim) => Number(dim.dimValue)),
      }));
    expect(inspectOnnx(bytes)).toEqual({
      irVersion: Number(irVersion),
      opset: Number(opsetImport[0]?.version),
      operators,
      initializers: weights.size,
      inputs: values(graph?.input?.filter((value) => !weights.has(value.name))),
      outputs: values(graph?.output ?? []),
    });
  });
});
