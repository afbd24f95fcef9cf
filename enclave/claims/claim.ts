/**
 * The one primitive: write an entry at a place if the place is free, at each anchor in the policy's order, or learn who
 * holds it. Everything that must not be undone goes through it. docs/model/ has its proof.
 *
 *     first    the first anchor in order that answers holds the entry; of those who race for a place, one gets there
 *     held     a quorum holds it: no other entry ever will be held there, while fewer than 2 * quorum - anchors of the
 *              owners collude
 *     lost     a quorum holds others there: it never was held and never will be
 *
 * Nobody leaves a place before it is lost to him: a request that was served from a place finds it again there, whatever
 * it meets on the way, and whatever colluding owners show it. To get that far, a place that another began to take and did
 * not finish is finished for him, with his bytes.
 */
import { Failure } from '../../policies/failure.ts';
import type { Anchors } from './anchor.ts';
import { brief } from './ask.ts';
import type { Entry, EntryKey, Place } from './entry.ts';
import { encodeEntry } from './entry.ts';
import type { Standing, Survey, SurveyOptions } from './survey.ts';
import { survey } from './survey.ts';

export type ClaimOptions = SurveyOptions;

export interface Unheld {
  readonly outcome: 'lost';
  /** Who holds the place, at the anchors that were asked. */
  readonly by: readonly Entry[];
}

/** Whether the entry is held is not known. Asking again with the same entry is safe and finds what was written. */
export interface Unsettled {
  readonly outcome: 'failed';
  readonly code: 'unavailable' | 'anchor-tampered';
  /** Whose anchor, and what is the matter with it. */
  readonly detail: string;
  /** All anchors answered with entries of this collaboration, and none can ever be held: these. */
  readonly split?: readonly Entry[];
}

export type ClaimCode = 'claim/unavailable' | 'claim/tampered';

export type Settled = { readonly outcome: 'held' } | Unheld | Unsettled;

export type Claimed = { readonly outcome: 'first'; readonly settle: () => Promise<Settled> } | Unheld | Unsettled;

/**
 * Resolves as soon as the first anchor holds the entry; `settle` then claims the others, in parallel, and resolves when a
 * quorum holds it or cannot. Rejects only for a place or an entry that no caller of ours makes (RangeError).
 */
export async function claim(
  anchors: Anchors,
  key: EntryKey,
  place: Place,
  entry: Entry,
  options: ClaimOptions,
): Promise<Claimed> {
  const bytes = await encodeEntry(key, place, entry);
  const looked = survey(anchors, key, place, options);
  const patience = anchors.stores.length > anchors.quorum ? brief(options.patience) : options.patience;
  for (const i of anchors.stores.keys()) {
    const view = await looked.claimAt(i, bytes, patience);
    if (isHeld(looked, i, bytes)) return { outcome: 'first', settle: () => settle(looked, anchors, bytes) };
    const standing = looked.standing(bytes);
    if (view.at === 'entry') {
      // Nobody is helped to what may be a forgery.
      if (standing === 'lost' || options.unchecked === true) return unheld(looked, 'lost');
      return contend(looked, anchors, bytes);
    }
    if (standing !== 'open') return unheld(looked, standing);
  }
  return unheld(looked, looked.standing(bytes));
}

/** The same, settled. */
export async function hold(
  anchors: Anchors,
  key: EntryKey,
  place: Place,
  entry: Entry,
  options: ClaimOptions,
): Promise<Settled> {
  const claimed = await claim(anchors, key, place, entry, options);
  return claimed.outcome === 'first' ? claimed.settle() : claimed;
}

async function settle(looked: Survey, anchors: Anchors, bytes: Uint8Array): Promise<Settled> {
  await claimFree(looked, anchors, bytes, () => looked.standing(bytes) !== 'open');
  const isLosing = (): boolean => looked.standing(bytes) === 'losing';
  const champion = looked.found().find((found) => !isSame(found.bytes, bytes))?.bytes;
  if (isLosing() && champion !== undefined) await claimFree(looked, anchors, champion, () => !isLosing());
  const standing = looked.standing(bytes);
  return standing === 'held' ? { outcome: 'held' } : unheld(looked, standing);
}

/**
 * The first anchor holds another's entry. Ours may still be held at the others: it was claimed there while the first one
 * did not answer. If it is not, the other's is claimed for him, until the place is lost for ours.
 */
async function contend(looked: Survey, anchors: Anchors, bytes: Uint8Array): Promise<Claimed> {
  const unread = [...looked.views.keys()].filter((i) => looked.views[i]?.at === 'unknown');
  await eachUntil(
    unread.map((i) => looked.readAt(i)),
    () => looked.standing(bytes) === 'lost',
  );
  const ours = [...looked.views.keys()].some((i) => isHeld(looked, i, bytes));
  const champion = looked.found()[0]?.bytes;
  if (!ours && champion !== undefined)
    await claimFree(looked, anchors, champion, () => looked.standing(bytes) === 'lost');
  const settled = await settle(looked, anchors, bytes);
  return settled.outcome === 'held' ? { outcome: 'first', settle: () => Promise.resolve(settled) } : settled;
}

/** For whoever cannot go on without an outcome. */
export function claimFailure({ code, detail }: Pick<Unsettled, 'code' | 'detail'>): Failure<ClaimCode> {
  return code === 'unavailable'
    ? new Failure('environment', 'claim/unavailable', `too few anchors can be reached: ${detail}`)
    : new Failure('refused', 'claim/tampered', `anchors were tampered with: ${detail}`);
}

/** Claims wherever nothing is known to stand; resolves when `enough` or when all have answered. */
async function claimFree(looked: Survey, anchors: Anchors, bytes: Uint8Array, enough: () => boolean): Promise<void> {
  if (enough()) return;
  const free = [...anchors.stores.keys()].filter((i) => {
    const at = looked.views[i]?.at;
    return at === 'unknown' || at === 'absent';
  });
  await eachUntil(
    free.map((i) => looked.claimAt(i, bytes)),
    enough,
  );
}

/** Resolves when `enough` after one of them, or when all are done. None of them rejects. */
export function eachUntil(all: readonly Promise<unknown>[], enough: () => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const checked = all.map(async (one) => {
      await one;
      if (enough()) resolve();
    });
    Promise.all(checked).then(() => resolve(), reject);
  });
}

function isHeld(looked: Survey, i: number, bytes: Uint8Array): boolean {
  const view = looked.views[i];
  return view?.at === 'entry' && isSame(view.bytes, bytes);
}

/** Of entries, which are what anchors show to everybody: nothing to be learnt from the time of comparing. */
const isSame = (a: Uint8Array, b: Uint8Array): boolean => a.every((byte, at) => byte === b[at]);

function unheld(looked: Survey, standing: Standing): Unheld | Unsettled {
  if (standing === 'lost') return { outcome: 'lost', by: looked.found().map(({ entry }) => entry) };
  const code = standing === 'blocked' ? 'anchor-tampered' : 'unavailable';
  const isSplit = looked.count('entry') === looked.views.length;
  const split = isSplit ? { split: looked.found().map(({ entry }) => entry) } : {};
  return { outcome: 'failed', code, detail: looked.troubles(), ...split };
}
