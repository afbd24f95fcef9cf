/** A jail's end of its pipe: descriptor 3, blocking, because a jail has nothing to do but wait for its next frame. */
import { readSync, writeSync } from 'node:fs';
import { totalBytes } from '../encoding/bytes.ts';
import { HEADER_BYTES, frameHeader, readHeader, type Frame, type FrameLimits, type FrameType } from './frames.ts';

const PIPE = 3;

/** The next frame; undefined when the gate is gone. Throws `FrameFault`. */
export function readFrame(limits: FrameLimits, descriptor: number = PIPE): Frame | undefined {
  const header = new Uint8Array(HEADER_BYTES);
  if (!fill(descriptor, header)) return undefined;
  const { type, length } = readHeader(header, limits);
  const body = new Uint8Array(length);
  return fill(descriptor, body) ? { type, body } : undefined;
}

function fill(descriptor: number, into: Uint8Array): boolean {
  let at = 0;
  while (at < into.length) {
    const read = readSync(descriptor, into, at, into.length - at, null);
    if (read === 0) return false;
    at += read;
  }
  return true;
}

/** Writes one frame, whole. The parts are its body. */
export function writeFrame(type: FrameType, parts: readonly Uint8Array[], descriptor: number = PIPE): void {
  const length = totalBytes(parts);
  for (const part of [frameHeader(type, length), ...parts]) {
    for (let at = 0; at < part.length;) at += writeSync(descriptor, part, at, part.length - at);
  }
}
