/**
 * Stage 9. SealedAnswer -> Frame: the only way out, and when it is taken. An answer to a call leaves at the time that its
 * policy gives it: whole and sealed it waits for that, so that what is left to do then is one write, whatever it says.
 */
import { encodeFrame, encodeOuter } from '../protocol/frame.ts';
import type { Frame } from './frame.ts';
import { toFrame } from './frame.ts';
import type { Schedule } from './schedule.ts';
import type { SealedAnswer } from './seal.ts';

export function release(answer: SealedAnswer): Frame {
  return toFrame(encodeOuter({ t: 'sealed', ct: answer.ciphertext }));
}

/** Writes a whole frame, length and body, in one write. Throws nothing: the connection may be gone. */
export type Write = (frame: Uint8Array) => void;

/** What is left to do when the time of an answer has come. */
export type Leave = () => void;

export function ready(answer: SealedAnswer, write: Write): Leave {
  const frame = encodeFrame(release(answer).body);
  return () => write(frame);
}

/** Runs `leave` at `due` of the schedule's clock; at once where that is undefined or past. Resolves afterwards. */
export function leaveAt(schedule: Schedule, due: number | undefined, leave: Leave): Promise<void> {
  return new Promise((resolve) => {
    const now = (): void => {
      leave();
      resolve();
    };
    if (due === undefined || due <= schedule.now()) now();
    else schedule.at(due, now);
  });
}
