/**
 * The decision tree's kernel by itself, in a tight loop and without a release time: whether what it takes depends on the
 * tree or on the record. One instance serves all classes, so that all of them have one code at one address; what differs
 * is copied into its memory before each measurement.
 */
import {
  createKernel,
  kernelBytes,
  kernelOf,
  NODE_BYTES,
  RECORD_AT,
} from '../../enclave/functions/decision-tree/kernel.ts';
import type { KernelInstance } from '../../enclave/functions/decision-tree/kernel.ts';
import type { Tree, TreeNode } from '../../enclave/functions/decision-tree/tree.ts';
import { RULES } from '../../enclave/functions/decision-tree/tree.ts';
import type { Prng } from '../faults/simulation/prng.ts';
import { calibrate, compare } from './stats.ts';
import type { Verdict } from './stats.ts';

const BOUNDS = { depth: 8, nodes: 255, features: 16 } as const;
const WARM_UP = 20_000;
const BEFORE = 5_000;
/** Bytes. */
const WORD = 4;

/** What the kernel finds in its memory. */
interface Contents {
  readonly table: Uint8Array;
  readonly record: Uint8Array;
}

export const KERNEL_PAIRS = [
  'every step yes / every step no',
  'a leaf / a full tree',
  'numbers / not a number',
] as const;
export type KernelPair = (typeof KERNEL_PAIRS)[number];

export interface KernelVerdict {
  readonly pair: KernelPair;
  /** Milliseconds. */
  readonly time: Verdict;
}

/** `wasm`: the kernel that the image has, unless a leak is planted. `calls`: of each pair. */
export function timeKernel(
  calls: number,
  random: Prng,
  wasm: Uint8Array<ArrayBuffer> = kernelBytes(),
): readonly KernelVerdict[] {
  const instance = kernelOf(new WebAssembly.Instance(new WebAssembly.Module(wasm)).exports);
  return pairs(instance).map(([pair, sides]) => ({ pair, time: timePair(instance, sides, calls, random) }));
}

function timePair(
  instance: KernelInstance,
  sides: readonly [Contents, Contents],
  calls: number,
  random: Prng,
): Verdict {
  const { nodes, features, depth } = BOUNDS;
  const put = chooser(new Uint32Array(instance.memory.buffer), sides);
  const total = WARM_UP + BEFORE + calls;
  // Which is whose is drawn before and sorted out afterwards: nothing between two measurements depends on it.
  const drawn = Uint8Array.from({ length: total }, () => (random.next() < 0.5 ? 0 : 1));
  const times = new Float64Array(total);
  const step = clockStep();
  for (let turn = 0; turn < total; turn++) {
    put(drawn[turn] ?? 0);
    const start = performance.now();
    instance.evaluate(0, RECORD_AT, nodes, features, depth);
    times[turn] = performance.now() - start;
  }
  const ofSide = (side: 0 | 1): readonly number[] =>
    [...times.subarray(WARM_UP + BEFORE)].filter((_, call) => drawn[WARM_UP + BEFORE + call] === side);
  const verdict = compare(ofSide(0), ofSide(1), calibrate([...times.subarray(WARM_UP, WARM_UP + BEFORE)]));
  return { ...verdict, detectable: Math.max(verdict.detectable, step) };
}

/** The step in which the clock goes forward, in milliseconds: times are whole numbers of it, but for rounding to 1 ns. */
function clockStep(): number {
  const passed = Array.from({ length: 10_000 }, () => Math.round(-1e6 * (performance.now() - performance.now())));
  const different = [...new Set(passed)].toSorted((a, b) => a - b);
  const gaps = different.slice(1).map((time, index) => time - (different[index] ?? 0));
  return 1e-6 * Math.min(...gaps.filter((gap) => gap > 1), Infinity);
}

/**
 * Puts the contents of a side into the kernel's memory. Words of both sides are read and mixed each time, by the same
 * instructions: what a copy leaves behind in caches and predictors does not say which of them it was.
 */
function chooser(memory: Uint32Array, sides: readonly [Contents, Contents]): (side: number) => void {
  const mix = (from: number, which: (contents: Contents) => Uint8Array): ((mask: number) => void) => {
    const one = new Uint32Array(which(sides[0]).slice().buffer);
    const difference = new Uint32Array(which(sides[1]).slice().buffer).map((word, at) => word ^ (one[at] ?? 0));
    return (mask) => {
      for (let at = 0; at < one.length; at++) memory[from + at] = (one[at] ?? 0) ^ ((difference[at] ?? 0) & mask);
    };
  };
  const table = mix(0, (contents) => contents.table);
  const record = mix(RECORD_AT / WORD, (contents) => contents.record);
  return (side) => {
    table(-side);
    record(-side);
  };
}

function pairs(instance: KernelInstance): readonly (readonly [KernelPair, readonly [Contents, Contents]])[] {
  const contents = (tree: Tree, value: number): Contents => {
    createKernel(tree, BOUNDS, instance);
    const record = new Uint8Array(new Float32Array(BOUNDS.features).fill(value).buffer);
    return { table: new Uint8Array(instance.memory.buffer, 0, BOUNDS.nodes * NODE_BYTES).slice(), record };
  };
  const full = fullTree();
  return [
    ['every step yes / every step no', [contents(full, -1), contents(full, 1)]],
    ['a leaf / a full tree', [contents([{ label: 1 }], 1), contents(full, 1)]],
    ['numbers / not a number', [contents(full, 1), contents(full, Number.NaN)]],
  ];
}

/** All 255 nodes, seven decisions deep: `yes` leads to an odd index, `no` to an even one. */
function fullTree(): Tree {
  return Array.from({ length: BOUNDS.nodes }, (_, index): TreeNode => {
    if (2 * index + 2 >= BOUNDS.nodes) return { label: index % 2 };
    const next = { yes: 2 * index + 1, no: 2 * index + 2 };
    return { feature: index % BOUNDS.features, rule: RULES.BRANCH_LT, threshold: 0, ...next };
  });
}
