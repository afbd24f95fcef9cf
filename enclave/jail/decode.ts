/**
 * The decoding process: a picture in, pixels of one fixed shape out. It holds no weights, no keys and no sockets, and it
 * is the only process in which `sharp` runs.
 */
import sharp, { type Sharp } from 'sharp';
import { MAX_PIXELS, MAX_SIDE, MEDIA_TYPES, MIN_SIDE, type MediaType } from '../functions/picture.ts';
import { FRAME, PICTURE_HEADER_BYTES, PLAN_BYTES, UNREADABLE_BYTES } from './frames.ts';
import { place, type Placement, type TensorSize } from './geometry.ts';
import { pngFault, sniff } from './picture.ts';
import { readFrame, writeFrame } from './pipe.ts';
import { prefaultHeap } from './prefault.ts';
import { runJail } from './program.ts';
import { UNREADABLE, type Unreadable } from './unreadable.ts';

/** What the gate wants of every picture. */
export interface DecodePlan extends TensorSize {
  readonly channels: 1 | 3;
  readonly maxBytes: number;
}

/** A longer side, once scaled, is refused: a strip of a few pixels' width would make it endless. */
const SCALED_SIDE = 65_535;

/** A picture of MAX_PIXELS with four channels of 16 bits, twice, and what Node has. */
const LIMITS = { dataBytes: 1.25 * 2 ** 30, addressBytes: 8 * 2 ** 30, cpuSeconds: 120 } as const;

const OPTIONS = {
  // Cut off or damaged is refused; what libraries merely warn of (a stray byte between segments) is not.
  failOn: 'error',
  limitInputPixels: MAX_PIXELS,
  sequentialRead: true,
  unlimited: false,
} as const;

interface Decoded {
  readonly mediaType: MediaType;
  /** As the EXIF orientation shows it. */
  readonly width: number;
  readonly height: number;
  readonly pixels: Uint8Array;
}

interface Refused {
  readonly reason: Unreadable;
  readonly width: number;
  readonly height: number;
}

const refuse = (reason: Unreadable, width = 0, height = 0): Refused => ({ reason, width, height });

function setUp(): void {
  sharp.cache(false);
  sharp.concurrency(1);
  // Every loader but these three is shut, whatever the content looks like.
  sharp.block({ operation: ['VipsForeignLoad'] });
  sharp.unblock({
    operation: ['VipsForeignLoadJpegBuffer', 'VipsForeignLoadPngBuffer', 'VipsForeignLoadWebpBuffer'],
  });
}

/** The first picture of a process takes longer. This one is nobody's. */
async function rehearse(plan: DecodePlan): Promise<void> {
  const { width, height } = plan;
  const blank = sharp({ create: { width, height, channels: 3, background: '#808080' } });
  await decode(await blank.jpeg().toBuffer(), plan);
}

async function decode(bytes: Uint8Array, plan: DecodePlan): Promise<Decoded | Refused> {
  const mediaType = sniff(bytes);
  if (mediaType === undefined) return refuse('format');
  const fault = mediaType === 'image/png' ? pngFault(bytes) : undefined;
  if (fault !== undefined) return refuse(fault);
  try {
    // The header alone: no pixel is allocated before its sizes are judged.
    const header = await sharp(bytes, { ...OPTIONS, limitInputPixels: false }).metadata();
    if (`image/${header.format}` !== mediaType) return refuse('format');
    if ((header.pages ?? 1) > 1) return refuse('animated');
    const { width, height } = header.autoOrient;
    if (width < MIN_SIDE || height < MIN_SIDE) return refuse('tooSmall', width, height);
    if (width > MAX_SIDE || height > MAX_SIDE || width * height > MAX_PIXELS) return refuse('tooLarge', width, height);
    const placement = place(plan, width, height);
    if (Math.max(placement.width, placement.height) > SCALED_SIDE) return refuse('proportions', width, height);
    const part = await shrink(sharp(bytes, OPTIONS), placement, plan, header.hasAlpha);
    return { mediaType, width, height, pixels: lay(part, placement, plan) };
  } catch {
    return refuse('damaged');
  }
}

interface Part {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** The picture as its orientation shows it, in 8-bit sRGB or gray, scaled, and cut where it reaches over the tensor. */
async function shrink(image: Sharp, placement: Placement, plan: DecodePlan, alpha: boolean): Promise<Part> {
  let pipeline = image.autoOrient();
  // What is transparent shows white, as on paper.
  if (alpha) pipeline = pipeline.flatten({ background: '#ffffff' });
  pipeline = pipeline.resize({ width: placement.width, height: placement.height, fit: 'fill' });
  const width = Math.min(placement.width, plan.width);
  const height = Math.min(placement.height, plan.height);
  if (width < placement.width || height < placement.height) {
    pipeline = pipeline.extract({
      left: Math.max(0, -placement.left),
      top: Math.max(0, -placement.top),
      width,
      height,
    });
  }
  pipeline = plan.channels === 1 ? pipeline.grayscale().toColourspace('b-w') : pipeline.toColourspace('srgb');
  const { data, info } = await pipeline.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
  if (info.width !== width || info.height !== height || data.length !== width * height * plan.channels) {
    throw new Error(`sharp gave ${info.width} x ${info.height} x ${info.channels}`);
  }
  return { data, width, height };
}

/** Puts the part where it stands in the tensor; what it leaves free is padding. */
function lay(part: Part, placement: Placement, { width, height, channels, resize }: DecodePlan): Uint8Array {
  if (part.width === width && part.height === height) return part.data;
  const pixels = new Uint8Array(width * height * channels).fill(resize.mode === 'letterbox' ? resize.pad : 0);
  const row = part.width * channels;
  const left = Math.max(0, placement.left);
  const top = Math.max(0, placement.top);
  for (let y = 0; y < part.height; y++) {
    pixels.set(part.data.subarray(y * row, (y + 1) * row), ((y + top) * width + left) * channels);
  }
  return pixels;
}

function answer(result: Decoded | Refused): void {
  if ('reason' in result) {
    const body = new Uint8Array(UNREADABLE_BYTES);
    const view = new DataView(body.buffer);
    view.setUint8(0, UNREADABLE[result.reason]);
    view.setUint32(1, result.width);
    view.setUint32(5, result.height);
    writeFrame(FRAME.unreadable, [body]);
    return;
  }
  const header = new Uint8Array(PICTURE_HEADER_BYTES);
  const view = new DataView(header.buffer);
  view.setUint32(0, result.width);
  view.setUint32(4, result.height);
  view.setUint8(8, MEDIA_TYPES.indexOf(result.mediaType));
  writeFrame(FRAME.pixels, [header, result.pixels]);
}

async function serve(): Promise<void> {
  const first = readFrame({ [FRAME.plan]: PLAN_BYTES });
  if (first === undefined) return;
  const plan: DecodePlan = JSON.parse(new TextDecoder().decode(first.body));
  setUp();
  await rehearse(plan);
  writeFrame(FRAME.ready, []);
  for (;;) {
    const frame = readFrame({ [FRAME.input]: plan.maxBytes, [FRAME.prefault]: 0 });
    if (frame === undefined) return;
    if (frame.type === FRAME.input) answer(await decode(frame.body, plan));
    else {
      prefaultHeap();
      writeFrame(FRAME.ready, []);
    }
  }
}

await runJail(LIMITS, serve);
