import type { FunctionPolicy } from './model.ts';
import type { JsonSchema } from './reading/shape.ts';

/** A model has at most so many labels, where the policy does not say fewer. */
export const MOST_LABELS = 1000;
/** A counter draws one of so many lots for each call. */
export const LOTS = 1000;

/**
 * The answers of a function under its policy: its output schema, narrowed by `topK`, `decimals` and `labels`. In place of a
 * label stands its index: which texts the labels are is the manifest's, and no answer can change it.
 */
export function answerSchema(one: FunctionPolicy): JsonSchema {
  switch (one.uses) {
    case 'image-classification': {
      const { topK } = one.output;
      return record({ labels: list(record({ label: label(one.output), score: share(one.output) }), 1, topK) });
    }
    case 'object-detection': {
      const { topK } = one.output;
      const box = list(share(one.output), 4, 4);
      return record({ objects: list(record({ label: label(one.output), score: share(one.output), box }), 0, topK) });
    }
    case 'decision-tree':
      return record({ label: label(one.output) });
    case 'counter':
      return record({ count: whole(Number.MAX_SAFE_INTEGER), lot: whole(LOTS - 1) });
  }
}

const whole = (maximum: number): JsonSchema => ({ type: 'integer', minimum: 0, maximum });
const label = ({ labels = MOST_LABELS }: { readonly labels?: number }): JsonSchema => whole(labels - 1);
/** 0 to 1, as the gate rounds it. */
const share = ({ decimals }: { readonly decimals: number }): JsonSchema => ({
  type: 'number',
  minimum: 0,
  maximum: 1,
  multipleOf: 10 ** -decimals,
});

function record(properties: Readonly<Record<string, JsonSchema>>): JsonSchema {
  return { type: 'object', additionalProperties: false, required: Object.keys(properties), properties };
}

function list(items: JsonSchema, minItems: number, maxItems: number): JsonSchema {
  return { type: 'array', minItems, maxItems, items };
}
