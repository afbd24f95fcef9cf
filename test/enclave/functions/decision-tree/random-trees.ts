/** Prng trees and records from a seed, with the numbers that comparisons get wrong: equal, next to equal, NaN, infinities, zeros. */
import type { TreeBounds } from '../../../../policies/model.ts';
import { MISSING, RULES, isLeaf, type Tree, type TreeNode } from '../../../../enclave/functions/decision-tree/tree.ts';
import type { Prng } from '../../../faults/simulation/prng.ts';

const rules = Object.values(RULES);
const ODD = [0, -0, Infinity, -Infinity, 1.401298464324817e-45, 3.4028234663852886e38, -3.4028234663852886e38] as const;

export function randomThreshold(random: Prng): number {
  const kind = random.below(4);
  if (kind === 0) return random.pick(ODD);
  if (kind === 1) return random.below(40);
  return Math.fround((random.next() - 0.5) * 20);
}

/** A tree within the bounds, of any shape. */
export function randomTree(random: Prng, bounds: TreeBounds, labels: number): Tree {
  const nodes: TreeNode[] = [];
  const most = 1 + random.below(bounds.nodes);
  let planned = 1;
  const grow = (depth: number): number => {
    const index = nodes.push({ label: random.below(labels) }) - 1;
    if (depth === bounds.depth || planned + 2 > most || random.next() < 0.1) return index;
    planned += 2;
    nodes[index] = {
      feature: random.below(bounds.features),
      rule: random.pick(rules) | (random.next() < 0.3 ? MISSING : 0),
      threshold: randomThreshold(random),
      yes: grow(depth + 1),
      no: grow(depth + 1),
    };
    return index;
  };
  grow(0);
  return nodes;
}

/** The next float32 above or below. */
function beside(value: number, step: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, value);
  view.setInt32(0, view.getInt32(0) + step);
  return view.getFloat32(0);
}

/** Numbers that stand close to the tree's own thresholds. */
export function randomRecord(random: Prng, tree: Tree, features: number): Float32Array {
  const thresholds = tree.flatMap((node) => (isLeaf(node) ? [] : [node.threshold]));
  return Float32Array.from({ length: features }, () => {
    const threshold = thresholds[random.below(thresholds.length)] ?? 0;
    const kind = random.below(6);
    if (kind === 0) return Number.NaN;
    if (kind === 1) return random.pick(ODD);
    if (kind === 2) return beside(threshold, random.pick([1, -1]));
    if (kind === 3) return randomThreshold(random);
    return threshold;
  });
}

export const bytesOf = (record: Float32Array): Uint8Array => new Uint8Array(record.buffer, 0, record.byteLength);

/** What a tree says, told by plain comparisons. */
export function walk(tree: Tree, record: Float32Array): number {
  for (let node = tree[0]; node !== undefined;) {
    if (isLeaf(node)) return node.label;
    const value = record[node.feature] ?? 0;
    const stands = Number.isNaN(value) ? MISSING : value < node.threshold ? 1 : value > node.threshold ? 4 : 2;
    node = tree[(node.rule & stands) !== 0 ? node.yes : node.no];
  }
  throw new Error('the tree has no leaf there');
}
