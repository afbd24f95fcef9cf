/**
 * What gate and jail say to each other, over one pipe each.
 *
 *     struct {
 *       uint8  type;
 *       uint32 length;                  big-endian; bounded by type, compared before anything is allocated
 *       opaque body[length];
 *     } Frame;
 *
 *     gate -> decoder   plan        JSON of a DecodePlan, at most 1 KiB; once
 *     decoder -> gate   ready       empty
 *     gate -> decoder   prefault    empty: to take the memory of a call from the kernel before there is one; answered by ready
 *     gate -> decoder   input       the picture as the caller sent it
 *     decoder -> gate   pixels      struct { uint32 width, height; uint8 mediaType; uint8 pixels[H * W * C]; }
 *                                   width and height of the oriented picture; pixels by row, RGB or gray
 *     decoder -> gate   unreadable  struct { uint8 reason; uint32 width, height; }
 *                                   of the oriented picture, where the reason is one of sizes; else zero
 *
 *     gate -> computer  model       struct { uint32 length; opaque setup[length]; opaque onnx[]; }; once
 *     computer -> gate  ready       empty
 *     computer -> gate  refused     struct { uint8 code; opaque text[]; }     of the model: UTF-8, for its owner
 *     gate -> computer  pixels      uint8 pixels[H * W * C]
 *     computer -> gate  candidates  see candidates.ts
 *     computer -> gate  invalid     empty; why is not said, because the caller may not learn of weights
 *
 *     gate -> reader    plan        JSON of a RecordPlan, at most 128 KiB; once
 *     reader -> gate    ready       empty
 *     gate -> reader    input       the record as the caller sent it: JSON
 *     reader -> gate    vector      float32 numbers[features], little-endian, as many as the policy's bound
 *     reader -> gate    unreadable  struct { uint8 reason; uint32 place, zero; }    see record-refusal.ts
 *
 *     gate -> walker    model       as to the computer, with the file of a tree; once
 *     walker -> gate    ready, refused                                              as the computer's
 *     gate -> walker    vector      as the reader gave it
 *     walker -> gate    label       uint16: index into the manifest's labels
 *
 * One question at a time, one answer each. Whoever hears anything else ends the conversation.
 */
export const FRAME = {
  plan: 1,
  input: 2,
  model: 3,
  pixels: 4,
  vector: 5,
  prefault: 6,
  ready: 16,
  unreadable: 17,
  refused: 18,
  candidates: 19,
  invalid: 20,
  label: 21,
} as const;

export type FrameType = (typeof FRAME)[keyof typeof FRAME];

export const HEADER_BYTES = 5;
/** Of the body of a `pixels` frame that the decoder writes, before the pixels. */
export const PICTURE_HEADER_BYTES = 9;
export const UNREADABLE_BYTES = 9;
export const PLAN_BYTES = 1_024;
/** Of a reader of records: 256 names of 64 characters each fit. */
export const RECORD_PLAN_BYTES = 131_072;
/** Longest `model`: setup and file, which whoever reads them bounds further. */
export const MODEL_BYTES = 300_000_000;
/** Code and words, of a refused model. */
export const REFUSAL_BYTES = 513;

export interface Frame {
  readonly type: number;
  readonly body: Uint8Array;
}

/** Greatest length of a body, by type; a type that is not named is not expected. */
export type FrameLimits = Readonly<Partial<Record<number, number>>>;

/** Why bytes are no frame that was expected. */
export class FrameFault extends Error {}

export function frameHeader(type: FrameType, length: number): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES);
  header[0] = type;
  new DataView(header.buffer).setUint32(1, length);
  return header;
}

/** Type and length, checked against what is expected. Throws `FrameFault`. */
export function readHeader(
  header: Uint8Array,
  limits: FrameLimits,
): { readonly type: number; readonly length: number } {
  const view = new DataView(header.buffer, header.byteOffset, HEADER_BYTES);
  const type = view.getUint8(0);
  const length = view.getUint32(1);
  const limit = limits[type];
  if (limit === undefined) throw new FrameFault(`a frame of type ${type} is not expected`);
  if (length > limit)
    throw new FrameFault(`a frame of type ${type} claims ${length} bytes; at most ${limit} are taken`);
  return { type, length };
}

export interface FrameAssembler {
  /** Takes bytes as they come. Gives the frame when it is whole. Throws `FrameFault`, also for bytes beyond it. */
  push(chunk: Uint8Array): Frame | undefined;
  /** Overwrites what has come of the frame. */
  wipe(): void;
}

/** Puts one frame together from pieces of any size. */
export function assembleFrame(limits: FrameLimits): FrameAssembler {
  const header = new Uint8Array(HEADER_BYTES);
  let have = 0;
  let type = 0;
  let body: Uint8Array | undefined;
  return {
    push(chunk) {
      let at = 0;
      if (have < HEADER_BYTES) {
        at = Math.min(HEADER_BYTES - have, chunk.length);
        header.set(chunk.subarray(0, at), have);
        have += at;
        if (have < HEADER_BYTES) return undefined;
        const expected = readHeader(header, limits);
        type = expected.type;
        body = new Uint8Array(expected.length);
      }
      if (body === undefined) return undefined;
      const filled = have - HEADER_BYTES;
      if (chunk.length - at > body.length - filled) throw new FrameFault('bytes follow the frame');
      body.set(chunk.subarray(at), filled);
      have += chunk.length - at;
      return have - HEADER_BYTES === body.length ? { type, body } : undefined;
    },
    wipe: () => void body?.fill(0),
  };
}
