/** Pictures that tests make themselves, good ones and bad ones. */
import { crc32 } from 'node:zlib';
import sharp, { type Sharp, type SharpOptions } from 'sharp';

export const red = { r: 220, g: 20, b: 20 } as const;
export const blue = { r: 20, g: 20, b: 220 } as const;

/** Left half red, right half blue. */
export function halves(width: number, height: number): Sharp {
  const left = Math.floor(width / 2);
  return sharp({ create: { width, height, channels: 3, background: blue } }).composite([
    { input: { create: { width: left, height, channels: 3, background: red } }, left: 0, top: 0 },
  ]);
}

export type Format = 'jpeg' | 'png' | 'webp';

export const encoded = (image: Sharp, format: Format): Promise<Buffer> =>
  image.toFormat(format, format === 'jpeg' ? { quality: 95, chromaSubsampling: '4:4:4' } : {}).toBuffer();

/** A picture with enough in it that half of its bytes are half of its rows. */
export async function noisy(width: number, height: number, format: Format): Promise<Buffer> {
  let seed = 1;
  const data = Uint8Array.from({ length: width * height * 3 }, () => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed & 255;
  });
  return encoded(sharp(data, { raw: { width, height, channels: 3 } }), format);
}

function chunk(type: string, data: Uint8Array): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(data.length);
  head.write(type, 4, 'ascii');
  const tail = Buffer.alloc(4);
  tail.writeUInt32BE(crc32(Buffer.concat([head.subarray(4), data])));
  return Buffer.concat([head, data, tail]);
}

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** A PNG whose header claims any size, with next to no data. */
export function claimingPng(width: number, height: number): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', header),
    chunk('IDAT', Buffer.from([0x78, 0x9c, 3, 0, 0, 0, 0, 1])),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

/** A still PNG turned into one that says it is animated. */
export function animatedPng(still: Buffer): Buffer {
  const afterHeader = SIGNATURE.length + 25;
  const control = Buffer.alloc(8);
  control.writeUInt32BE(2, 0);
  return Buffer.concat([still.subarray(0, afterHeader), chunk('acTL', control), still.subarray(afterHeader)]);
}

/** Two frames of WebP or GIF. */
export function animated(format: 'webp' | 'gif'): Promise<Buffer> {
  const frame = (background: typeof red | typeof blue): SharpOptions => ({
    create: { width: 32, height: 32, channels: 3, background },
  });
  const frames = Promise.all([sharp(frame(red)).png().toBuffer(), sharp(frame(blue)).png().toBuffer()]);
  return frames.then((pages) =>
    sharp(pages, { join: { animated: true } })
      .toFormat(format, { loop: 0 })
      .toBuffer(),
  );
}
