import type { FunctionKind, PictureFunctionKind, PicturePolicy } from './model.ts';

/** A label, as the bytes it takes in an answer: manifests with longer ones are refused. */
export const LABEL_BYTES = 64;

/** What a function of each kind does: `it …`. */
export const FUNCTION_DOES: Readonly<Record<FunctionKind, string>> = {
  'image-classification': 'names what a picture shows',
  'object-detection': 'lists what it finds in a picture, and where',
  'decision-tree': 'names the label that a decision tree gives a record',
  counter: 'counts its own calls, and draws a lot for each',
};

/** What a function of pictures may be asked for, and what it does when the policy does not say. */
export const PICTURE_FUNCTION_FACTS: Readonly<Record<PictureFunctionKind, PictureFunctionFacts>> = {
  'image-classification': {
    entry: ['label with its score', 'labels, each with its score'],
    topK: { max: 100, standard: 1 },
    decimals: 2,
    // {"label":"…","score":0.12}
    entryBytes: (number) => '{"label":"","score":}'.length + LABEL_BYTES + number,
    frameBytes: '{"labels":[]}'.length,
  },
  'object-detection': {
    entry: ['object with its label, score and place', 'objects, each with its label, score and place'],
    topK: { max: 1000, standard: 10 },
    decimals: 3,
    // {"label":"…","score":0.123,"box":[0.1,0.2,0.3,0.4]}
    entryBytes: (number) => '{"label":"","score":,"box":[,,,]}'.length + LABEL_BYTES + 5 * number,
    frameBytes: '{"objects":[]}'.length,
  },
};

export interface PictureFunctionFacts {
  /** What an answer is a list of: one, many. */
  readonly entry: readonly [one: string, many: string];
  readonly topK: { readonly max: number; readonly standard: number };
  readonly decimals: number;
  /** Bytes of one entry, given those of one number. */
  readonly entryBytes: (number: number) => number;
  readonly frameBytes: number;
}

/** Of a function, what decides how long its answers are. */
export type AnswerTerms =
  Pick<PicturePolicy, 'uses' | 'output'> | { readonly uses: 'counter' } | { readonly uses: 'decision-tree' };

// u32 length || CBOR { t: 'answer', output: text with a 5-byte head }, rounded up.
const PADDING_HEAD = 32;
const COUNTER_BYTES = `{"count":${Number.MAX_SAFE_INTEGER},"lot":999}`.length;
const TREE_BYTES = '{"label":""}'.length + LABEL_BYTES;

/** The most bytes an answer can take before padding; `padTo` must hold it, or the padding would show its length. */
export function largestAnswer(terms: AnswerTerms): number {
  if (terms.uses === 'counter') return PADDING_HEAD + COUNTER_BYTES;
  if (terms.uses === 'decision-tree') return PADDING_HEAD + TREE_BYTES;
  const { entryBytes, frameBytes } = PICTURE_FUNCTION_FACTS[terms.uses];
  const { topK, decimals } = terms.output;
  // Scores and relative coordinates lie in 0..1: one digit, a point, and the decimals.
  const number = decimals === 0 ? 1 : 2 + decimals;
  return PADDING_HEAD + frameBytes + topK * (entryBytes(number) + 1);
}

/** The next power of two that holds the largest answer, at least 1 KiB. */
export function standardPadding(terms: AnswerTerms): number {
  return Math.max(1024, 2 ** Math.ceil(Math.log2(largestAnswer(terms))));
}
