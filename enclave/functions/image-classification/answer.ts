/**
 * image-classification: a picture in, its most likely labels out (`../picture.schema.json`, `output.schema.json`). Here is
 * the gate's own writing of the answer: labels by index into the manifest, numbers rounded.
 */
import type { PicturePolicy } from '../../../policies/model.ts';
import type { Candidate } from '../candidate.ts';
import { round } from '../round.ts';

export interface ClassificationAnswer {
  readonly labels: readonly { readonly label: string; readonly score: number }[];
}

/** Undefined where the candidates are none that the computing jail could have come to honestly. */
export function rebuildLabels(
  candidates: readonly Candidate[],
  labels: readonly string[],
  limits: PicturePolicy['output'],
): ClassificationAnswer | undefined {
  const distinct = new Set(candidates.map(({ label }) => label)).size === candidates.length;
  if (!distinct || candidates.length !== Math.min(limits.topK, labels.length)) return undefined;
  const answers: ClassificationAnswer['labels'][number][] = [];
  for (const { label, score } of candidates) {
    const name = labels[label];
    if (name === undefined) return undefined;
    answers.push({ label: name, score: round(score, limits.decimals) });
  }
  return { labels: answers };
}
