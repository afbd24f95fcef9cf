/**
 * What the computing jail answers: indexes and numbers.
 *
 *     struct {
 *       uint16 label;                   index into the manifest's labels
 *       float64 score;                  0 to 1
 *       float64 box[4];                 detectors only: xmin, ymin, xmax, ymax relative to the tensor
 *     } Candidate;
 *     struct { Candidate candidates<0..topK>; } Candidates;      as many as the body holds
 */
import type { Candidate } from '../functions/candidate.ts';

export const candidateBytes = (boxes: boolean): number => (boxes ? 42 : 10);

export function encodeCandidates(candidates: readonly Candidate[], boxes: boolean): Uint8Array {
  const size = candidateBytes(boxes);
  const bytes = new Uint8Array(candidates.length * size);
  const view = new DataView(bytes.buffer);
  candidates.forEach(({ label, score, box }, index) => {
    view.setUint16(index * size, label);
    [score, ...(boxes ? (box ?? []) : [])].forEach((value, position) => {
      view.setFloat64(index * size + 2 + position * 8, value);
    });
  });
  return bytes;
}

/** Undefined where the bytes are no list of candidates with finite numbers. */
export function decodeCandidates(bytes: Uint8Array, boxes: boolean): readonly Candidate[] | undefined {
  const size = candidateBytes(boxes);
  if (bytes.length % size !== 0) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const candidates: Candidate[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    const number = (position: number): number => view.getFloat64(at + 2 + position * 8);
    const label = view.getUint16(at);
    const score = number(0);
    if (!(score >= 0 && score <= 1)) return undefined;
    if (boxes) {
      const box = [number(1), number(2), number(3), number(4)] as const;
      if (!box.every(Number.isFinite)) return undefined;
      candidates.push({ label, score, box });
    } else {
      candidates.push({ label, score });
    }
  }
  return candidates;
}
