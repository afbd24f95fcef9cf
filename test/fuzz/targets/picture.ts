/** Pictures in the decoding jail, the real process: it answers each with pixels or a reason, and does not end. */
import { readFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import sharp from 'sharp';
import { concat } from '../../../enclave/encoding/bytes.ts';
import type { DecodePlan } from '../../../enclave/jail/decode.ts';
import { FRAME, PICTURE_HEADER_BYTES, UNREADABLE_BYTES } from '../../../enclave/jail/frames.ts';
import { KEEPS_FREED_MEMORY } from '../../../enclave/jail/prefault.ts';
import { spawnJail } from '../../../enclave/jail/process.ts';
import type { Jail } from '../../../enclave/jail/process.ts';
import { explainUnreadable } from '../../../enclave/jail/unreadable.ts';
import { barePrison } from '../../enclave/jail/bare-prison.ts';
import { jailEntries } from '../../enclave/jail/entries.ts';
import { animatedPng, claimingPng, encoded, halves, noisy } from '../../enclave/jail/pictures.ts';
import { mutate } from '../mutate.ts';
import type { Random } from '../random.ts';
import { Broken, demand } from '../target.ts';
import type { Target } from '../target.ts';

const MAX_BYTES = 40_000;
/** The length of an input chooses what the gate wants of it. */
const PLANS: readonly DecodePlan[] = [
  { width: 64, height: 64, channels: 3, maxBytes: MAX_BYTES, resize: { mode: 'stretch' } },
  {
    width: 48,
    height: 32,
    channels: 3,
    maxBytes: MAX_BYTES,
    resize: { mode: 'letterbox', position: 'centre', pad: 114 },
  },
  { width: 32, height: 32, channels: 1, maxBytes: MAX_BYTES, resize: { mode: 'crop', shortSide: 40 } },
];
/** What the process may hold between two pictures. */
const MOST_RESIDENT_KIB = 700_000;
const LOOK_EVERY = 128;

export async function open(): Promise<Target> {
  const entries = await jailEntries();
  const jails = new Map<DecodePlan, Jail>();
  const jailOf = async (plan: DecodePlan): Promise<Jail> => {
    const known = jails.get(plan);
    if (known?.alive() === true) return known;
    const { node, decode: entry, cwd } = entries.paths;
    const jail = spawnJail({ node, entry, cwd, env: KEEPS_FREED_MEMORY }, barePrison());
    await jail.ask(FRAME.plan, [Buffer.from(JSON.stringify(plan))], { [FRAME.ready]: 0 });
    jails.set(plan, jail);
    return jail;
  };
  let turn = 0;
  return {
    codes: new Set(),
    seeds: await pictures(),
    vary,
    repair: (bytes) => mended(bytes),
    words: ['Exif\0\0', 'ICC_PROFILE\0', 'IHDR', 'PLTE', 'IDAT', 'tRNS', 'iCCP', 'eXIf', 'acTL', 'IEND', 'VP8 ', 'VP8L', 'VP8X', 'ALPH', 'ANIM', 'EXIF', 'RIFF', 'WEBP'], // prettier-ignore
    maxBytes: MAX_BYTES,
    limitMs: 8_000,
    async run(input) {
      const plan = PLANS[input.length % PLANS.length] ?? { width: 1, height: 1, channels: 1, maxBytes: 1, resize: { mode: 'stretch' } }; // prettier-ignore
      const jail = await jailOf(plan);
      turn += 1;
      const limits = { [FRAME.pixels]: pixelBytes(plan), [FRAME.unreadable]: UNREADABLE_BYTES };
      const reply = await jail.ask(FRAME.input, [input], limits).catch((error: unknown) => {
        throw new Broken(`the jail ended: ${String(error)}`);
      });
      if (turn % LOOK_EVERY === 0) demandSlim(jail.pid);
      const { body } = reply;
      const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
      if (reply.type === FRAME.pixels) {
        demand(body.length === pixelBytes(plan), 'another number of pixels than the plan says');
        return ['jpeg', 'png', 'webp'][view.getUint8(8)] ?? 'another format';
      }
      const why = explainUnreadable(view.getUint8(0), view.getUint32(1), view.getUint32(5));
      if (why === undefined) throw new Broken('a reason that nobody knows');
      return `no picture: ${why.replaceAll(/\d+/g, 'n').slice(0, 40)}`;
    },
    async close() {
      for (const jail of jails.values()) await jail.kill();
      entries.remove();
    },
  };
}

const pixelBytes = ({ width, height, channels }: DecodePlan): number =>
  PICTURE_HEADER_BYTES + width * height * channels;

function demandSlim(pid: number): void {
  const resident = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '0';
  demand(Number(resident) < MOST_RESIDENT_KIB, `the jail holds ${resident} KiB`);
}

async function pictures(): Promise<readonly Uint8Array[]> {
  const still = await encoded(halves(40, 30), 'png');
  const made = [
    still,
    animatedPng(still),
    claimingPng(60_000, 2),
    claimingPng(16_384, 16_384),
    await encoded(halves(40, 30), 'jpeg'),
    await encoded(halves(40, 30), 'webp'),
    await noisy(24, 33, 'jpeg'),
    await halves(50, 40).withMetadata({ orientation: 6 }).jpeg({ progressive: true }).toBuffer(),
    await halves(20, 20).ensureAlpha(0.5).webp({ lossless: true }).toBuffer(),
    await halves(33, 20).grayscale().png({ palette: true, colours: 4 }).toBuffer(),
    await sharp({ create: { width: 17, height: 19, channels: 4, background: { r: 1, g: 2, b: 3, alpha: 0.3 } } }).toColourspace('rgb16').png({ progressive: true }).toBuffer(), // prettier-ignore
  ];
  return made.map((picture) => new Uint8Array(picture));
}

interface Piece {
  readonly start: number;
  readonly end: number;
}

/** PNG chunks, RIFF chunks or JPEG segments, by what their headers say; the last goes to the end. */
function piecesOf(bytes: Uint8Array): readonly Piece[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const pieces: Piece[] = [];
  const isPng = bytes[0] === 0x89;
  const isRiff = bytes[0] === 0x52;
  for (let at = isPng ? 8 : isRiff ? 12 : 2; at < bytes.length;) {
    const rest = bytes.length - at;
    const isScan = !isPng && !isRiff && bytes[at + 1] === 0xda;
    let length = rest;
    if (isPng && rest >= 12) length = 12 + view.getUint32(at);
    else if (isRiff && rest >= 8) length = 8 + ((view.getUint32(at + 4, true) + 1) & ~1);
    else if (!isPng && !isRiff && !isScan && rest >= 4) length = 2 + view.getUint16(at + 2);
    const end = Math.min(bytes.length, at + Math.max(1, length));
    pieces.push({ start: at, end });
    at = end;
  }
  return pieces;
}

/** A piece dropped, doubled, moved or changed. */
function vary(bytes: Uint8Array, random: Random): Uint8Array {
  const pieces = piecesOf(bytes);
  const [first] = pieces;
  if (first === undefined) return mutate(bytes, random, { others: [bytes], words: [], maxBytes: MAX_BYTES });
  const list = pieces.map(({ start, end }) => bytes.subarray(start, end));
  const at = random.int(list.length);
  const one = list[at] ?? new Uint8Array();
  const other = random.int(list.length + 1);
  const changed = [
    () => list.toSpliced(at, 1),
    () => list.toSpliced(other, 0, one),
    () => list.toSpliced(at, 1).toSpliced(other, 0, one),
    () => list.with(at, mutate(one, random, { others: list, words: [], maxBytes: one.length + 64 })),
    () => list.with(at, mutate(one, random, { others: list, words: [], maxBytes: one.length })),
  ];
  return concat(bytes.subarray(0, first.start), ...random.pick(changed)());
}

/** The checksums of a PNG, the length of a RIFF. */
function mended(bytes: Uint8Array): Uint8Array {
  const fixed = bytes.slice();
  const view = new DataView(fixed.buffer);
  if (fixed[0] === 0x52 && fixed.length >= 12) view.setUint32(4, fixed.length - 8, true);
  if (fixed[0] !== 0x89) return fixed;
  for (const { start, end } of piecesOf(fixed)) {
    if (end - start >= 12) view.setUint32(end - 4, crc32(fixed.subarray(start + 4, end - 4)));
  }
  return fixed;
}
