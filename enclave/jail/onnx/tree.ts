/**
 * A decision tree out of an ONNX file: one TreeEnsembleClassifier of one tree, and after it at most nodes that hand its
 * outputs on, as exporters add them. Its label for a leaf is onnxruntime's.
 */
import { isLeaf, MISSING, RULES, type Tree, type TreeNode } from '../../functions/decision-tree/tree.ts';
import type { TreeManifest } from '../../functions/model-manifest.ts';
import { modelFailure, type ModelCode } from '../../functions/model-refusal.ts';
import * as format from './format.ts';
import { readMessage, text, type Message, type Reader } from './protobuf.ts';
import { labelOfLeaf, readWeights, type Weights } from './tree-weights.ts';
import { readAttributes, type Attributes } from './tree-attributes.ts';

const OPERATOR = 'TreeEnsembleClassifier';
const ML = 'ai.onnx.ml';
/** TreeEnsembleClassifier is of these versions of ONNX's operators for machine learning. */
const ML_VERSIONS = { from: 1, to: 4 } as const;
/** They change the form of the label or of the scores, and not which label it is. */
const HANDING_ON: ReadonlySet<string> = new Set(['Cast', 'Identity', `${ML}.ZipMap`, `${ML}.Normalizer`]);
const LIMITS = { fields: 1_000_000, nodes: 16, treeNodes: 65_536, nameBytes: 512 } as const;
const FLOAT = 1n;

export interface OnnxTree {
  readonly tree: Tree;
  /** A node as the file calls it. */
  readonly name: (index: number) => string;
}

/** Throws `Failure<ModelCode>`. The tree itself is for `checkTree` to judge. */
export function tableOfOnnx(bytes: Uint8Array, manifest: TreeManifest): OnnxTree {
  const reader: Reader = { bytes, budget: LIMITS.fields };
  const model = readMessage(reader, { start: 0, end: bytes.length }, format.MODEL, 'model');
  checkOperatorSets(reader, model);
  const range = model.ranges(7)[0];
  if (range === undefined) throw refused('model/malformed-onnx', 'the ONNX file is malformed: no graph', 'model');
  const graph = readMessage(reader, range, format.GRAPH, 'graph');
  const node = findClassifier(reader, graph);
  checkInput(reader, graph, node);
  const attributes = readAttributes(reader, node, LIMITS.nameBytes);
  return layOut(attributes, readWeights(attributes, manifest.labels));
}

const refused = (code: ModelCode, message: string, where: string, hint?: string): Error =>
  modelFailure(code, message, where, hint);

function checkOperatorSets(reader: Reader, model: Message): void {
  for (const range of model.ranges(8)) {
    const set = readMessage(reader, range, format.OPSET, 'opset_import');
    const domain = name(reader, set, 1, 'opset_import');
    const version = set.ints(2)[0] ?? 0n;
    if (domain !== '' && domain !== 'ai.onnx' && domain !== ML) {
      throw refused('model/custom-operator', `operators of domain ${domain} are not taken`, 'opset_import');
    }
    if (domain === ML && (version < BigInt(ML_VERSIONS.from) || version > BigInt(ML_VERSIONS.to))) {
      const message = `version ${version} of ${ML} is not taken; ${ML_VERSIONS.from} to ${ML_VERSIONS.to} are`;
      throw refused('model/unsupported-opset', message, 'opset_import', 'export the model again with one of those');
    }
  }
}

/** The one node that decides. What else there is only hands on what it said. */
function findClassifier(reader: Reader, graph: Message): Message {
  const ranges = graph.ranges(1);
  if (ranges.length > LIMITS.nodes) {
    throw refused('model/too-complex', `${ranges.length} nodes; a tree is one, and at most a few after it`, 'graph');
  }
  let found: Message | undefined;
  const said = new Set<string>();
  for (const [index, range] of ranges.entries()) {
    const where = `node ${index}`;
    const node = readMessage(reader, range, format.NODE, where);
    const domain = name(reader, node, 7, where);
    const operator =
      domain === '' || domain === 'ai.onnx'
        ? name(reader, node, 4, where)
        : `${domain}.${name(reader, node, 4, where)}`;
    const inputs = node.ranges(1).map((input) => text(reader, input, LIMITS.nameBytes, where));
    if (operator === `${ML}.${OPERATOR}`) {
      if (found !== undefined) throw refused('model/unsupported-field', `a second ${OPERATOR} is not taken`, where);
      found = node;
    } else if (!HANDING_ON.has(operator) || !inputs.every((input) => said.has(input))) {
      const message = `${operator} is not taken there: a tree is one ${OPERATOR}, and what hands its outputs on`;
      throw refused('model/operator-not-allowed', message, where, 'export the tree alone, without scaling or encoding');
    }
    for (const output of node.ranges(2)) said.add(text(reader, output, LIMITS.nameBytes, where));
  }
  if (found === undefined) {
    throw refused(
      'model/operator-not-allowed',
      `the file has no ${OPERATOR}`,
      'graph',
      'export a tree that classifies',
    );
  }
  return found;
}

/** The graph's only input, float32, goes straight into the tree. */
function checkInput(reader: Reader, graph: Message, node: Message): void {
  const inputs = graph.ranges(11);
  const fed = node.ranges(1).map((input) => text(reader, input, LIMITS.nameBytes, OPERATOR));
  const only = inputs[0] && readMessage(reader, inputs[0], format.VALUE, 'input 0');
  const called = only && name(reader, only, 1, 'input 0');
  if (
    only === undefined ||
    inputs.length !== 1 ||
    fed.length !== 1 ||
    fed[0] !== called ||
    graph.ranges(5).length > 0
  ) {
    throw refused('model/wrong-input', 'the tree must be fed with the one input of the graph', 'inputs');
  }
  const type = only.ranges(2)[0];
  const tensor = type && readMessage(reader, type, format.TYPE, 'input 0').ranges(1)[0];
  const element = tensor && readMessage(reader, tensor, format.TENSOR_TYPE, 'input 0').ints(1)[0];
  if (element !== FLOAT) throw refused('model/wrong-input', 'the input is not a tensor of float32', called ?? '');
}

function layOut(attributes: Attributes, weights: Weights): OnnxTree {
  const ids = attributes.ints('nodes_nodeids');
  if (ids.length > LIMITS.treeNodes) throw refused('model/too-complex', `${ids.length} nodes of trees`, OPERATOR);
  const trees = new Set([...attributes.ints('nodes_treeids'), ...attributes.ints('class_treeids')]);
  if (trees.size > 1) {
    throw refused('model/unsupported-field', `an ensemble of ${trees.size} trees; one tree is taken`, OPERATOR);
  }
  const column = <T>(values: readonly T[], called: string): readonly T[] => {
    if (values.length === ids.length) return values;
    throw refused('model/malformed-tree', `${called} has ${values.length} values for ${ids.length} nodes`, OPERATOR);
  };
  const ints = (called: string): readonly number[] => column(attributes.ints(called), called);
  const features = ints('nodes_featureids');
  const modes = column(attributes.strings('nodes_modes'), 'nodes_modes');
  const thresholds = column(attributes.floats('nodes_values'), 'nodes_values');
  const [trueIds, falseIds] = [ints('nodes_truenodeids'), ints('nodes_falsenodeids')];
  const named = attributes.ints('nodes_missing_value_tracks_true');
  const missing = named.length === 0 ? ids.map(() => 0) : column(named, 'nodes_missing_value_tracks_true');
  const places = new Map(ids.map((id, index) => [id, index]));
  if (places.size !== ids.length) throw refused('model/malformed-tree', 'two nodes have the same number', OPERATOR);
  const called = (index: number): string => `node ${ids[index] ?? '?'}`;
  const tree = ids.map((id, index): TreeNode => {
    const mode = modes[index] ?? '';
    if (mode === 'LEAF') return { label: labelOfLeaf(weights, id) };
    const rule = Object.entries(RULES).find(([rule]) => rule === mode)?.[1];
    if (rule === undefined) throw refused('model/unsupported-field', `the mode ${mode} is not taken`, called(index));
    return {
      feature: features[index] ?? -1,
      rule: missing[index] === 0 ? rule : rule | MISSING,
      threshold: thresholds[index] ?? Number.NaN,
      yes: places.get(trueIds[index] ?? -1) ?? -1,
      no: places.get(falseIds[index] ?? -1) ?? -1,
    };
  });
  for (const id of weights.leaves.keys()) {
    const node = tree[places.get(id) ?? -1];
    if (node === undefined || !isLeaf(node)) {
      throw refused('model/malformed-tree', `class_nodeids names node ${id}, which is no leaf`, OPERATOR);
    }
  }
  return { tree, name: called };
}

function name(reader: Reader, message: Message, field: number, where: string): string {
  const range = message.ranges(field)[0];
  return range === undefined ? '' : text(reader, range, LIMITS.nameBytes, where);
}
