/** Where the pipeline begins and ends: a body that fits the wire. */
import { Failure } from '../../policies/failure.ts';
import type { FrameCode, FrameReader } from '../protocol/frame.ts';
import { LIMITS } from '../protocol/limits.ts';

const FRAME: unique symbol = Symbol('Frame');

export interface Frame {
  /** 1 to LIMITS.frameBytes bytes, without the length in front. */
  readonly body: Uint8Array;
  readonly [FRAME]: true;
}

/** One that a party sent. */
export interface Received extends Frame {
  /** When its last byte was read, by the schedule's clock. */
  readonly arrival: number;
}

export function toFrame(body: Uint8Array): Frame {
  if (body.length === 0 || body.length > LIMITS.frameBytes) {
    throw new Failure<FrameCode>('malformed', 'frame/oversized', `a frame of ${body.length} bytes`);
  }
  return { body, [FRAME]: true };
}

/** The next frame; undefined where the party is done. `now`: the schedule's clock. */
export async function receive(
  reader: FrameReader,
  now: () => number,
  signal: AbortSignal,
): Promise<Received | undefined> {
  const body = await reader.readFrame(signal);
  const arrival = now();
  return body === undefined ? undefined : { ...toFrame(body), arrival };
}
