/**
 * Looking without taking. Whoever looks needs the answers of a quorum: whatever a quorum holds, one honest anchor among
 * any quorum shows. Versions are entries 0, 1, 2, … under one name; the next is claimed only when the one before is held,
 * so they have no gaps.
 */
import type { Failure } from '../../policies/failure.ts';
import type { PolicyDigest } from '../../policies/model.ts';
import { pause } from '../deadline.ts';
import type { Anchors } from './anchor.ts';
import { PATIENCE } from './ask.ts';
import type { ClaimCode, ClaimOptions } from './claim.ts';
import { claimFailure, eachUntil, hold } from './claim.ts';
import type { Entry, EntryKey, Place } from './entry.ts';
import type { Found, Survey } from './survey.ts';
import { survey } from './survey.ts';

/** Where the versions of a record are claimed. */
export function versionsName(policyDigest: PolicyDigest, record: string): string {
  return `versions/${policyDigest}/${record}`;
}

export interface Holders {
  /** Anchors that answered: at least a quorum. */
  readonly answered: number;
  /** Of these, those that hold nothing at the place. */
  readonly absent: number;
  /** … and those that hold what this collaboration did not write. */
  readonly foreign: number;
  /** Most held first; among equals the one at the earliest anchor. */
  readonly entries: readonly Found[];
  /** The entry that a quorum holds. */
  readonly held: Entry | undefined;
}

/** @throws `claim/unavailable`, `claim/tampered` where fewer than a quorum answer */
export async function holderOf(
  anchors: Anchors,
  key: EntryKey | undefined,
  place: Place,
  options: ClaimOptions,
): Promise<Holders> {
  const looked = survey(anchors, key, place, options);
  const answered = (): number => looked.views.length - looked.count('unknown') - looked.count('failed');
  const all = [...looked.views.keys()].map((i) => looked.readAt(i));
  await eachUntil(all, () => answered() >= anchors.quorum);
  // Those that are about to answer, too: they may hold what a quorum does not hold yet.
  const { timers, signal, patience = PATIENCE } = options;
  if (looked.count('unknown') > 0) await Promise.race([Promise.all(all), pause(timers, patience.graceMs, signal)]);
  if (answered() < anchors.quorum) throw unanswered(looked);
  const entries = looked.found();
  return {
    answered: answered(),
    absent: looked.count('absent'),
    foreign: looked.count('foreign'),
    entries,
    held: entries.find(({ count }) => count >= anchors.quorum)?.entry,
  };
}

export interface Newest {
  /** The newest version that a quorum holds; undefined where there is none. */
  readonly newest: { readonly k: number; readonly entry: Entry } | undefined;
  /** The number to claim next. */
  readonly next: number;
}

/**
 * The newest version under `name`. One that some anchor shows and no quorum holds yet is completed first, with its own
 * bytes: its maker may be gone, or about to answer. `from`: a version known to be held; the search begins there.
 *
 * @throws `claim/unavailable`, `claim/tampered`
 */
export async function newestVersion(
  anchors: Anchors,
  key: EntryKey,
  name: string,
  options: ClaimOptions & { readonly from?: number },
): Promise<Newest> {
  const last = await lastShown(anchors, key, name, options);
  for (let k = last; k >= 0; k -= 1) {
    const entry = await complete(anchors, key, { name, k }, options);
    if (entry !== undefined) return { newest: { k, entry }, next: last + 1 };
  }
  return { newest: undefined, next: last + 1 };
}

const FIRST_DISTANCES: readonly number[] = [1, 2, 4, 8];
const PROBES = 8;
const MAX_VERSION = 0xffff_ffff;

/** The highest number at which an anchor shows an entry; -1 where there is none. Probes are made eight at a time. */
async function lastShown(
  anchors: Anchors,
  key: EntryKey,
  name: string,
  options: ClaimOptions & { readonly from?: number },
): Promise<number> {
  const shown = async (k: number): Promise<boolean> => {
    const { entries } = await holderOf(anchors, key, { name, k }, options);
    return entries.length > 0;
  };
  let low = options.from ?? -1;
  let high: number | undefined;
  let scale = 1;
  while (high === undefined || high - low > 1) {
    const from = low;
    const probes: readonly number[] =
      high === undefined
        ? FIRST_DISTANCES.map((distance) => Math.min(MAX_VERSION, from + distance * scale))
        : between(from, high);
    const found = await Promise.all(probes.map(shown));
    const missing = found.indexOf(false);
    low = (missing === -1 ? probes.at(-1) : probes[missing - 1]) ?? from;
    if (missing !== -1) high = probes[missing];
    else if (high === undefined) scale *= 16;
    if (low >= MAX_VERSION) break;
  }
  return low;
}

/** At most eight numbers strictly between, evenly spread. */
function between(low: number, high: number): readonly number[] {
  const step = Math.max(1, Math.ceil((high - low) / (PROBES + 1)));
  const probes: number[] = [];
  for (let k = low + step; k < high; k += step) probes.push(k);
  return probes;
}

/**
 * The entry that is held at the place when this resolves; undefined where none ever was and none can be any more. Where
 * anchors hold different entries, one of them may have been held until an owner put another in its place, and an answer
 * may have left: such a version is not passed over, whoever it was.
 */
export async function complete(
  anchors: Anchors,
  key: EntryKey,
  place: Place,
  options: ClaimOptions,
): Promise<Entry | undefined> {
  const { held, entries } = await holderOf(anchors, key, place, options);
  if (held !== undefined) return held;
  for (const { entry } of entries) {
    const settled = await hold(anchors, key, place, entry, options);
    if (settled.outcome === 'held') return entry;
    if (settled.outcome === 'failed') throw claimFailure(settled);
  }
  const after = await holderOf(anchors, key, place, options);
  if (after.held !== undefined) return after.held;
  if (after.entries.some(({ count }) => count + tolerated(anchors) >= anchors.quorum)) {
    const detail = `the anchors hold different entries at ${place.name}/${place.k}`;
    throw claimFailure({ code: 'anchor-tampered', detail });
  }
  if (after.absent === 0 && after.answered === anchors.stores.length && after.foreign === 0) return undefined;
  throw claimFailure({ code: 'unavailable', detail: `${place.name}/${place.k} is half claimed` });
}

/** So many owners may collude with the host: what they show is no proof of anything. */
function tolerated({ stores, quorum }: Anchors): number {
  return 2 * quorum - stores.length - 1;
}

function unanswered(looked: Survey): Failure<ClaimCode> {
  const tampered = looked.views.some((view) => view.at === 'failed' && view.code === 'anchor/tampered');
  return claimFailure({ code: tampered ? 'anchor-tampered' : 'unavailable', detail: looked.troubles() });
}
