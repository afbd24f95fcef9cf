/** A tree as people write it (`tree.schema.json`): nested, with features and labels by name. */
import { validate } from '../generated/decision-tree.js';
import type { TreeManifest } from '../model-manifest.ts';
import { modelFailure } from '../model-refusal.ts';
import { faultOf } from '../validator.ts';
import { RULES, type Rule, type Tree, type TreeNode } from './tree.ts';

export type WrittenTest = '<=' | '<' | '>=' | '>' | '=' | '!=';

export interface WrittenDecision {
  readonly feature: string;
  readonly is: WrittenTest;
  readonly value: number;
  readonly yes: WrittenNode;
  readonly no: WrittenNode;
}

export type WrittenNode = WrittenDecision | { readonly label: string };

/** What `tree.schema.json` describes. */
export interface WrittenTree {
  readonly tree: WrittenNode;
}

const TESTS: Readonly<Record<WrittenTest, Rule>> = {
  '<=': 'BRANCH_LEQ',
  '<': 'BRANCH_LT',
  '>=': 'BRANCH_GTE',
  '>': 'BRANCH_GT',
  '=': 'BRANCH_EQ',
  '!=': 'BRANCH_NEQ',
};

/** The parsed JSON of a tree, typed once it fits the schema; else what is wrong with it. */
export function readWrittenTree(value: unknown): WrittenTree | { readonly fault: string } {
  return isTree(value) ? value : { fault: faultOf(validate, value) ?? 'is not valid' };
}

function isTree(value: unknown): value is WrittenTree {
  return validate(value);
}

/** Throws `Failure<ModelCode>` for names that the manifest does not know. The tree itself is for `checkTree` to judge. */
export function tableOfJson({ tree }: WrittenTree, manifest: TreeManifest): Tree {
  const { labels } = manifest;
  const { features } = manifest.input;
  const table: (TreeNode | undefined)[] = [];
  const lay = (node: WrittenNode, where: string): number => {
    const index = table.push(undefined) - 1;
    if ('label' in node) {
      const label = labels.indexOf(node.label);
      if (label === -1) throw unknown('model/wrong-output', 'label', node.label, `${where}/label`);
      table[index] = { label };
      return index;
    }
    const feature = features.indexOf(node.feature);
    if (feature === -1) throw unknown('model/wrong-input', 'feature', node.feature, `${where}/feature`);
    const yes = lay(node.yes, `${where}/yes`);
    const no = lay(node.no, `${where}/no`);
    table[index] = { feature, rule: RULES[TESTS[node.is]], threshold: Math.fround(node.value), yes, no };
    return index;
  };
  lay(tree, '/tree');
  return table.filter((node) => node !== undefined);
}

function unknown(code: 'model/wrong-output' | 'model/wrong-input', what: string, name: string, where: string): Error {
  return modelFailure(code, `the manifest has no ${what} ${JSON.stringify(name)}`, where);
}
