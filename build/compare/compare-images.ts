/**
 * What an image differs in from one that was built from the sources: header, sections, and the files of each ramdisk. All
 * bytes take part but the signature section, which nobody can build anew: a signature has a random number in it, and the
 * key is its owner's. With it go what it changes elsewhere: the count and table of sections, and the checksum.
 */
import { withFileSource } from '../byte-source.ts';
import type { ByteSource } from '../byte-source.ts';
import type { SectionKind } from '../eif/format.ts';
import type { ScanOptions } from '../eif/read.ts';
import { compareRamdisks, contentDifference } from './compare-ramdisks.ts';
import type { DigestedRange } from './compare-ramdisks.ts';
import type { Difference } from './difference.ts';
import { indexImage } from './image-index.ts';
import type { ImageIndex, SectionIndex } from './image-index.ts';

export interface ImageComparison {
  /** None: the image is the one that was built, byte for byte, but for its signature. */
  readonly differences: readonly Difference[];
  /** Digest of the signature section, which was not compared; undefined where there is none. */
  readonly signatureSha256: string | undefined;
}

/** Paths of two files. Throws `eif/…` for what is no EIF at all, `file/…` for what cannot be read. */
export function compareImages(given: string, built: string, options: ScanOptions = {}): Promise<ImageComparison> {
  return withFileSource(given, (left) => withFileSource(built, (right) => compareSources(left, right, options)));
}

export async function compareSources(
  given: ByteSource,
  built: ByteSource,
  options: ScanOptions = {},
): Promise<ImageComparison> {
  const image = await indexImage(given, options);
  const rebuild = await indexImage(built, options);
  const differences = [
    ...compareHeaders(image, rebuild),
    ...(await compareSections(image, rebuild)),
    ...(image.isCorrupt
      ? [
          {
            where: 'header',
            what: 'checksum',
            image: 'it is of other bytes: the file was changed after it was built',
          } as const,
        ]
      : []),
  ];
  const signature = image.sections.find(({ kind }) => kind === 'signature');
  return { differences, signatureSha256: signature?.sha256 };
}

/**
 * The fields that do not follow from the sections. Reading has seen to the rest: the table stands for the sections as they
 * are, and its unused entries are zero.
 */
const FIELDS: readonly { readonly name: string; readonly from: number; readonly to: number }[] = [
  { name: 'version', from: 0x04, to: 0x06 },
  { name: 'flags (architecture)', from: 0x06, to: 0x08 },
  { name: 'default memory', from: 0x08, to: 0x10 },
  { name: 'default CPUs', from: 0x10, to: 0x18 },
  { name: 'reserved', from: 0x18, to: 0x1a },
  { name: 'reserved, before the checksum', from: 0x21c, to: 0x220 },
];

function compareHeaders({ header: image }: ImageIndex, { header: rebuild }: ImageIndex): readonly Difference[] {
  return FIELDS.flatMap(({ name, from, to }): readonly Difference[] => {
    const [found, expected] = [image, rebuild].map((bytes) => BigInt(`0x${Buffer.from(bytes.subarray(from, to)).toString('hex')}`)); // prettier-ignore
    if (found === expected) return [];
    return [{ where: `header: ${name}`, what: 'field', image: String(found), rebuild: String(expected) }];
  });
}

const NAMES: Readonly<Record<SectionKind, string>> = {
  kernel: 'kernel',
  cmdline: 'command line',
  metadata: 'metadata',
  ramdisk: 'ramdisk',
  signature: 'signature',
};

/** Sections by name; ramdisks are numbered from 1, since their order is part of what is measured. */
function named({ sections }: ImageIndex): ReadonlyMap<string, SectionIndex> {
  let ramdisks = 0;
  const compared = sections.filter(({ kind }) => kind !== 'signature');
  return new Map(
    compared.map((section) => [section.kind === 'ramdisk' ? `ramdisk ${++ramdisks}` : NAMES[section.kind], section]),
  );
}

async function compareSections(image: ImageIndex, rebuild: ImageIndex): Promise<readonly Difference[]> {
  const [found, expected] = [named(image), named(rebuild)];
  const differences: Difference[] = [];
  for (const [name, section] of found) {
    const other = expected.get(name);
    if (other === undefined) differences.push({ where: name, what: 'only-in-image', image: told(section) });
    else if (section.sha256 !== other.sha256) {
      differences.push(...(await compareSection(name, { image, section }, { image: rebuild, section: other })));
    }
  }
  for (const [name, section] of expected) {
    if (!found.has(name)) differences.push({ where: name, what: 'only-in-rebuild', rebuild: told(section) });
  }
  const [order, wanted] = [[...found.keys()].join(', '), [...expected.keys()].join(', ')];
  if (order !== wanted && differences.length === 0) {
    differences.push({ where: 'sections', what: 'order', image: order, rebuild: wanted });
  }
  return differences;
}

interface Side {
  readonly image: ImageIndex;
  readonly section: SectionIndex;
}

async function compareSection(name: string, given: Side, built: Side): Promise<readonly Difference[]> {
  switch (given.section.kind) {
    case 'ramdisk':
      return compareRamdisks(name, given, built);
    case 'cmdline':
    case 'metadata':
      return [await contentDifference(name, rangeOf(given), rangeOf(built), true)];
    case 'kernel':
    case 'signature':
      return [await contentDifference(name, rangeOf(given), rangeOf(built), false)];
  }
}

const rangeOf = ({ image: { source }, section: { at, bytes, sha256 } }: Side): DigestedRange => ({
  source,
  at,
  bytes,
  sha256,
});

const told = ({ sha256, bytes }: SectionIndex): string => `${sha256} (${bytes} bytes)`;
