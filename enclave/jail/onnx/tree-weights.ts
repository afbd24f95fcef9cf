/** Which label a leaf of a TreeEnsembleClassifier gives, as onnxruntime computes it for one tree. */
import { modelFailure } from '../../functions/model-refusal.ts';
import type { Attributes } from './tree-attributes.ts';

export interface Weights {
  /** Leaf (as the file numbers it) -> class -> weight. */
  readonly leaves: ReadonlyMap<number, ReadonlyMap<number, number>>;
  readonly classes: number;
  /** With two classes: the second is the label where its weight is greater. */
  readonly threshold: number;
}

/** Throws `Failure<ModelCode>` where labels are not the manifest's, or weights none that mean one label each. */
export function readWeights(attributes: Attributes, labels: readonly string[]): Weights {
  checkLabels(attributes, labels);
  if (attributes.floats('base_values').length > 0) {
    throw unsupported('base_values are not taken: give the leaves their whole weights');
  }
  const nodes = attributes.ints('class_nodeids');
  const classes = attributes.ints('class_ids');
  const weights = attributes.floats('class_weights');
  if (nodes.length !== classes.length || nodes.length !== weights.length) {
    throw malformed(`${nodes.length} class_nodeids, ${classes.length} class_ids and ${weights.length} class_weights`);
  }
  const leaves = new Map<number, Map<number, number>>();
  for (const [index, node] of nodes.entries()) {
    const label = classes[index] ?? -1;
    const weight = weights[index] ?? Number.NaN;
    if (!(label >= 0 && label < labels.length)) {
      throw modelFailure('model/wrong-output', `class ${label} of ${labels.length} is not there`, `node ${node}`);
    }
    if (!Number.isFinite(weight)) throw modelFailure('model/not-finite', 'a weight is NaN or infinite', `node ${node}`);
    const leaf = leaves.get(node) ?? new Map<number, number>();
    if (leaf.has(label)) throw malformed(`node ${node} gives class ${label} two weights`);
    leaves.set(node, leaf.set(label, weight));
  }
  if (labels.length === 2 && new Set(classes).size > 1) {
    throw unsupported('of two classes, the weights of one alone are taken: ONNX does not say what those of both mean');
  }
  // Probabilities, or scores on both sides of zero.
  const threshold = weights.every((weight) => weight >= 0) ? 0.5 : 0;
  return { leaves, classes: labels.length, threshold };
}

/** Index of the label. Throws `Failure<ModelCode>` for a leaf without weights. */
export function labelOfLeaf({ leaves, classes, threshold }: Weights, node: number): number {
  const weights = [...(leaves.get(node) ?? [])].sort(([a], [b]) => a - b);
  const [first, ...others] = weights;
  if (first === undefined) throw malformed(`node ${node} is a leaf without weights`);
  if (classes === 2) return first[1] > threshold ? 1 : 0;
  return others.reduce((best, other) => (other[1] > best[1] ? other : best), first)[0];
}

function checkLabels(attributes: Attributes, labels: readonly string[]): void {
  const texts = attributes.strings('classlabels_strings');
  const numbers = attributes.ints('classlabels_int64s');
  const count = texts.length + numbers.length;
  const message =
    texts.length > 0 && numbers.length > 0
      ? 'the tree names its classes twice'
      : count < 2
        ? 'the tree names fewer than two classes'
        : count !== labels.length
          ? `the tree has ${count} classes; the manifest has ${labels.length} labels`
          : texts.some((text, index) => text !== labels[index])
            ? "the manifest's labels are not the tree's classes, in their order"
            : undefined;
  if (message === undefined) return;
  throw modelFailure('model/wrong-output', message, 'classlabels', 'make the manifest say what the ONNX file has');
}

const malformed = (message: string): Error => modelFailure('model/malformed-tree', message, 'TreeEnsembleClassifier');
const unsupported = (message: string): Error =>
  modelFailure('model/unsupported-field', message, 'TreeEnsembleClassifier');
