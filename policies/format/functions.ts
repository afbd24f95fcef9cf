/** The functions of a policy, by name: each in the form of its kind. */
import { BOUNDS } from '../bounds.ts';
import {
  FUNCTION_KINDS,
  type CounterPolicy,
  type FunctionPolicy,
  type PicturePolicy,
  type Policy,
  type TreePolicy,
} from '../model.ts';
import { record } from '../reading/collections.ts';
import { choice } from '../reading/scalars.ts';
import { refineAll, type Shape } from '../reading/shape.ts';
import { variants } from '../reading/variants.ts';
import { canonicalCounter, writtenCounter } from './counter-function.ts';
import { checkFunction } from './function-checks.ts';
import { name } from './names.ts';
import { canonicalPicture, writtenPicture } from './picture-function.ts';
import { canonicalTree, writtenTree } from './tree-function.ts';

const LATER_FUNCTIONS = {
  explore: 'statistics with a minimum group size and differential privacy',
  analyse: 'a private join with agreed SQL templates',
  train: 'a model trained on joined data',
};

const usesAny: Shape<FunctionPolicy['uses']> = choice(
  'What is computed.',
  'a kind of function',
  FUNCTION_KINDS,
  LATER_FUNCTIONS,
);

interface Shapes {
  readonly picture: Shape<PicturePolicy>;
  readonly tree: Shape<TreePolicy>;
  readonly counter: Shape<CounterPolicy>;
}

const functionOf = ({ picture, tree: ofTree, counter }: Shapes): Shape<FunctionPolicy> =>
  variants<FunctionPolicy>({
    tag: 'uses',
    tagShape: usesAny,
    shapes: [picture, ofTree, counter],
    choose: (uses) => (uses === 'counter' ? counter : uses === 'decision-tree' ? ofTree : picture),
    description: 'One function.',
  });

const functionsOf = (one: Shape<FunctionPolicy>): Shape<Policy['functions']> =>
  record<FunctionPolicy>({
    description: 'What may be computed, by name. Nothing else can be.',
    wanted: 'functions by name',
    key: name("A function's name.", "a function's name"),
    value: one,
    min: 1,
    max: BOUNDS.functions,
  });

/** As the parties write them, with the standards filled in. */
export const functions: Shape<Policy['functions']> = functionsOf(
  refineAll(functionOf({ picture: writtenPicture, tree: writtenTree, counter: writtenCounter }), checkFunction),
);

/** As the image carries them. */
export const canonicalFunctions: Shape<Policy['functions']> = functionsOf(
  refineAll(functionOf({ picture: canonicalPicture, tree: canonicalTree, counter: canonicalCounter }), checkFunction),
);
