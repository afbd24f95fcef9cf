/** Pictures of every kind become the same pixels: what a person sees is what the model gets. */
import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import sharp, { type Sharp } from 'sharp';
import type { DecodePlan } from '../../../enclave/jail/decode.ts';
import { FRAME, PICTURE_HEADER_BYTES, UNREADABLE_BYTES } from '../../../enclave/jail/frames.ts';
import { KEEPS_FREED_MEMORY } from '../../../enclave/jail/prefault.ts';
import { spawnJail, type Jail } from '../../../enclave/jail/process.ts';
import { barePrison } from './bare-prison.ts';
import { jailEntries, type Entries } from './entries.ts';
import { blue, encoded, halves, red, type Format } from './pictures.ts';

let entries: Entries;
const jails: Jail[] = [];
beforeAll(async () => {
  entries = await jailEntries();
});
afterEach(async () => {
  await Promise.all(jails.splice(0).map((jail) => jail.kill()));
});
afterAll(() => entries.remove());

const PLAN: DecodePlan = { width: 16, height: 16, resize: { mode: 'stretch' }, channels: 3, maxBytes: 10_000_000 };

interface Seen {
  readonly width: number;
  readonly height: number;
  /** Colour at a pixel of the tensor. */
  at(x: number, y: number): readonly number[];
}

/** A decoder with this plan; gives what a picture became, or undefined where it was refused. */
async function decoder(changes: Partial<DecodePlan> = {}): Promise<(input: Uint8Array) => Promise<Seen | undefined>> {
  const plan = { ...PLAN, ...changes };
  const { node, decode, cwd } = entries.paths;
  const jail = spawnJail({ node, entry: decode, cwd, env: KEEPS_FREED_MEMORY }, barePrison());
  jails.push(jail);
  await jail.ask(FRAME.plan, [Buffer.from(JSON.stringify(plan))], { [FRAME.ready]: 0 });
  const bytes = PICTURE_HEADER_BYTES + plan.width * plan.height * plan.channels;
  return async (input) => {
    const reply = await jail.ask(FRAME.input, [input], { [FRAME.pixels]: bytes, [FRAME.unreadable]: UNREADABLE_BYTES });
    if (reply.type !== FRAME.pixels) return undefined;
    expect(reply.body).toHaveLength(bytes);
    const view = new DataView(reply.body.buffer);
    return {
      width: view.getUint32(0),
      height: view.getUint32(4),
      at: (x, y) => {
        const start = PICTURE_HEADER_BYTES + (y * plan.width + x) * plan.channels;
        return [...reply.body.subarray(start, start + plan.channels)];
      },
    };
  };
}

const about = ({ r, g, b }: { readonly r: number; readonly g: number; readonly b: number }, by = 3): unknown =>
  [r, g, b].map((value) => expect.toSatisfy((seen: number) => Math.abs(seen - value) <= by));
const corners = (seen: Seen | undefined): unknown => [
  seen?.at(0, 0),
  seen?.at(15, 0),
  seen?.at(0, 15),
  seen?.at(15, 15),
];

describe('colours', () => {
  const formats = {
    JPEG: (image: Sharp) => encoded(image, 'jpeg'),
    'progressive JPEG': (image: Sharp) =>
      image.jpeg({ progressive: true, quality: 95, chromaSubsampling: '4:4:4' }).toBuffer(),
    PNG: (image: Sharp) => encoded(image, 'png'),
    'interlaced PNG': (image: Sharp) => image.png({ progressive: true }).toBuffer(),
    'PNG with a palette': (image: Sharp) => image.png({ palette: true }).toBuffer(),
    '16-bit PNG': (image: Sharp) => image.toColourspace('rgb16').png().toBuffer(),
    WebP: (image: Sharp) => encoded(image, 'webp'),
    'lossless WebP': (image: Sharp) => image.webp({ lossless: true }).toBuffer(),
    'PNG with an opaque alpha channel': (image: Sharp) => image.ensureAlpha().png().toBuffer(),
  };
  test.each(Object.keys(formats))('of %s', async (name) => {
    const make = Object.entries(formats).find(([key]) => key === name)?.[1];
    const decode = await decoder();
    const seen = await decode((await make?.(halves(64, 48))) ?? new Uint8Array());
    expect(seen).toMatchObject({ width: 64, height: 48 });
    expect(corners(seen)).toEqual([about(red), about(blue), about(red), about(blue)]);
  });

  test('of a CMYK picture are near', async () => {
    const decode = await decoder();
    const seen = await decode(await halves(64, 48).toColourspace('cmyk').jpeg().toBuffer());
    expect(corners(seen)).toEqual([about(red, 60), about(blue, 100), about(red, 60), about(blue, 100)]);
  });

  test('that are transparent show white', async () => {
    const decode = await decoder();
    const background = { r: 200, g: 0, b: 0, alpha: 0.5 };
    const half = await sharp({ create: { width: 32, height: 32, channels: 4, background } })
      .png()
      .toBuffer();
    expect((await decode(half))?.at(8, 8)).toEqual(about({ r: 228, g: 128, b: 128 }));
  });

  test('of a gray picture fill three channels, and colours one', async () => {
    const gray = await sharp({ create: { width: 32, height: 32, channels: 3, background: '#777777' } })
      .toColourspace('b-w')
      .png()
      .toBuffer();
    const [colour, one] = [await decoder(), await decoder({ channels: 1 })];
    expect((await colour(gray))?.at(5, 5)).toEqual([0x77, 0x77, 0x77]);
    expect((await one(gray))?.at(5, 5)).toEqual([0x77]);
    const luma = (await one(await encoded(halves(64, 48), 'png')))?.at(2, 8)?.[0] ?? 0;
    expect(luma).toBeGreaterThan(60);
    expect(luma).toBeLessThan(130);
  });
});

describe('orientation', () => {
  // Where red ends up of a picture whose left half is red: [top left, top right, bottom left, bottom right].
  const SEEN: Readonly<Record<number, readonly string[]>> = {
    1: ['red', 'blue', 'red', 'blue'],
    2: ['blue', 'red', 'blue', 'red'],
    3: ['blue', 'red', 'blue', 'red'],
    4: ['red', 'blue', 'red', 'blue'],
    5: ['red', 'red', 'blue', 'blue'],
    6: ['red', 'red', 'blue', 'blue'],
    7: ['blue', 'blue', 'red', 'red'],
    8: ['blue', 'blue', 'red', 'red'],
  };
  test.each(['jpeg', 'png', 'webp'] as const)('of EXIF is respected in %s', async (format: Format) => {
    const decode = await decoder();
    for (const orientation of [1, 2, 3, 4, 5, 6, 7, 8]) {
      const seen = await decode(await encoded(halves(64, 48).withMetadata({ orientation }), format));
      const expected = SEEN[orientation]?.map((colour) => about(colour === 'red' ? red : blue));
      expect(corners(seen), `orientation ${orientation}`).toEqual(expected);
      expect([seen?.width, seen?.height]).toEqual(orientation < 5 ? [64, 48] : [48, 64]);
    }
  });
});

describe('placing', () => {
  const white = { r: 255, g: 255, b: 255 };
  const pad = { r: 114, g: 114, b: 114 };
  const wide = (): Promise<Buffer> =>
    encoded(sharp({ create: { width: 64, height: 32, channels: 3, background: white } }), 'png');

  test('a letterbox at the top left pads below', async () => {
    const decode = await decoder({ resize: { mode: 'letterbox', position: 'top-left', pad: 114 } });
    const seen = await decode(await wide());
    expect([seen?.at(0, 0), seen?.at(15, 7), seen?.at(0, 8), seen?.at(15, 15)]).toEqual([
      about(white),
      about(white),
      about(pad, 0),
      about(pad, 0),
    ]);
  });
  test('a letterbox in the middle pads on both sides', async () => {
    const decode = await decoder({ resize: { mode: 'letterbox', position: 'centre', pad: 114 } });
    const seen = await decode(await wide());
    expect([3, 4, 11, 12].map((y) => seen?.at(8, y))).toEqual([
      about(pad, 0),
      about(white),
      about(white),
      about(pad, 0),
    ]);
  });
  test('a crop shows the middle', async () => {
    const decode = await decoder({ resize: { mode: 'crop' } });
    const stripes = sharp({ create: { width: 96, height: 32, channels: 3, background: blue } }).composite([
      { input: { create: { width: 32, height: 32, channels: 3, background: red } }, left: 32, top: 0 },
    ]);
    const seen = await decode(await encoded(stripes, 'png'));
    for (const x of [2, 8, 13]) expect(seen?.at(x, 8)).toEqual(about(red, 12));
  });
  test('a crop of a picture scaled to a longer side cuts all round', async () => {
    const decode = await decoder({ resize: { mode: 'crop', shortSide: 32 } });
    const framed = sharp({ create: { width: 64, height: 64, channels: 3, background: blue } }).composite([
      { input: { create: { width: 36, height: 36, channels: 3, background: red } }, left: 14, top: 14 },
    ]);
    expect(corners(await decode(await encoded(framed, 'png')))).toEqual(Array(4).fill(about(red, 25)));
  });
  test('a strip of extreme proportions is refused where scaling would make it endless', async () => {
    const strip = await sharp({ create: { width: 8, height: 16_384, channels: 3, background: red } })
      .png()
      .toBuffer();
    const crop = await decoder({ resize: { mode: 'crop', shortSide: 512 } });
    expect(await crop(strip)).toBeUndefined();
    const letterbox = await decoder({ resize: { mode: 'letterbox', position: 'top-left', pad: 0 } });
    expect(await letterbox(strip)).toMatchObject({ width: 8, height: 16_384 });
  });
});

test('memory of a call that is taken beforehand stays, and pictures are decoded as without', async () => {
  const decode = await decoder();
  const [jail] = jails;
  const picture = await encoded(halves(64, 48), 'jpeg');
  const before = await decode(picture);
  const small = residentKiB(jail);
  await jail?.ask(FRAME.prefault, [], { [FRAME.ready]: 0 });
  expect(residentKiB(jail) - small).toBeGreaterThan(40 * 1024);
  expect((await decode(picture))?.at(2, 8)).toEqual(before?.at(2, 8));
  expect(residentKiB(jail) - small).toBeGreaterThan(40 * 1024);
});

function residentKiB(jail: Jail | undefined): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${jail?.pid}/status`, 'utf8'))?.[1]);
}
