/** Stage 9. SealedAnswer -> Frame: the only way out. When an answer may leave is decided here; in this version, at once. */
import { encodeOuter } from '../protocol/frame.ts';
import type { Frame } from './frame.ts';
import { toFrame } from './frame.ts';
import type { SealedAnswer } from './seal.ts';

export function release(answer: SealedAnswer): Frame {
  return toFrame(encodeOuter({ t: 'sealed', ct: answer.ciphertext }));
}
