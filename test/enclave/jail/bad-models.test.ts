/** Models that are refused, through the whole of `startComputer`: what only a trial run shows, and how it is told. */
import { onnx } from 'onnx-proto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Timers } from '../../../enclave/deadline.ts';
import { startComputer } from '../../../enclave/jail/gate-side.ts';
import { createNursery } from '../../../enclave/jail/nursery.ts';
import { ONNX_LIMITS } from '../../../enclave/jail/onnx/inspect.ts';
import { LOAD_MS } from '../../../enclave/jail/stages.ts';
import type { ModelPackage } from '../../../enclave/functions/model-package.ts';
import { realTimers } from '../real-timers.ts';
import { jailEntries, type Entries } from './entries.ts';
import * as models from './models.ts';

let entries: Entries;
beforeAll(async () => {
  entries = await jailEntries();
});
afterAll(() => entries.remove());

const load = (model: ModelPackage, timers: Timers = realTimers): Promise<unknown> => {
  const kind = 'image-classification';
  const policy = models.policyFor(kind);
  return startComputer({ kind, model, policy, paths: entries.paths, timers, nursery: createNursery(1) }).then(
    (computer) => computer.close(),
  );
};
/** A second and a half is all that loading has. */
const hasty: Timers = (milliseconds, run) => realTimers(milliseconds === LOAD_MS ? 1_500 : milliseconds, run);
const graph = (changes: Partial<models.Graph>): ModelPackage =>
  models.meansModel(models.bytesOf(models.modelOf(models.meansGraph(changes))));
const mean = models.node('ReduceMean', ['x'], ['m'], [models.ints('axes', [2, 3]), models.int('keepdims', 0)]);
const scalar = (name: string, value: number): onnx.ITensorProto => models.floats(name, [1], [value]);

test.each([
  ['garbage', () => models.meansModel(Buffer.from('garbage')), 'model/malformed-onnx', /malformed/],
  [
    'half of a model',
    () => models.meansModel(models.bytesOf(models.modelOf(models.meansGraph())).subarray(0, 60)),
    'model/malformed-onnx',
    /malformed/,
  ],
  [
    'more operators than are taken',
    () => graph({ nodes: Array.from({ length: ONNX_LIMITS.nodes + 1 }, () => models.node('Relu', ['x'], ['y'])) }),
    'model/too-complex',
    /nodes/,
  ],
  [
    'more weights than are taken',
    () => graph({ initializers: [{ name: 'w', dims: [100_000, 100_000], dataType: 1 }] }),
    'model/too-complex',
    /100000|dimension|numbers/,
  ],
  [
    'external data',
    () =>
      graph({ initializers: [{ name: 'w', dims: [1], dataType: 1, externalData: [{ key: 'location', value: 'w' }] }] }),
    'model/external-data',
    /external_data.*initializer 0/,
  ],
  ['control flow', () => graph({ nodes: [models.node('Loop', ['x'], ['y'])] }), 'model/control-flow', /Loop/],
  [
    'a custom operator',
    () =>
      graph({ nodes: [onnx.NodeProto.create({ opType: 'Evil', domain: 'my.domain', input: ['x'], output: ['y'] })] }),
    'model/custom-operator',
    /Evil of domain my\.domain/,
  ],
  [
    'another input shape',
    () => graph({ inputs: [models.value('x', [1, 3, 8, 8])] }),
    'model/wrong-input',
    /1, 3, 8, 8.*1, 3, 16, 16/,
  ],
  [
    'fewer classes than labels',
    () => models.meansModel(undefined, { labels: ['red', 'green'] }),
    'model/wrong-output',
    /y has 3 numbers; the manifest has 2 labels/,
  ],
  [
    'NaN',
    () =>
      graph({
        nodes: [mean, models.node('Sub', ['m', 'm'], ['zero']), models.node('Div', ['zero', 'zero'], ['y'])],
      }),
    'model/not-finite',
    /NaN/,
  ],
  [
    'infinity',
    () => graph({ nodes: [mean, models.node('Mul', ['m', 'big'], ['y'])], initializers: [scalar('big', 3e38)] }),
    'model/not-finite',
    /infinity/,
  ],
  [
    'scores that are none',
    () => models.meansModel(undefined, { output: { kind: 'classification', tensor: 'y', activation: 'none' } }),
    'model/wrong-output',
    /outside 0 to 1/,
  ],
  [
    'a graph that does not hang together',
    () => graph({ nodes: [models.node('Relu', ['nowhere'], ['y'])] }),
    'model/malformed-onnx',
    /nowhere is read, and nothing before makes it/,
  ],
  [
    'an operator without the attribute it needs',
    () => graph({ nodes: [models.node('Concat', ['x'], ['y'])] }),
    'model/session-refused',
    /onnxruntime does not take the model/,
  ],
  [
    'work that grows with the picture',
    () =>
      graph({
        nodes: [
          mean,
          models.node('Cast', ['m'], ['n'], [models.int('to', 7)]),
          models.node('Reshape', ['n', 'three'], ['size']),
          models.node('ConstantOfShape', ['size'], ['zeros']),
          models.node('ReduceSum', ['zeros'], ['sum'], [models.int('keepdims', 0)]),
          models.node('Add', ['m', 'sum'], ['y']),
        ],
        initializers: [models.longs('three', [3])],
      }),
    'model/operator-not-allowed',
    /size gives a size \(input of ConstantOfShape\), and may follow from the picture/,
  ],
  [
    'a tensor of 400 GB',
    () =>
      graph({
        nodes: [
          models.node('Expand', ['one', 'shape'], ['huge']),
          models.node('ReduceSum', ['huge'], ['sum'], [models.int('keepdims', 0)]),
          mean,
          models.node('Mul', ['m', 'sum'], ['y']),
        ],
        initializers: [scalar('one', 1), models.longs('shape', [100, 100_000, 10_000])],
      }),
    'model/session-refused',
    /onnxruntime/,
  ],
] as const)('%s is refused: %#', async (_, model, code, message) => {
  const refused = load(model());
  await expect(refused).rejects.toMatchObject({ code, kind: 'malformed' });
  await expect(refused).rejects.toThrow(message);
});

test('what takes too long is refused, and ended', async () => {
  await expect(load(models.slowModel(500), hasty)).rejects.toMatchObject({ code: 'model/too-slow' });
});

test('a refusal is plain text of bounded length, whatever the model’s names hold', async () => {
  const name = `\u001b[31m\n${'n'.repeat(400)}`;
  const nodes = [models.node('Relu', [name], ['y'])];
  const refused = load(graph({ inputs: [models.value(name, [1, 3, 16, 16])], nodes }));
  await expect(refused).rejects.toThrow(/^[\x20-\x7e]{20,400}$/);
});
