/** Two ramdisks, entry by entry. */
import type { Difference } from './difference.ts';
import { excerpt, firstDifference } from './first-difference.ts';
import type { Range } from './first-difference.ts';
import type { ImageIndex, SectionIndex } from './image-index.ts';
import type { RamdiskEntry, RamdiskIndex } from './ramdisk-index.ts';

/** Files of text that says what runs: told as text. */
const TEXTS = new Set(['cmd', 'env', 'rootfs/accord/transport']);

export interface RamdiskSide {
  readonly image: ImageIndex;
  readonly section: SectionIndex;
}

/** `name` stands before each path (`ramdisk 2`). Only for ramdisks whose digests differ. */
export async function compareRamdisks(
  name: string,
  given: RamdiskSide,
  built: RamdiskSide,
): Promise<readonly Difference[]> {
  const [left, right] = [indexOf(given), indexOf(built)];
  const differences: Difference[] = [];
  const [before, after] = [byPath(right), byPath(left)];
  for (const [path, entry] of after) {
    const expected = before.get(path);
    const where = `${name}: ${path}`;
    if (expected === undefined) differences.push({ where, what: 'only-in-image', image: describe(entry) });
    else differences.push(...(await compareEntries(where, { ...given, entry }, { ...built, entry: expected })));
  }
  for (const [path, entry] of before) {
    // What comes after a fault was not read: nobody can say that it is missing.
    if (after.has(path) || left.fault !== undefined) continue;
    differences.push({ where: `${name}: ${path}`, what: 'only-in-rebuild', rebuild: describe(entry) });
  }
  if (left.fault === undefined && differences.length > 0) return differences;
  const offset = await firstDifference(whole(given), whole(built));
  const at = offset === undefined ? {} : { offset };
  if (left.fault !== undefined) return [...differences, { where: name, what: 'unreadable', ...at, image: left.fault }];
  return [{ where: `${name}: ${placeOf(right, offset ?? 0)}`, what: 'archive', ...at }];
}

type EntrySide = RamdiskSide & { readonly entry: RamdiskEntry };

async function compareEntries(where: string, given: EntrySide, built: EntrySide): Promise<readonly Difference[]> {
  const [image, rebuild] = [given.entry, built.entry];
  if (image.kind !== rebuild.kind) return [{ where, what: 'kind', image: describe(image), rebuild: describe(rebuild) }];
  const found: Difference[] = [];
  if (image.mode !== rebuild.mode) {
    found.push({ where, what: 'mode', image: octal(image.mode), rebuild: octal(rebuild.mode) });
  }
  if (image.target !== rebuild.target) {
    found.push({ where, what: 'target', image: image.target ?? '', rebuild: rebuild.target ?? '' });
  }
  if (image.sameAs !== rebuild.sameAs) {
    const words = (same: string | undefined): string =>
      same === undefined ? 'a file of its own' : `the same file as ${same}`;
    found.push({ where, what: 'hard-link', image: words(image.sameAs), rebuild: words(rebuild.sameAs) });
  }
  if (image.sha256 !== rebuild.sha256) {
    found.push(await contentDifference(where, contentOf(given), contentOf(built), TEXTS.has(image.path)));
  }
  return found;
}

export interface DigestedRange extends Range {
  readonly sha256: string;
}

/** Where two contents differ, with both digests, or as text where that says more. */
export async function contentDifference(
  where: string,
  given: DigestedRange,
  built: DigestedRange,
  asText: boolean,
): Promise<Difference> {
  const offset = (await firstDifference(given, built)) ?? 0;
  const told = (range: DigestedRange): Promise<string> | string =>
    asText ? excerpt(range, offset) : `${range.sha256} (${range.bytes} bytes)`;
  return { where, what: 'content', offset, image: await told(given), rebuild: await told(built) };
}

function contentOf({ image, section, entry }: EntrySide): DigestedRange {
  const { contentAt, bytes, sha256 = '' } = entry;
  return { source: image.source, at: section.at + contentAt, bytes, sha256 };
}

const whole = ({ image, section }: RamdiskSide): Range => ({
  source: image.source,
  at: section.at,
  bytes: section.bytes,
});

const indexOf = ({ section }: RamdiskSide): RamdiskIndex => section.ramdisk ?? { entries: [] };

/** A path that comes twice is told twice. */
function byPath({ entries }: RamdiskIndex): ReadonlyMap<string, RamdiskEntry> {
  const found = new Map<string, RamdiskEntry>();
  for (const entry of entries) {
    let name = entry.path;
    for (let again = 2; found.has(name); again++) name = `${entry.path} (entry ${again} of this name)`;
    found.set(name, entry);
  }
  return found;
}

/** Whose header, or what else, a byte of the archive belongs to. */
function placeOf({ entries }: RamdiskIndex, offset: number): string {
  const entry = entries.findLast(({ headerAt }) => headerAt <= offset);
  if (entry === undefined) return 'its start';
  if (offset < entry.contentAt) return `the header of ${entry.path} (owner, time or inode)`;
  return `what follows ${entry.path} (padding, order or end)`;
}

function describe({ kind, mode, bytes, sha256, target }: RamdiskEntry): string {
  switch (kind) {
    case 'directory':
      return `folder ${octal(mode)}`;
    case 'symlink':
      return `link to ${target ?? ''}`;
    case 'file':
      return `file ${octal(mode)} ${sha256 ?? ''} (${bytes} bytes)`;
  }
}

const octal = (mode: number): string => mode.toString(8).padStart(4, '0');
