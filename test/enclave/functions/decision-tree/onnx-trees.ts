/** Trees as ONNX files, made with onnx-proto as exporters make them. */
import type { onnx } from 'onnx-proto';
import onnxProto from 'onnx-proto';
import { isLeaf, MISSING, RULES, type Tree } from '../../../../enclave/functions/decision-tree/tree.ts';

const { AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, ValueInfoProto } = onnxProto.onnx;
const { AttributeType } = AttributeProto;
const FLOAT = 1;
const INT64 = 7;

export type Attribute = onnx.IAttributeProto;

export const ints = (name: string, values: readonly number[]): Attribute => ({
  name,
  type: AttributeType.INTS,
  ints: [...values],
});
export const floats = (name: string, values: readonly number[]): Attribute => ({
  name,
  type: AttributeType.FLOATS,
  floats: [...values],
});
export const texts = (name: string, values: readonly string[]): Attribute => ({
  name,
  type: AttributeType.STRINGS,
  strings: values.map((value) => new TextEncoder().encode(value)),
});

/** Weights of each class by leaf; what is absent has none. */
export type LeafWeights = ReadonlyMap<number, readonly (readonly [classId: number, weight: number])[]>;

/** One class of a leaf has all the weight; of two classes the weight of the second alone is given. */
export function plainWeights(tree: Tree, classes: number): LeafWeights {
  const leaves = [...tree.entries()].flatMap(([index, node]) => (isLeaf(node) ? [[index, node.label] as const] : []));
  return new Map(
    leaves.map(([index, label]) => {
      const all = Array.from({ length: classes }, (_, id) => [id, id === label ? 1 : 0] as const);
      return [index, classes === 2 ? [[0, label] as const] : all];
    }),
  );
}

/** Attributes of the one node; `changes` replace those of the same name. */
export function attributesOf(
  tree: Tree,
  classes: number,
  weights: LeafWeights = plainWeights(tree, classes),
  changes: readonly Attribute[] = [],
): readonly Attribute[] {
  const column = (pick: (node: Tree[number], index: number) => number): number[] => tree.map(pick);
  const entries = [...weights].flatMap(([node, list]) => list.map(([id, weight]) => ({ node, id, weight })));
  const attributes = [
    ints(
      'nodes_treeids',
      column(() => 0),
    ),
    ints(
      'nodes_nodeids',
      column((_, index) => index),
    ),
    ints(
      'nodes_featureids',
      column((node) => (isLeaf(node) ? 0 : node.feature)),
    ),
    texts(
      'nodes_modes',
      tree.map((node) => {
        if (isLeaf(node)) return 'LEAF';
        const exact = Object.entries(RULES).find(([, rule]) => rule === node.rule);
        return (exact ?? Object.entries(RULES).find(([, rule]) => (rule | MISSING) === node.rule))?.[0] ?? '?';
      }),
    ),
    floats(
      'nodes_values',
      column((node) => (isLeaf(node) ? 0 : node.threshold)),
    ),
    ints(
      'nodes_truenodeids',
      column((node) => (isLeaf(node) ? 0 : node.yes)),
    ),
    ints(
      'nodes_falsenodeids',
      column((node) => (isLeaf(node) ? 0 : node.no)),
    ),
    ints(
      'nodes_missing_value_tracks_true',
      column((node) => (!isLeaf(node) && (node.rule & MISSING) !== 0 ? 1 : 0)),
    ),
    ints(
      'class_treeids',
      entries.map(() => 0),
    ),
    ints(
      'class_nodeids',
      entries.map(({ node }) => node),
    ),
    ints(
      'class_ids',
      entries.map(({ id }) => id),
    ),
    floats(
      'class_weights',
      entries.map(({ weight }) => weight),
    ),
    ints(
      'classlabels_int64s',
      Array.from({ length: classes }, (_, index) => index),
    ),
    { name: 'post_transform', type: AttributeType.STRING, s: new TextEncoder().encode('NONE') },
  ];
  const replaced = new Set(changes.map(({ name }) => name));
  return [...attributes.filter(({ name }) => !replaced.has(name)), ...changes];
}

export interface ModelParts {
  readonly nodes: readonly onnx.INodeProto[];
  readonly outputs: readonly string[];
  readonly features: number;
  readonly element?: number;
  readonly mlVersion?: number;
}

export function classifier(attributes: readonly Attribute[], name = 'label'): onnx.NodeProto {
  return NodeProto.create({
    opType: 'TreeEnsembleClassifier',
    domain: 'ai.onnx.ml',
    input: ['x'],
    output: [name, `${name}_scores`],
    attribute: [...attributes],
  });
}

export function fileOf({ nodes, outputs, features, element = FLOAT, mlVersion = 3 }: ModelParts): Uint8Array {
  const value = (name: string, elemType: number, dims: readonly onnx.TensorShapeProto.IDimension[]) =>
    ValueInfoProto.create({ name, type: { tensorType: { elemType, shape: { dim: [...dims] } } } });
  const model = ModelProto.create({
    irVersion: 8,
    producerName: 'test',
    opsetImport: [
      OperatorSetIdProto.create({ domain: '', version: 13 }),
      OperatorSetIdProto.create({ domain: 'ai.onnx.ml', version: mlVersion }),
    ],
    graph: GraphProto.create({
      name: 'graph',
      node: [...nodes],
      input: [value('x', element, [{ dimParam: 'N' }, { dimValue: features }])],
      output: outputs.map((name) => value(name, INT64, [{ dimParam: 'N' }])),
    }),
  });
  return ModelProto.encode(model).finish();
}

/** One tree in one file. */
export const treeFile = (attributes: readonly Attribute[], features: number): Uint8Array =>
  fileOf({ nodes: [classifier(attributes)], outputs: ['label'], features });
