/** Greedy non-maximum suppression: of boxes that overlap too much, the best is kept. */
import { best, type Box, type Candidate } from '../candidate.ts';

export interface BoxCandidate extends Candidate {
  readonly box: Box;
}

/** So many of the best are looked at, whatever the model gives: the work is at most the square of it. */
const CONSIDERED = 1_000;

export interface SuppressOptions {
  readonly iouThreshold: number;
  readonly suppress?: 'within-class' | 'across-classes';
}

/** At most `limit` candidates, best first, none overlapping a better one by more than `iouThreshold`. */
export function suppress(candidates: BoxCandidate[], options: SuppressOptions, limit: number): readonly BoxCandidate[] {
  const within = (options.suppress ?? 'within-class') === 'within-class';
  const kept: BoxCandidate[] = [];
  for (const candidate of best(candidates, CONSIDERED)) {
    if (kept.length >= limit) break;
    const beaten = kept.some(
      (better) =>
        (!within || better.label === candidate.label) && overlap(better.box, candidate.box) > options.iouThreshold,
    );
    if (!beaten) kept.push(candidate);
  }
  return kept;
}

const area = ([xmin, ymin, xmax, ymax]: Box): number => Math.max(0, xmax - xmin) * Math.max(0, ymax - ymin);

/** Intersection over union, 0 to 1. */
export function overlap(a: Box, b: Box): number {
  const shared = area([Math.max(a[0], b[0]), Math.max(a[1], b[1]), Math.min(a[2], b[2]), Math.min(a[3], b[3])]);
  const either = area(a) + area(b) - shared;
  return either > 0 ? shared / either : 0;
}
