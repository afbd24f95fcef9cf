/**
 * The oblivious kernel: which instructions it runs and which addresses it reads follows from the policy's bounds alone,
 * never from tree or record (`kernel.as`, and its proof in the tests).
 */
import type { TreeBounds } from '../../../policies/model.ts';
import { treeKernel } from '../generated/tree-kernel.js';
import { isLeaf, type Tree } from './tree.ts';

/** Bytes of a node, as `kernel.as` lays it out. */
export const NODE_BYTES = 24;
/** Of the kernel's two pages: 4096 nodes, then 256 numbers. */
export const TABLE_AT = 0;
export const RECORD_AT: number = 4_096 * NODE_BYTES;

export type Evaluate = (table: number, record: number, nodes: number, features: number, depth: number) => number;

export interface KernelInstance {
  readonly memory: WebAssembly.Memory;
  readonly evaluate: Evaluate;
}

export interface Kernel {
  /** `record`: `bounds.features` float32, little-endian. Gives the index of a label. */
  evaluate(record: Uint8Array): number;
}

/** The WebAssembly module's bytes. */
export const kernelBytes = (): Uint8Array<ArrayBuffer> => Uint8Array.from(Buffer.from(treeKernel, 'base64'));

/** A kernel that holds one tree, checked before (`checkTree`), in an instance of its own. */
export function createKernel(tree: Tree, bounds: TreeBounds, { memory, evaluate }: KernelInstance): Kernel {
  new Uint8Array(memory.buffer, TABLE_AT, bounds.nodes * NODE_BYTES).set(tableOf(tree, bounds.nodes));
  const place = new Uint8Array(memory.buffer, RECORD_AT, bounds.features * 4);
  return {
    evaluate(record) {
      if (record.length !== place.length) throw new RangeError(`a record has ${place.length} bytes`);
      place.set(record);
      const label = evaluate(TABLE_AT, RECORD_AT, bounds.nodes, bounds.features, bounds.depth);
      place.fill(0);
      return label;
    },
  };
}

/** Synchronously: the module has less than a kilobyte. */
export function instantiateKernel(): KernelInstance {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(kernelBytes()));
  return kernelOf(exports);
}

/** The exports of a kernel's module, typed. */
export function kernelOf({ memory, evaluate }: WebAssembly.Exports): KernelInstance {
  if (!(memory instanceof WebAssembly.Memory) || typeof evaluate !== 'function') {
    throw new TypeError('the module is no kernel of trees');
  }
  return { memory, evaluate: (...bounds) => Number(evaluate(...bounds)) };
}

/** Nodes beyond the tree's are leaves that no walk comes to. */
function tableOf(tree: Tree, nodes: number): Uint8Array {
  const table = new Uint8Array(nodes * NODE_BYTES);
  const view = new DataView(table.buffer);
  for (let index = 0; index < nodes; index++) {
    const at = index * NODE_BYTES;
    const node = tree[index] ?? { label: 0 };
    if (isLeaf(node)) {
      view.setInt32(at + 12, index, true);
      view.setInt32(at + 16, index, true);
      view.setInt32(at + 20, node.label, true);
    } else {
      view.setInt32(at, node.feature, true);
      view.setFloat32(at + 4, node.threshold, true);
      view.setInt32(at + 8, node.rule, true);
      view.setInt32(at + 12, node.yes, true);
      view.setInt32(at + 16, node.no, true);
    }
  }
  return table;
}
