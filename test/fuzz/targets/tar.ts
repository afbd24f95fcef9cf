/** Container images: the archive an engine saves, its layers as tar archives, and the tree they make together. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { readDockerArchive } from '../../../build/image/docker-archive.ts';
import type { EngineImageCode } from '../../../build/image/engine-image.ts';
import { flattenLayers, treeEntries } from '../../../build/image/flatten.ts';
import { LAYER_LIMITS, readLayer } from '../../../build/image/layer.ts';
import type { LayerCode } from '../../../build/image/layer.ts';
import { planCpio } from '../../../build/image/cpio.ts';
import { concat } from '../../../enclave/encoding/bytes.ts';
import { file, folder, hardlink, opaque, pieces, savedImage, symlink, tarOf, whiteout } from '../../build/image/tar.ts';
import { mutate } from '../mutate.ts';
import type { Random } from '../random.ts';
import { codesOf } from '../target.ts';
import type { Target } from '../target.ts';
import { varyJson } from '../trees.ts';

/** The first byte of an input says what it is: a layer, or a whole archive (which goes through files, hence slower). */
const ARCHIVE = 1;
const BLOCK = 512;
const WORDS = ['ustar\0', '00000000000\0', '77777777777\0', '\u0080', 'PaxHeader', '30 path=', '20 size=-1\n', '12 size=9\n', '26 size=99999999999999\n', '24 linkpath=../../x\n', '45 SCHILY.xattr.security.capability=\0\n', '22 GNU.sparse.major=1\n', '.wh.', '.wh..wh..opq', '../', '/', './', '\0', 'manifest.json', 'config.json', 'sha256:']; // prettier-ignore

export async function open(): Promise<Target> {
  const place = mkdtempSync(join(tmpdir(), 'accord-fuzz-tar-'));
  const lower = await tarOf([
    folder('usr'),
    folder('usr/bin'),
    file('usr/bin/node', 'program', 0o755),
    hardlink('usr/bin/nodejs', 'usr/bin/node'),
    symlink('bin', 'usr/bin'),
    file(`usr/${'long/'.repeat(40)}name`),
  ]);
  const upper = await tarOf([folder('usr'), whiteout('usr/bin/node'), opaque('usr/bin'), { ...file('a'), pax: { comment: 'b' } }]); // prettier-ignore
  const archive = await savedImage([lower, upper]);
  const zipped = await savedImage([lower], { stored: (layer) => gzipSync(layer) });
  return {
    codes: codesOf<LayerCode | EngineImageCode>(CODES),
    seeds: [
      ...[lower, upper].map((layer) => concat(Uint8Array.of(0), layer)),
      ...[archive, zipped].map((bytes) => concat(Uint8Array.of(ARCHIVE), bytes)),
    ],
    vary,
    repair: (input) => concat(input.subarray(0, 1), withChecksums(withDigests(input.subarray(1)))),
    words: WORDS,
    maxBytes: 40_000,
    limitMs: 5_000,
    limitBytes: (bytes) => 16 * 1024 * 1024 + 1_200 * bytes,
    run: (input) => (isArchive(input) ? readArchive(input.subarray(1), place) : readOne(input.subarray(1))),
    close: async () => rmSync(place, { recursive: true, force: true }),
  };
}

const isArchive = (input: Uint8Array): boolean => (input[0] ?? 0) % 8 === ARCHIVE;

async function readOne(bytes: Uint8Array): Promise<string> {
  const keep = async (
    content: AsyncIterable<Uint8Array>,
  ): Promise<{ file: string; offset: number; bytes: number; sha256: string }> => {
    let length = 0;
    for await (const piece of content) length += piece.length;
    return { file: '', offset: 0, bytes: length, sha256: '0'.repeat(64) };
  };
  const layer = await readLayer(pieces(bytes), 'layer', { ...LAYER_LIMITS }, keep);
  planCpio(treeEntries(flattenLayers([layer])));
  return 'layer';
}

async function readArchive(bytes: Uint8Array, place: string): Promise<string> {
  const own = await mkdtemp(join(place, 'a-'));
  try {
    const { layers } = await readDockerArchive(pieces(bytes), own);
    planCpio(treeEntries(flattenLayers(layers)));
    return 'archive';
  } finally {
    await rm(own, { recursive: true, force: true });
  }
}

interface Entry {
  /** 512 bytes. */
  readonly header: Uint8Array;
  readonly content: Uint8Array;
}

/** Split where the headers say. */
function entriesOf(bytes: Uint8Array): readonly Entry[] {
  const entries: Entry[] = [];
  for (let at = 0; at + BLOCK <= bytes.length && bytes[at] !== 0;) {
    const header = bytes.slice(at, at + BLOCK);
    const size = Number.parseInt(Buffer.from(header.subarray(124, 135)).toString('latin1'), 8);
    const held = Number.isNaN(size) ? 0 : Math.min(size, bytes.length - at - BLOCK);
    entries.push({ header, content: bytes.slice(at + BLOCK, at + BLOCK + held) });
    at += BLOCK + Math.ceil(held / BLOCK) * BLOCK;
  }
  return entries;
}

function joined(entries: readonly Entry[]): Uint8Array {
  const parts = entries.flatMap(({ header, content }) => {
    const sized = header.slice();
    sized.set(Buffer.from(`${content.length.toString(8).padStart(11, '0')}\0`, 'latin1'), 124);
    return [sized, content, new Uint8Array((BLOCK - (content.length % BLOCK)) % BLOCK)];
  });
  return concat(...parts, new Uint8Array(2 * BLOCK));
}

/** Another list of entries, another field of a header, another content. */
async function vary(input: Uint8Array, random: Random): Promise<Uint8Array> {
  const entries = entriesOf(input.subarray(1));
  const material = { others: [input], words: WORDS, maxBytes: 4_000 };
  if (entries.length === 0) return mutate(input, random, material);
  const at = random.int(entries.length);
  const entry = entries[at] ?? { header: new Uint8Array(BLOCK), content: new Uint8Array() };
  const changed = async (): Promise<readonly Entry[]> => {
    switch (random.int(6)) {
      case 0:
        return entries.toSpliced(at, 1);
      case 1:
        return entries.toSpliced(random.int(entries.length), 0, entry);
      case 2:
        return entries.with(at, { ...entry, header: withField(entry.header, random) });
      case 3:
        return entries.with(at, { header: withField(entry.header, random), content: mutate(entry.content, random, material) }); // prettier-ignore
      default:
        return entries.with(at, { ...entry, content: await varyContent(entry.content, random) });
    }
  };
  return concat(input.subarray(0, 1), joined(await changed()));
}

/** Offset and length of a header's fields: name, mode, size, type, link, magic, prefix. */
const FIELDS = [[0, 100], [100, 8], [124, 12], [156, 1], [157, 100], [257, 8], [345, 155]] as const; // prettier-ignore

function withField(header: Uint8Array, random: Random): Uint8Array {
  const [offset, length] = random.pick(FIELDS);
  const field = new Uint8Array(length);
  if (offset === 156) field[0] = random.pick([0x30, 0x31, 0x32, 0x33, 0x35, 0x36, 0x37, 0x4c, 0x4b, 0x53, 0x67, 0x78, 0]);
  else field.set(mutate(header.subarray(offset, offset + length), random, { others: [header], words: WORDS, maxBytes: length })); // prettier-ignore
  const changed = header.slice();
  changed.set(field, offset);
  return changed;
}

async function varyContent(content: Uint8Array, random: Random): Promise<Uint8Array> {
  const text = Buffer.from(content.subarray(0, 1)).toString('latin1');
  if (text === '{' || text === '[') return varyJson(content, random);
  if (content.length >= 2 * BLOCK) return (await vary(concat(Uint8Array.of(0), content), random)).subarray(1);
  return mutate(content, random, { others: [content], words: WORDS, maxBytes: 1_024 });
}

/** The sums of all headers, nested ones first. */
function withChecksums(bytes: Uint8Array): Uint8Array {
  const fixed = bytes.slice();
  for (let at = 0; at + BLOCK <= fixed.length; at += BLOCK) {
    const header = fixed.subarray(at, at + BLOCK);
    if (Buffer.from(header.subarray(257, 262)).toString('latin1') !== 'ustar') continue;
    header.fill(0x20, 148, 156);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.set(Buffer.from(`${sum.toString(8).padStart(6, '0')}\0 `, 'latin1'), 148);
  }
  return fixed;
}

/** The configuration names its layers by their hashes, which are those of what a change made of them. */
function withDigests(bytes: Uint8Array): Uint8Array {
  const entries = entriesOf(bytes);
  const isLayer = ({ header }: Entry): boolean => Buffer.from(header.subarray(0, 100)).includes('layer.tar');
  const digests = entries.filter(isLayer).map(({ content }) => {
    const layer = content[0] === 0x1f ? unzipped(content) : withChecksums(content);
    return `sha256:${createHash('sha256').update(layer).digest('hex')}`;
  });
  if (digests.length === 0) return bytes;
  let turn = 0;
  return joined(
    entries.map((entry) => {
      const text = Buffer.from(entry.content).toString('latin1');
      if (!text.includes('diff_ids')) return entry;
      const named = text.replaceAll(/sha256:[0-9a-f]{64}/g, (old) => digests[turn++] ?? old);
      return { ...entry, content: new Uint8Array(Buffer.from(named, 'latin1')) };
    }),
  );
}

function unzipped(content: Uint8Array): Uint8Array {
  try {
    return gunzipSync(content, { maxOutputLength: 1_000_000 });
  } catch {
    return content;
  }
}

const CODES = {
  'layers/path': true,
  'layers/device': true,
  'layers/setuid': true,
  'layers/capability': true,
  'layers/link': true,
  'layers/duplicate': true,
  'layers/whiteout': true,
  'layers/type': true,
  'layers/through-link': true,
  'layers/too-large': true,
  'layers/too-many': true,
  'layers/damaged': true,
  'image/unreadable': true,
  'image/not-as-asked': true,
} as const;
