/** A contributed tree's file, JSON or ONNX as the first byte says, and what the kernel makes of one that is taken. */
import { concat } from '../../../enclave/encoding/bytes.ts';
import { createKernel, instantiateKernel } from '../../../enclave/functions/decision-tree/kernel.ts';
import { RULES } from '../../../enclave/functions/decision-tree/tree.ts';
import type { Tree } from '../../../enclave/functions/decision-tree/tree.ts';
import type { TreeManifest } from '../../../enclave/functions/model-manifest.ts';
import { readTree } from '../../../enclave/jail/tree-file.ts';
import { attributesOf, treeFile } from '../../enclave/functions/decision-tree/onnx-trees.ts';
import { mutate } from '../mutate.ts';
import { readMessage, varyMessage, writeMessage } from '../protobuf.ts';
import type { Random } from '../random.ts';
import { demand } from '../target.ts';
import type { Target } from '../target.ts';
import { varyJson } from '../trees.ts';
import { MODEL_CODE_SET } from './model-codes.ts';

const JSON_TREE = 0;
const ONNX_TREE = 1;
const BOUNDS = { depth: 4, nodes: 15, features: 3 } as const;
const LABELS = ['red', 'green', 'blue'] as const;
const FEATURES = ['a', 'b', 'c'] as const;

const manifestOf = (format: 'json' | 'onnx'): TreeManifest => ({
  apiVersion: 'accord/v1',
  name: 'small',
  labels: LABELS,
  input: { features: FEATURES },
  output: { kind: 'tree', format },
});

const leaf = { label: 'red' };
const decision = { feature: 'a', is: '<=', value: 0.5, yes: { label: 'green' }, no: { label: 'blue' } };
const WRITTEN = [leaf, decision, { feature: 'c', is: '!=', value: -1e9, yes: decision, no: leaf }];
const TABLE: Tree = [
  { feature: 0, rule: RULES.BRANCH_LEQ, threshold: 0.5, yes: 1, no: 2 },
  { label: 0 },
  { feature: 2, rule: RULES.BRANCH_GT, threshold: -3, yes: 3, no: 4 },
  { label: 1 },
  { label: 2 },
];

const of = (format: number, file: Uint8Array): Uint8Array => concat(Uint8Array.of(format), file);
const text = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

export async function open(): Promise<Target> {
  return {
    // A tree's numbers are looked at where it is read.
    codes: new Set([...MODEL_CODE_SET, 'model/not-finite']),
    seeds: [
      ...WRITTEN.map((tree) => of(JSON_TREE, text({ tree }))),
      of(ONNX_TREE, treeFile(attributesOf(TABLE, LABELS.length), FEATURES.length)),
    ],
    vary: (input, random) => vary(input, random),
    words: ['"feature"', '"label"', '"yes"', '"no"', '"a"', '">="', '1e999', '-0', '"__proto__"', '\ufeff', 'BRANCH_EQ', 'LEAF', 'nodes_modes', 'class_weights', 'LOGISTIC'], // prettier-ignore
    maxBytes: 20_000,
    run(input) {
      const format = (input[0] ?? 0) % 2 === JSON_TREE ? 'json' : 'onnx';
      const tree = readTree(input.subarray(1), manifestOf(format), BOUNDS);
      const kernel = createKernel(tree, BOUNDS, instantiateKernel());
      for (const value of [0, -1, Number.NaN, 3.5e37]) {
        const record = new Uint8Array(new Float32Array(BOUNDS.features).fill(value).buffer);
        demand(kernel.evaluate(record) < LABELS.length, 'a tree that was taken gives a label that is none');
      }
      return `${format} tree`;
    },
  };
}

async function vary(input: Uint8Array, random: Random): Promise<Uint8Array> {
  const file = input.subarray(1);
  if ((input[0] ?? 0) % 2 === JSON_TREE) return of(JSON_TREE, await varyJson(file, random));
  const message = readMessage(file);
  if (message === undefined) return mutate(input, random, { others: [input], words: [], maxBytes: input.length + 8 });
  return of(ONNX_TREE, writeMessage(varyMessage(message, random)));
}
