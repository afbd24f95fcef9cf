/**
 * What is known of one place, anchor by anchor, and what follows from it for an entry that somebody wants to stand there,
 * of n anchors with a quorum of q, of whose owners 2q - n - 1 may show now one entry and now another:
 *
 *     held      q anchors hold it
 *     lost      q anchors hold other entries of this collaboration: it was never held there and never will be, whatever
 *               those owners showed before or will show
 *     open      it may still be held
 *     losing    it will not be held, and others may still be so many that it is lost
 *     blocked   neither will ever be: foreign entries stand in the way, or anchors that hold different ones
 *     stuck     too many anchors do not answer
 */
import { constantTimeEqual } from '../crypto/digest.ts';
import type { AnchorCode, Anchors } from './anchor.ts';
import type { Patience, Waiting } from './ask.ts';
import { PATIENCE, ask } from './ask.ts';
import type { Entry, EntryKey, Place, Reading } from './entry.ts';
import { parseEntry, readEntry } from './entry.ts';

export type View =
  | { readonly at: 'unknown' | 'absent' | 'foreign' }
  | { readonly at: 'entry'; readonly entry: Entry; readonly bytes: Uint8Array }
  | { readonly at: 'failed'; readonly code: AnchorCode };

export type Standing = 'held' | 'lost' | 'open' | 'losing' | 'blocked' | 'stuck';

export interface Found {
  readonly entry: Entry;
  readonly bytes: Uint8Array;
  /** How many anchors hold it. */
  readonly count: number;
}

export interface Survey {
  readonly views: readonly View[];
  /** Asks anchor `i` to hold these bytes. */
  claimAt(i: number, bytes: Uint8Array, patience?: Patience): Promise<View>;
  readAt(i: number): Promise<View>;
  standing(bytes: Uint8Array): Standing;
  /** The entries found, the one that most anchors hold first; among equals, the one at the earliest anchor. */
  found(): readonly Found[];
  count(at: View['at']): number;
  /** Whose anchor does not answer or holds what nobody of the collaboration wrote, and what is the matter with it. */
  troubles(): string;
}

export interface SurveyOptions extends Waiting {
  /** The state key is not known yet: every well-formed entry is taken for genuine. */
  readonly unchecked?: boolean;
  /** Told of each foreign entry. */
  readonly report?: (text: string) => void;
}

const TROUBLES = {
  'anchor/waiting': 'waits for a session of its owner',
  'anchor/unavailable': 'does not answer',
  'anchor/refused': 'refuses the enclave',
  'anchor/misconfigured': 'is not set up as an anchor',
  'anchor/tampered': 'was tampered with',
  'anchor/full': 'is full',
} as const satisfies Record<AnchorCode, string>;

export function survey(anchors: Anchors, key: EntryKey | undefined, place: Place, options: SurveyOptions): Survey {
  const { stores, quorum } = anchors;
  // Where entries cannot be judged, nobody is helped to one: what can never be held there any more is lost.
  const manyOthers = options.unchecked === true ? stores.length - quorum + 1 : quorum;
  const views: View[] = stores.map(() => ({ at: 'unknown' }));
  const count = (at: View['at']): number => views.filter((view) => view.at === at).length;
  const holding = (bytes: Uint8Array): number =>
    views.filter((view) => view.at === 'entry' && constantTimeEqual(view.bytes, bytes)).length;

  const read = async (bytes: Uint8Array): Promise<Reading> => {
    if (key !== undefined && options.unchecked !== true) return readEntry(key, place, bytes);
    const entry = parseEntry(bytes);
    return entry === undefined ? { outcome: 'malformed' } : { outcome: 'genuine', entry };
  };
  const see = async (i: number, bytes: Uint8Array | undefined): Promise<View> => {
    if (bytes === undefined) return { at: 'absent' };
    const reading = await read(bytes);
    if (reading.outcome === 'genuine') return { at: 'entry', entry: reading.entry, bytes };
    const what = reading.outcome === 'malformed' ? 'something that is no entry' : 'an entry of somebody else';
    options.report?.(`${stores[i]?.owner ?? ''}'s anchor holds ${what} at ${place.name}/${place.k}`);
    return { at: 'foreign' };
  };
  const put = async (
    i: number,
    work: (signal: AbortSignal) => Promise<Uint8Array | undefined>,
    patience = options.patience ?? PATIENCE,
  ): Promise<View> => {
    const answer = await ask({ ...options, patience }, work);
    const view: View = answer.answered ? await see(i, answer.value) : { at: 'failed', code: answer.code };
    views[i] = view;
    return view;
  };
  const store = (i: number): Anchors['stores'][number] => {
    const found = stores[i];
    if (found === undefined) throw new RangeError(`no anchor ${i}`);
    return found;
  };

  return {
    views,
    count,
    claimAt: (i, bytes, patience) => put(i, (signal) => store(i).claim(place.name, place.k, bytes, signal), patience),
    readAt: (i) => put(i, (signal) => store(i).holder(place.name, place.k, signal)),
    standing(bytes) {
      const ours = holding(bytes);
      const others = count('entry') - ours;
      const open = count('unknown') + count('absent');
      if (ours >= quorum) return 'held';
      if (others >= manyOthers) return 'lost';
      if (ours + open >= quorum) return 'open';
      if (others + open >= manyOthers) return 'losing';
      const mute = views.filter((view) => view.at === 'failed' && view.code !== 'anchor/tampered').length;
      const most = Math.max(ours, others) + open + mute;
      return most >= quorum ? 'stuck' : 'blocked';
    },
    found() {
      const found: Found[] = [];
      for (const view of views) {
        if (view.at !== 'entry' || found.some(({ bytes }) => constantTimeEqual(bytes, view.bytes))) continue;
        found.push({ entry: view.entry, bytes: view.bytes, count: holding(view.bytes) });
      }
      return found.toSorted((a, b) => b.count - a.count);
    },
    troubles() {
      const told = views.flatMap((view, i) => {
        const owner = stores[i]?.owner ?? '';
        if (view.at === 'foreign') return [`${owner}'s anchor holds a foreign entry`];
        return view.at === 'failed' ? [`${owner}'s anchor ${TROUBLES[view.code]}`] : [];
      });
      const conflict = this.found().length > 1 ? ['the anchors hold different entries'] : [];
      return [...told, ...conflict].join(', ');
    },
  };
}
