/**
 * A decision tree as a table, and what is demanded of one: that every walk from the root ends at a leaf, within the bounds
 * of the policy. Whatever a tree came from, it is judged here.
 */
import type { TreeBounds } from '../../../policies/model.ts';
import { modelFailure, type ModelCode } from '../model-refusal.ts';

/** Where a number may stand to a threshold; a test holds for some of these. */
const LESS = 1;
const EQUAL = 2;
const GREATER = 4;
/** Holds for a number that is NaN. */
export const MISSING = 8;

/** A test, by the name that ONNX gives it. */
export type Rule = 'BRANCH_LEQ' | 'BRANCH_LT' | 'BRANCH_GTE' | 'BRANCH_GT' | 'BRANCH_EQ' | 'BRANCH_NEQ';

/** Tests as the kernel takes them. NaN is unequal to every number. */
export const RULES: Readonly<Record<Rule, number>> = {
  BRANCH_LEQ: LESS | EQUAL,
  BRANCH_LT: LESS,
  BRANCH_GTE: GREATER | EQUAL,
  BRANCH_GT: GREATER,
  BRANCH_EQ: EQUAL,
  BRANCH_NEQ: LESS | GREATER | MISSING,
};

export interface Decision {
  /** Index into the record. */
  readonly feature: number;
  /** One of `RULES`, with `MISSING` added or not. */
  readonly rule: number;
  /** A float32, not NaN. */
  readonly threshold: number;
  /** Indexes of the next nodes: where the test holds, and where it does not. */
  readonly yes: number;
  readonly no: number;
}

export interface Leaf {
  /** Index into the manifest's labels. */
  readonly label: number;
}

export type TreeNode = Decision | Leaf;

/** The root comes first. */
export type Tree = readonly TreeNode[];

/** What the manifest says there is. */
export interface TreeTerms {
  readonly features: number;
  readonly labels: number;
}

export const isLeaf = (node: TreeNode): node is Leaf => 'label' in node;

/** A manifest with more features than the policy's bound. Throws `Failure<ModelCode>`. */
export function checkFeatures(features: number, bounds: TreeBounds): void {
  if (features <= bounds.features) return;
  const message = `the model takes ${features} features; the policy takes at most ${bounds.features}`;
  throw modelFailure('model/too-complex', message, 'manifest /input/features');
}

/** Throws `Failure<ModelCode>` where it is no tree, or none within the bounds. `name` names a node in refusals. */
export function checkTree(
  tree: Tree,
  terms: TreeTerms,
  bounds: TreeBounds,
  name: (index: number) => string = (index) => `node ${index}`,
): void {
  const refuse = (code: ModelCode, message: string, where = 'tree'): never => {
    throw modelFailure(code, message, where);
  };
  if (tree.length === 0) refuse('model/malformed-tree', 'the tree has no nodes');
  if (tree.length > bounds.nodes) {
    refuse('model/too-complex', `the tree has ${tree.length} nodes; the policy takes at most ${bounds.nodes}`);
  }
  tree.forEach((node, index) => checkNode(node, terms, name(index)));

  // Level by level: a node that is come to twice is shared, or part of a cycle.
  const seen = new Set([0]);
  let level = [0];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > bounds.depth) {
      refuse(
        'model/too-complex',
        `the tree has more than ${bounds.depth} decisions to a leaf; the policy takes no more`,
      );
    }
    const next: number[] = [];
    for (const index of level) {
      const node = tree[index];
      if (node === undefined || isLeaf(node)) continue;
      for (const child of [node.yes, node.no]) {
        if (tree[child] === undefined) refuse('model/malformed-tree', `${name(index)} has a child that is not there`);
        if (seen.has(child)) {
          refuse(
            'model/malformed-tree',
            `${name(child)} is come to twice: it is shared, or part of a cycle`,
            name(index),
          );
        }
        seen.add(child);
        next.push(child);
      }
    }
    level = next;
  }
  const unreached = tree.findIndex((_, index) => !seen.has(index));
  if (unreached !== -1) refuse('model/malformed-tree', `no walk from the root comes to ${name(unreached)}`);
}

function checkNode(node: TreeNode, { features, labels }: TreeTerms, where: string): void {
  if (isLeaf(node)) {
    if (Number.isInteger(node.label) && node.label >= 0 && node.label < labels) return;
    throw modelFailure('model/wrong-output', `label ${node.label} of ${labels} is not there`, where);
  }
  if (!(Number.isInteger(node.feature) && node.feature >= 0 && node.feature < features)) {
    throw modelFailure('model/wrong-input', `feature ${node.feature} of ${features} is not there`, where);
  }
  if (Number.isNaN(node.threshold)) throw modelFailure('model/not-finite', 'a threshold is NaN', where);
}
