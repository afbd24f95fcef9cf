/** Inputs that take long to read, for measuring: as large as a bucket lets them be. */
import { randomFillSync } from 'node:crypto';
import { promisify } from 'node:util';
import { crc32, deflate } from 'node:zlib';

import { MAX_PIXELS, MAX_SIDE } from '../../enclave/functions/picture.ts';

const deflated = promisify(deflate);

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
const CHANNELS = 3;
/** zlib packs zeros to a thousandth and a little more. */
const ZEROS_PACKED = 1000;
/** Of chunks and checksums, and of what noise grows by when it is packed. */
const HEAD_BYTES = 200;
const NOISE_GROWS = 1.001;

/**
 * A PNG of at most `bytes` bytes with as many pixels as such a file may hold, 50 million at most; what room is left is
 * filled with rows of noise. `bytes` is at least 1024.
 */
export async function worstPicture(bytes: number): Promise<Uint8Array> {
  const room = bytes - HEAD_BYTES;
  const pixels = Math.min(MAX_PIXELS, Math.floor((room * ZEROS_PACKED) / CHANNELS / 1.1));
  const side = Math.min(MAX_SIDE, Math.floor(Math.sqrt(pixels)));
  const row = 1 + side * CHANNELS;
  const raw = new Uint8Array(row * side);
  const zeros = raw.length / ZEROS_PACKED;
  const noisy = Math.max(0, Math.min(side, Math.floor((room - zeros - side) / (row * NOISE_GROWS)) - 1));
  for (let index = 0; index < noisy; index += 1) randomFillSync(raw, index * row + 1, row - 1);
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, side);
  view.setUint32(4, side);
  header.set([8, 2], 8); // eight bits, red green blue
  const picture = Buffer.concat([
    SIGNATURE,
    chunk('IHDR', header),
    chunk('IDAT', await deflated(raw, { level: 9 })),
    chunk('IEND', new Uint8Array()),
  ]);
  if (picture.length > bytes) throw new RangeError(`a picture of ${picture.length} bytes for ${bytes}`);
  return picture;
}

function chunk(name: string, content: Uint8Array): Uint8Array {
  const body = Buffer.concat([Buffer.from(name, 'latin1'), content]);
  const whole = Buffer.alloc(8 + body.length);
  whole.writeUInt32BE(content.length, 0);
  whole.set(body, 4);
  whole.writeUInt32BE(crc32(body), 4 + body.length);
  return whole;
}
