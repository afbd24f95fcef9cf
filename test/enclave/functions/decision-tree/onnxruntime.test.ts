/** The kernel against onnxruntime: the same labels for random trees of all tests, and records close to their thresholds. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { createKernel, instantiateKernel } from '../../../../enclave/functions/decision-tree/kernel.ts';
import type { TreeManifest } from '../../../../enclave/functions/model-manifest.ts';
import { readTree } from '../../../../enclave/jail/tree-file.ts';
import { isLeaf, type Tree } from '../../../../enclave/functions/decision-tree/tree.ts';
import { attributesOf, classifier, fileOf, treeFile, type Attribute, type LeafWeights } from './onnx-trees.ts';
import { createPrng, type Prng } from '../../../faults/simulation/prng.ts';
import { bytesOf, randomRecord, randomTree } from './random-trees.ts';

const BOUNDS = { depth: 9, nodes: 63, features: 7 };
const TREES = 1_000;
const RECORDS = 12;
/** So many trees in one session: they are asked side by side. */
const AT_ONCE = 50;
const SEED = 7;

/** With ties, negative weights, weights of exactly a half, and classes that a leaf does not name. */
function randomWeights(random: Prng, tree: Tree, classes: number): LeafWeights {
  const signed = random.next() < 0.5;
  const weight = (): number => (signed && random.next() < 0.5 ? -1 : 1) * (random.below(5) / 4);
  const lone = random.below(2);
  const leaves = [...tree.entries()].flatMap(([index, node]) => (isLeaf(node) ? [index] : []));
  return new Map(
    leaves.map((leaf) => {
      if (classes === 2) return [leaf, [[lone, weight()] as const]];
      const named = Array.from({ length: classes }, (_, id) => id).filter(() => random.next() < 0.7);
      return [leaf, (named.length === 0 ? [random.below(classes)] : named).map((id) => [id, weight()] as const)];
    }),
  );
}

interface Case {
  readonly attributes: readonly Attribute[];
  readonly records: readonly Float32Array[];
  readonly labels: readonly number[];
}

/** What the kernel says. */
function ours(random: Prng, classes: number): Case {
  const tree = randomTree(random, BOUNDS, classes);
  const attributes = attributesOf(tree, classes, randomWeights(random, tree, classes));
  const manifest: TreeManifest = {
    apiVersion: 'accord/v1',
    name: 'random',
    labels: Array.from({ length: classes }, (_, index) => `label ${index}`),
    input: { features: Array.from({ length: BOUNDS.features }, (_, index) => `feature ${index}`) },
    output: { kind: 'tree', format: 'onnx' },
  };
  const kernel = createKernel(
    readTree(treeFile(attributes, BOUNDS.features), manifest, BOUNDS),
    BOUNDS,
    instantiateKernel(),
  );
  const records = Array.from({ length: RECORDS }, () => randomRecord(random, tree, BOUNDS.features));
  return { attributes, records, labels: records.map((record) => kernel.evaluate(bytesOf(record))) };
}

/** What onnxruntime says: all trees of the session on all records of all of them; of those, each tree's own. */
async function theirs(cases: readonly Case[]): Promise<readonly (readonly number[])[]> {
  const names = cases.map((_, index) => `label${index}`);
  const nodes = cases.map(({ attributes }, index) => classifier(attributes, names[index]));
  const session = await InferenceSession.create(fileOf({ nodes, outputs: names, features: BOUNDS.features }), {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    logSeverityLevel: 3,
  });
  const all = Float32Array.from(cases.flatMap(({ records }) => records.flatMap((record) => [...record])));
  const x = new Tensor('float32', all, [cases.length * RECORDS, BOUNDS.features]);
  const outputs = await session.run({ x }, names);
  await session.release();
  return names.map((name, index) =>
    Array.from(outputs[name]?.data ?? [], Number).slice(index * RECORDS, (index + 1) * RECORDS),
  );
}

describe(`of ${TREES} trees and ${TREES * RECORDS} records`, () => {
  test('every label is the same', { timeout: 300_000 }, async () => {
    const random = createPrng(SEED);
    const seen = new Set<number>();
    let compared = 0;
    for (let done = 0; done < TREES; done += AT_ONCE) {
      const cases = Array.from({ length: AT_ONCE }, (_, index) => ours(random, 2 + (index % 4)));
      const labels = await theirs(cases);
      expect(cases.map((one) => one.labels)).toEqual(labels);
      for (const one of cases) for (const label of one.labels) seen.add(label);
      compared += cases.length * RECORDS;
    }
    expect(compared).toBeGreaterThanOrEqual(10_000);
    expect([...seen].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4]);
  });
});
