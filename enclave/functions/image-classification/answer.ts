/** The gate's own writing of the answer: labels by index into the manifest, numbers rounded here. */
import type { Candidate } from '../candidate.ts';
import { round } from '../round.ts';
import type { ClassificationAnswer } from './manifest.ts';

export interface AnswerLimits {
  readonly topK: number;
  readonly decimals: number;
}

/** Undefined where the candidates are none that the computing jail could have come to honestly. */
export function rebuildLabels(
  candidates: readonly Candidate[],
  labels: readonly string[],
  limits: AnswerLimits,
): ClassificationAnswer | undefined {
  const distinct = new Set(candidates.map(({ label }) => label)).size === candidates.length;
  if (!distinct || candidates.length !== Math.min(limits.topK, labels.length)) return undefined;
  const answers = candidates.map(({ label, score }) => ({
    label: labels[label] ?? '',
    score: round(score, limits.decimals),
  }));
  return { labels: answers };
}
