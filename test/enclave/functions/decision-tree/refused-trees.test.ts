/** Trees that are none, or none that the policy takes: each is refused with its own code, in words for its owner. */
import { describe, expect, test } from 'vitest';
import type { TreeManifest } from '../../../../enclave/functions/model-manifest.ts';
import { checkTree, RULES, type Tree } from '../../../../enclave/functions/decision-tree/tree.ts';
import { readTree } from '../../../../enclave/jail/tree-file.ts';
import {
  attributesOf,
  classifier,
  fileOf,
  floats,
  ints,
  plainWeights,
  texts,
  treeFile,
  type Attribute,
} from './onnx-trees.ts';

const BOUNDS = { depth: 3, nodes: 9, features: 4 };
const TERMS = { features: 2, labels: 3 };
const rule = RULES.BRANCH_LEQ;
const leaf = (label: number) => ({ label });
const decision = (yes: number, no: number, feature = 0, threshold = 1) => ({ feature, rule, threshold, yes, no });
const GOOD: Tree = [decision(1, 2), leaf(0), decision(3, 4, 1), leaf(1), leaf(2)];
const MANIFEST: TreeManifest = {
  apiVersion: 'accord/v1',
  name: 'tree',
  labels: ['a', 'b', 'c'],
  input: { features: ['x', 'y'] },
  output: { kind: 'tree', format: 'json' },
};
const ONNX: TreeManifest = { ...MANIFEST, output: { kind: 'tree', format: 'onnx' } };

const chain = (depth: number): Tree => [
  ...Array.from({ length: depth }, (_, index) => decision(2 * index + 1, 2 * index + 2)).flatMap((node, index) =>
    index === 0 ? [node] : [leaf(0), node],
  ),
  leaf(0),
  leaf(1),
];

const TABLES: readonly (readonly [name: string, tree: Tree, code: string, words: string])[] = [
  ['no node', [], 'model/malformed-tree', 'no nodes'],
  ['a cycle', [decision(1, 2), leaf(0), decision(0, 1)], 'model/malformed-tree', 'part of a cycle'],
  ['a node that is its own child', [decision(0, 1), leaf(0)], 'model/malformed-tree', 'part of a cycle'],
  ['a shared node', [decision(1, 1), leaf(0)], 'model/malformed-tree', 'it is shared'],
  ['a missing child', [decision(1, 7), leaf(0)], 'model/malformed-tree', 'a child that is not there'],
  ['a node out of reach', [leaf(0), leaf(1)], 'model/malformed-tree', 'no walk from the root comes to node 1'],
  ['too many nodes', Array.from({ length: 10 }, () => leaf(0)), 'model/too-complex', 'the tree has 10 nodes'],
  ['too deep', chain(4), 'model/too-complex', 'more than 3 decisions'],
  ['a feature beyond the record', [decision(1, 2, 2), leaf(0), leaf(1)], 'model/wrong-input', 'feature 2 of 2'],
  ['a label beyond the manifest', [leaf(3)], 'model/wrong-output', 'label 3 of 3'],
  ['a label below zero', [leaf(-1)], 'model/wrong-output', 'label -1 of 3'],
  ['half a label', [leaf(0.5)], 'model/wrong-output', 'label 0.5 of 3'],
  ['a feature below zero', [decision(1, 2, -1), leaf(0), leaf(1)], 'model/wrong-input', 'feature -1 of 2'],
  ['half a feature', [decision(1, 2, 0.5), leaf(0), leaf(1)], 'model/wrong-input', 'feature 0.5 of 2'],
  ['a threshold that is NaN', [decision(1, 2, 0, Number.NaN), leaf(0), leaf(1)], 'model/not-finite', 'NaN'],
];

describe('a table', () => {
  test('that is a tree within the bounds is taken', () => {
    expect(() => checkTree(GOOD, TERMS, BOUNDS)).not.toThrow();
    expect(() => checkTree(chain(3), TERMS, BOUNDS)).not.toThrow();
  });
  test.each(TABLES)('with %s is refused', (_, tree, code, words) => {
    expect(() => checkTree(tree, TERMS, BOUNDS)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(words) }),
    );
  });
});

const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const yes = { label: 'a' };
const written = { feature: 'x', is: '<=', value: 1, yes, no: { label: 'b' } };
const TEXTS: readonly (readonly [name: string, file: Uint8Array, code: string, words: string])[] = [
  ['bytes that are no text', Uint8Array.of(0xff), 'model/malformed-tree', 'not UTF-8'],
  ['text that is no JSON', new TextEncoder().encode('{"tree":'), 'model/malformed-tree', 'not JSON'],
  [
    'a name twice',
    new TextEncoder().encode('{"tree":{"label":"a","label":"b"}}'),
    'model/malformed-tree',
    'stands twice',
  ],
  ['a test that is none', json({ tree: { ...written, is: '<>' } }), 'model/malformed-tree', '/tree/is'],
  ['no child', json({ tree: { ...written, no: undefined } }), 'model/malformed-tree', "'no'"],
  ['a threshold of no float32', json({ tree: { ...written, value: 1e39 } }), 'model/malformed-tree', '/tree/value'],
  ['a feature by another name', json({ tree: { ...written, feature: 'z' } }), 'model/wrong-input', 'no feature "z"'],
  [
    'a label by another name',
    json({ tree: { ...written, yes: { label: 'z' } } }),
    'model/wrong-output',
    'no label "z"',
  ],
];

describe('JSON', () => {
  test('that is a tree is taken', () => {
    expect(readTree(json({ tree: written }), MANIFEST, BOUNDS)).toEqual([decision(1, 2), leaf(0), leaf(1)]);
  });
  test.each(TEXTS)('with %s is refused', (_, file, code, words) => {
    expect(() => readTree(file, MANIFEST, BOUNDS)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(words) }),
    );
  });
  test('with more features than the policy takes is refused', () => {
    expect(() => readTree(json({ tree: written }), MANIFEST, { ...BOUNDS, features: 1 })).toThrow(
      expect.objectContaining({ code: 'model/too-complex' }),
    );
  });
});

const changed = (...changes: readonly Attribute[]): Uint8Array =>
  treeFile(attributesOf(GOOD, 3, plainWeights(GOOD, 3), changes), 2);
const node = (): ReturnType<typeof classifier> => classifier(attributesOf(GOOD, 3));
const after = (opType: string, input: string, domain = '') => ({ opType, domain, input: [input], output: ['z'] });
const FILES: readonly (readonly [name: string, file: Uint8Array, code: string, words: string])[] = [
  ['bytes that are no ONNX', Uint8Array.of(1, 2, 3), 'model/malformed-onnx', 'malformed'],
  [
    'several trees',
    changed(ints('nodes_treeids', [0, 0, 0, 1, 1])),
    'model/unsupported-field',
    'an ensemble of 2 trees',
  ],
  ['a cycle', changed(ints('nodes_falsenodeids', [2, 0, 0, 0, 0])), 'model/malformed-tree', 'part of a cycle'],
  ['a missing child', changed(ints('nodes_truenodeids', [1, 0, 99, 0, 0])), 'model/malformed-tree', 'not there'],
  ['two nodes of one number', changed(ints('nodes_nodeids', [0, 1, 2, 3, 3])), 'model/malformed-tree', 'same number'],
  ['a column too short', changed(floats('nodes_values', [1])), 'model/malformed-tree', 'nodes_values has 1 values'],
  ['a threshold that is NaN', changed(floats('nodes_values', [Number.NaN, 0, 1, 0, 0])), 'model/not-finite', 'NaN'],
  [
    'a mode that is none',
    changed(texts('nodes_modes', ['BRANCH_MEMBER', 'LEAF', 'LEAF', 'LEAF', 'LEAF'])),
    'model/unsupported-field',
    'BRANCH_MEMBER',
  ],
  [
    'a feature beyond the record',
    changed(ints('nodes_featureids', [5, 0, 1, 0, 0])),
    'model/wrong-input',
    'feature 5 of 2',
  ],
  [
    'a class beyond the labels',
    changed(ints('class_ids', [0, 1, 7, 0, 1, 2, 0, 1, 2])),
    'model/wrong-output',
    'class 7',
  ],
  ['other classes than the labels', changed(ints('classlabels_int64s', [0, 1])), 'model/wrong-output', '2 classes'],
  ['base values', changed(floats('base_values', [1, 1, 1])), 'model/unsupported-field', 'base_values'],
  [
    'float64 thresholds',
    changed({ name: 'nodes_values_as_tensor' }),
    'model/unsupported-field',
    'nodes_values_as_tensor',
  ],
  [
    'a node before it',
    fileOf({ nodes: [after('Cast', 'x'), node()], outputs: ['label'], features: 2 }),
    'model/operator-not-allowed',
    'Cast',
  ],
  [
    'another operator',
    fileOf({ nodes: [node(), after('ArgMax', 'label_scores')], outputs: ['label'], features: 2 }),
    'model/operator-not-allowed',
    'ArgMax',
  ],
  [
    'two of them',
    fileOf({ nodes: [node(), node()], outputs: ['label'], features: 2 }),
    'model/unsupported-field',
    'second',
  ],
  [
    'a float64 input',
    fileOf({ nodes: [node()], outputs: ['label'], features: 2, element: 11 }),
    'model/wrong-input',
    'float32',
  ],
  [
    'a later set of operators',
    fileOf({ nodes: [node()], outputs: ['label'], features: 2, mlVersion: 5 }),
    'model/unsupported-opset',
    'version 5',
  ],
  [
    'none',
    fileOf({ nodes: [], outputs: ['label'], features: 2 }),
    'model/operator-not-allowed',
    'no TreeEnsembleClassifier',
  ],
];

describe('ONNX', () => {
  test('that is one tree is taken, also with what exporters add after it', () => {
    expect(readTree(changed(), ONNX, BOUNDS)).toEqual(GOOD);
    const named = changed(texts('classlabels_strings', ['a', 'b', 'c']), ints('classlabels_int64s', []));
    expect(readTree(named, ONNX, BOUNDS)).toEqual(GOOD);
    const zipped = [node(), after('Cast', 'label'), after('ZipMap', 'label_scores', 'ai.onnx.ml')];
    expect(readTree(fileOf({ nodes: zipped, outputs: ['z'], features: 2 }), ONNX, BOUNDS)).toEqual(GOOD);
  });
  test.each(FILES)('with %s is refused', (_, file, code, words) => {
    expect(() => readTree(file, ONNX, BOUNDS)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(words) }),
    );
  });
});
