/** counter, as it is written and as the image carries it. */
import { standardPadding } from '../answer-size.ts';
import type { CounterPolicy } from '../model.ts';
import { object, required } from '../reading/object.ts';
import { choice } from '../reading/scalars.ts';
import { map, type Shape } from '../reading/shape.ts';
import { canonicalTerms, FUNCTION, LATER_KEYS, NO_TREE, padded, writtenTerms, type Written } from './function-terms.ts';

const usesCounter: Shape<'counter'> = choice('What is computed.', 'a kind of function', ['counter']);

const FOREIGN = {
  ...NO_TREE,
  model: 'a counter computes without one',
  output: 'the answers of a counter have one form',
};
/** What is put into a counter is not read. */
const COUNTER_INPUT_BYTES = 1024;

export const writtenCounter: Shape<CounterPolicy> = map(
  object<Written<CounterPolicy>>(
    { uses: required(usesCounter), ...writtenTerms(COUNTER_INPUT_BYTES) },
    { ...FUNCTION, foreign: FOREIGN, unsupported: LATER_KEYS },
  ),
  (written) => ({ ...written, release: padded(written.release, standardPadding(written)) }),
);

export const canonicalCounter: Shape<CounterPolicy> = object<CounterPolicy>(
  { uses: required(usesCounter), ...canonicalTerms },
  FUNCTION,
);
