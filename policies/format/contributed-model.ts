/** The model of a function: whose it is, and how many labels it may have. */
import { MOST_LABELS } from '../answer-schema.ts';
import type { ContributedModel } from '../model.ts';
import { object, optional, required } from '../reading/object.ts';
import { whole } from '../reading/scalars.ts';
import { map, scalarOr, type Shape } from '../reading/shape.ts';
import { partyName, sha256 } from './names.ts';

const modelOwner = partyName('The party that contributes the model.');
export const pinnedModel: Shape<ContributedModel> = object<ContributedModel>(
  {
    from: required(modelOwner),
    sha256: optional(sha256('The SHA-256 that the contributed model package must have.')),
  },
  {
    description: 'The party that contributes the model, and what the model must be.',
    wanted: 'a party, or { from, sha256 }',
  },
);
export const model: Shape<ContributedModel> = scalarOr(
  map(modelOwner, (from) => ({ from })),
  pinnedModel,
  'Who contributes the weights, which nobody else sees. A sha256 pins them.',
);

export const labels: Shape<number> = whole({
  description: 'The model may have at most so many labels: the fewer, the less an answer tells. Default: 1000.',
  wanted: 'a number of labels',
  min: 1,
  max: MOST_LABELS,
});
