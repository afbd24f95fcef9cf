/**
 * object-detection: a picture in, what was found out (`../picture.schema.json`, `output.schema.json`). Here is the gate's own
 * writing of the answer: labels by index into the manifest, boxes clipped, numbers rounded.
 */
import type { PicturePolicy } from '../../../policies/model.ts';
import type { Box, Candidate } from '../candidate.ts';
import { clip, round } from '../round.ts';

export interface DetectedObject {
  readonly label: string;
  readonly score: number;
  /** [ymin, xmin, ymax, xmax], relative to the picture as its EXIF orientation shows it. */
  readonly box: readonly [number, number, number, number];
}

export interface DetectionAnswer {
  readonly objects: readonly DetectedObject[];
}

/**
 * `toPicture` maps a point relative to the tensor to one relative to the oriented picture. Boxes outside of the picture
 * are dropped. Undefined where the candidates are none that the computing jail could have come to honestly.
 */
export function rebuildObjects(
  candidates: readonly Candidate[],
  labels: readonly string[],
  limits: PicturePolicy['output'],
  toPicture: (x: number, y: number) => readonly [x: number, y: number],
): DetectionAnswer | undefined {
  if (candidates.length > limits.topK) return undefined;
  const objects: DetectedObject[] = [];
  for (const { label, score, box } of candidates) {
    const name = labels[label];
    if (name === undefined || box === undefined || !(box[0] <= box[2] && box[1] <= box[3])) return undefined;
    const [xmin, ymin, xmax, ymax] = clipped(box, toPicture);
    if (xmin >= xmax || ymin >= ymax) continue;
    const digits = (value: number): number => round(value, limits.decimals);
    objects.push({ label: name, score: digits(score), box: [digits(ymin), digits(xmin), digits(ymax), digits(xmax)] });
  }
  return { objects };
}

function clipped(box: Box, toPicture: (x: number, y: number) => readonly [x: number, y: number]): Box {
  const [left, top] = toPicture(box[0], box[1]);
  const [right, bottom] = toPicture(box[2], box[3]);
  return [clip(left), clip(top), clip(right), clip(bottom)];
}
