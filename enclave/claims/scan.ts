/** Going through many tickets by reading, some of them at a time. Nothing is written. */
import type { Anchors } from './anchor.ts';
import type { ClaimOptions } from './claim.ts';
import type { Entry, EntryKey } from './entry.ts';
import type { Shelf } from './shelf.ts';
import { survey } from './survey.ts';

/** Reads under way at once. */
const PARALLEL = 32;

export interface Scanned {
  readonly anchors: Anchors;
  readonly key: EntryKey;
  readonly name: string;
  readonly shelf: Shelf;
}

/**
 * The first ticket from `from` on, below `quota`, that is not plainly another's; `quota` where all are. Plainly
 * another's is a ticket at which a quorum of anchors shows entries, none of them this request's.
 */
export async function passTaken(
  { anchors, key, name, shelf }: Scanned,
  from: number,
  quota: number,
  mine: Entry | undefined,
  options: ClaimOptions,
): Promise<number> {
  const asked = anchors.quorum;
  const window = Math.max(1, Math.floor(PARALLEL / asked));
  let k = from;
  for (let size = Math.min(4, window); k < quota; size = window) {
    const numbers = Array.from({ length: Math.min(size, quota - k) }, (_, i) => k + i);
    const seen = await Promise.all(numbers.map((number) => entriesAt(number)));
    for (const entries of seen) {
      if (entries === undefined || (mine !== undefined && entries.some((entry) => isOf(mine, entry)))) return k;
      shelf.decide(k, entries);
      k += 1;
    }
  }
  return quota;

  /** What the first anchors show; undefined where one of them shows none. */
  async function entriesAt(number: number): Promise<readonly Entry[] | undefined> {
    const looked = survey(anchors, key, { name, k: number }, options);
    const views = await Promise.all(Array.from({ length: asked }, (_, i) => looked.readAt(i)));
    const entries = views.flatMap((view) => (view.at === 'entry' ? [view.entry] : []));
    return entries.length === asked ? entries : undefined;
  }
}

function isOf(mine: Entry, entry: Entry): boolean {
  return mine.first.every((byte, i) => byte === entry.first[i]);
}
