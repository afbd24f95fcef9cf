/** image-classification and object-detection, as they are written and as the image carries them. */
import { PICTURE_FUNCTION_FACTS, standardPadding } from '../answer-size.ts';
import { BOUNDS } from '../bounds.ts';
import type { PictureFunctionKind, PicturePolicy } from '../model.ts';
import { defaulted, object, optional, required } from '../reading/object.ts';
import { choice, whole } from '../reading/scalars.ts';
import { map, type Shape } from '../reading/shape.ts';
import { labels, model, pinnedModel } from './contributed-model.ts';
import { canonicalTerms, FUNCTION, LATER_KEYS, NO_TREE, padded, writtenTerms, type Written } from './function-terms.ts';

const usesPicture: Shape<PictureFunctionKind> = choice('What is computed.', 'a kind of function', [
  'image-classification',
  'object-detection',
]);

const topK: Shape<number> = whole({
  description: 'At most so many labels or objects in an answer.',
  wanted: 'a number of entries',
  min: 1,
  max: BOUNDS.topK,
});
const decimals: Shape<number> = whole({
  description: 'Digits after the point of every number in an answer: the fewer, the less an answer tells.',
  wanted: 'a number of digits',
  min: 0,
  max: BOUNDS.decimals,
});
const OUTPUT = { description: 'What may come out.', wanted: '{ topK, decimals, labels }' };

interface WrittenPicture extends Written<Omit<PicturePolicy, 'output'>> {
  readonly output: { readonly topK?: number; readonly decimals?: number; readonly labels?: number };
}

const STANDARD_INPUT_BYTES = 4 * 1024 * 1024;

export const writtenPicture: Shape<PicturePolicy> = map(
  object<WrittenPicture>(
    {
      uses: required(usesPicture),
      model: required(model),
      ...writtenTerms(STANDARD_INPUT_BYTES),
      output: defaulted(
        object<WrittenPicture['output']>(
          { topK: optional(topK), decimals: optional(decimals), labels: optional(labels) },
          OUTPUT,
        ),
        {},
      ),
    },
    { ...FUNCTION, foreign: NO_TREE, unsupported: LATER_KEYS },
  ),
  withStandards,
);

function withStandards(written: WrittenPicture): PicturePolicy {
  const facts = PICTURE_FUNCTION_FACTS[written.uses];
  const output = {
    ...written.output,
    topK: written.output.topK ?? facts.topK.standard,
    decimals: written.output.decimals ?? facts.decimals,
  };
  return { ...written, output, release: padded(written.release, standardPadding({ uses: written.uses, output })) };
}

export const canonicalPicture: Shape<PicturePolicy> = object<PicturePolicy>(
  {
    uses: required(usesPicture),
    model: required(pinnedModel),
    ...canonicalTerms,
    output: required(
      object<PicturePolicy['output']>(
        { topK: required(topK), decimals: required(decimals), labels: optional(labels) },
        OUTPUT,
      ),
    ),
  },
  FUNCTION,
);
