/**
 * The kernel runs the same instructions and reads the same addresses whatever the tree and the record, as long as the
 * bounds are the same. Shown twice: by following secrets through its code, and by watching the very module at work. Kernels
 * with a planted shortcut show that either would notice.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { TreeBounds } from '../../../../policies/model.ts';
import { compileKernel } from '../../../../build/tree-kernel.mjs';
import { createKernel, kernelBytes } from '../../../../enclave/functions/decision-tree/kernel.ts';
import { instrumented, type Trace } from './instrumented.ts';
import { createPrng } from '../../../faults/simulation/prng.ts';
import { bytesOf, randomRecord, randomTree, walk } from './random-trees.ts';
import { breaches } from './taint.ts';

const BOUNDS = [
  { depth: 6, nodes: 31, features: 8 },
  { depth: 1, nodes: 3, features: 1 },
  { depth: 12, nodes: 25, features: 3 },
] as const;
const SEED = 20_260_101;

/** The traces of many trees and records within one bound, each different one once. */
function traces(bounds: TreeBounds, bytes: Uint8Array, trees: number): readonly Trace[] {
  const random = createPrng(SEED);
  const different = new Map<string, Trace>();
  const witness = instrumented(bytes);
  for (let count = 0; count < trees; count++) {
    const tree = randomTree(random, bounds, 5);
    const kernel = createKernel(tree, bounds, witness.instance);
    for (let each = 0; each < 4; each++) {
      const record = randomRecord(random, tree, bounds.features);
      expect(kernel.evaluate(bytesOf(record))).toBe(walk(tree, record));
      const trace = witness.take();
      different.set(JSON.stringify(trace), trace);
    }
  }
  return [...different.values()];
}

test.each(BOUNDS)('for depth $depth, $nodes nodes and $features features: one trace for every input', (bounds) => {
  const found = traces(bounds, kernelBytes(), 250);
  expect(found).toHaveLength(1);
  const { depth, nodes, features } = bounds;
  // Each step reads five fields of every node and every number of the record; the end reads every label.
  expect(found[0]?.reads).toBe(depth * (5 * nodes + features) + nodes);
});

test('other bounds leave other traces: the witness sees', () => {
  const [a, b] = [BOUNDS[0], { ...BOUNDS[0], depth: 7 }].map((bounds) => traces(bounds, kernelBytes(), 1)[0]);
  expect(a?.digest).not.toBe(b?.digest);
});

test('nothing in its code depends on what it reads', () => {
  expect(breaches(kernelBytes(), 'evaluate')).toEqual([]);
});

const SOURCE = readFileSync(join(import.meta.dirname, '../../../../enclave/functions/decision-tree/kernel.as'), 'utf8');
const SCAN = 'feature |= load<i32>(node, 0) & here;';

/** Shortcuts that give the same answers sooner. */
const PLANTED: readonly (readonly [name: string, from: string, to: string, breach: string])[] = [
  [
    'one that ends at the leaf',
    'let value: i32 = 0;',
    'if (yes == current && no == current) break;\n    let value: i32 = 0;',
    'a jump',
  ],
  ['one that skips the other nodes', SCAN, `if (index != current) continue;\n      ${SCAN}`, 'a branch'],
  ['one that reads the one number it wants', 'index < features; index++', 'index < 1; index++', 'an address'],
];

test.each(PLANTED)('%s is caught', { timeout: 120_000 }, async (_, from, to, breach) => {
  expect(SOURCE).toContain(from);
  const planted = SOURCE.replace(from, to).replace(
    'value |= load<i32>(record + <usize>index * 4) & equal(index, feature);',
    breach === 'an address'
      ? 'value |= load<i32>(record + <usize>feature * 4);'
      : 'value |= load<i32>(record + <usize>index * 4) & equal(index, feature);',
  );
  const { wasm } = await compileKernel(planted);
  expect(traces(BOUNDS[0], wasm, 20).length).toBeGreaterThan(1);
  expect(breaches(wasm, 'evaluate').join()).toContain(breach);
});
