/** decision-tree, as it is written and as the image carries it. */
import { standardPadding } from '../answer-size.ts';
import { BOUNDS } from '../bounds.ts';
import type { TreeBounds, TreePolicy } from '../model.ts';
import { defaulted, object, optional, required } from '../reading/object.ts';
import { choice, whole } from '../reading/scalars.ts';
import { map, type Shape } from '../reading/shape.ts';
import { labels, model, pinnedModel } from './contributed-model.ts';
import { canonicalTerms, FUNCTION, LATER_KEYS, padded, writtenTerms, type Written } from './function-terms.ts';

const usesTree: Shape<'decision-tree'> = choice('What is computed.', 'a kind of function', ['decision-tree']);

const atMost = (description: string, wanted: string, max: number): Shape<number> =>
  whole({ description, wanted, min: 1, max });
const tree: Shape<TreeBounds> = object<TreeBounds>(
  {
    depth: required(atMost('Most decisions on the way to a leaf.', 'a number of decisions', BOUNDS.tree.depth)),
    nodes: required(atMost('Most decisions and leaves of the tree.', 'a number of nodes', BOUNDS.tree.nodes)),
    features: required(atMost('Most features of a record.', 'a number of features', BOUNDS.tree.features)),
  },
  {
    description: 'What every tree is padded to: the time of a call follows from it, and never from the tree.',
    wanted: '{ depth, nodes, features }',
  },
);

const TREE_OUTPUT = {
  description: 'What may come out.',
  wanted: '{ labels }',
  foreign: { topK: 'a tree answers with one label', decimals: 'a tree answers with a label and no numbers' },
};
/** A record of the most features with names of usual length. */
const TREE_INPUT_BYTES = 4 * 1024;

const treeOutput = object<TreePolicy['output']>({ labels: optional(labels) }, TREE_OUTPUT);

export const writtenTree: Shape<TreePolicy> = map(
  object<Written<TreePolicy>>(
    {
      uses: required(usesTree),
      model: required(model),
      ...writtenTerms(TREE_INPUT_BYTES),
      tree: required(tree),
      output: defaulted(treeOutput, {}),
    },
    { ...FUNCTION, unsupported: LATER_KEYS },
  ),
  (written) => ({ ...written, release: padded(written.release, standardPadding(written)) }),
);

export const canonicalTree: Shape<TreePolicy> = object<TreePolicy>(
  {
    uses: required(usesTree),
    model: required(pinnedModel),
    ...canonicalTerms,
    tree: required(tree),
    output: required(treeOutput),
  },
  FUNCTION,
);
