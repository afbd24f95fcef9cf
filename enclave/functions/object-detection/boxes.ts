/** What the readers of every kind of detector share. */
import type { Box } from '../candidate.ts';

/** The box of a centre and a size. */
export const centred = (cx: number, cy: number, w: number, h: number): Box => [
  cx - w / 2,
  cy - h / 2,
  cx + w / 2,
  cy + h / 2,
];

/** Index of the largest number; the first of equal ones. */
export function argmax(values: Float64Array, skip = -1): number {
  let best = skip === 0 ? 1 : 0;
  for (let index = 0; index < values.length; index++) {
    if (index !== skip && (values[index] ?? 0) > (values[best] ?? 0)) best = index;
  }
  return best;
}
