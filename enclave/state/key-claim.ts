/**
 * Which set of wrapped keys counts: the one whose digest stands in the anchors as version 0 of `keys`. It is read before
 * the state key is known, and found genuine once it is.
 */
import type { PolicyDigest } from '../../policies/model.ts';
import type { Anchors } from '../claims/anchor.ts';
import type { ClaimOptions } from '../claims/claim.ts';
import { claimFailure, hold } from '../claims/claim.ts';
import type { Place } from '../claims/entry.ts';
import { entryKey, entryOf, readEntry } from '../claims/entry.ts';
import type { Found } from '../claims/survey.ts';
import { holderOf, versionsName } from '../claims/versions.ts';
import { stateFailure } from './state-failure.ts';

/** The record of the wrapped keys: its version 0 names them, its version 1 says that a successor closed the state. */
export const KEYS = 'keys';

export function keySetPlace(policyDigest: PolicyDigest): Place {
  return { name: versionsName(policyDigest, KEYS), k: 0 };
}

/**
 * The claim that a quorum of anchors shows, or one that some of them do: its maker may be gone, and it is finished below.
 * Undefined where a quorum answers and none shows any. Throws `claim/unavailable`, `claim/tampered`.
 */
export async function shownKeySet(
  anchors: Anchors,
  policyDigest: PolicyDigest,
  options: ClaimOptions,
): Promise<Found | undefined> {
  const { entries, foreign: malformed } = await holderOf(anchors, undefined, keySetPlace(policyDigest), options);
  const [found] = entries;
  if (found === undefined && malformed > 0) throw foreign();
  if (found !== undefined && found.entry.kind !== 'version') throw foreign();
  return found;
}

/**
 * Once the state key is there: demands that the claim was made with this very key, and that a quorum holds it. Throws
 * `state/keys-foreign`, `claim/…`.
 */
export async function confirmKeySet(
  anchors: Anchors,
  policyDigest: PolicyDigest,
  stateKey: Uint8Array,
  { entry, bytes, count }: Found,
  options: ClaimOptions,
): Promise<void> {
  const [key, place] = [await entryKey(stateKey), keySetPlace(policyDigest)];
  const reading = await readEntry(key, place, bytes);
  if (reading.outcome !== 'genuine') throw foreign();
  if (count >= anchors.quorum) return;
  const settled = await hold(anchors, key, place, entryOf('version', entry.first), options);
  if (settled.outcome === 'failed') throw claimFailure(settled);
  if (settled.outcome === 'lost') throw foreign();
}

/** For a set just made. `taken`: another enclave's was there first, and is to be used. Throws `claim/…`. */
export async function claimKeySet(
  anchors: Anchors,
  policyDigest: PolicyDigest,
  stateKey: Uint8Array,
  digest: Uint8Array,
  options: ClaimOptions,
): Promise<'held' | 'taken'> {
  const [key, place] = [await entryKey(stateKey), keySetPlace(policyDigest)];
  // Unchecked: another first boot's claim was made with another state key, and is no less a claim.
  const settled = await hold(anchors, key, place, entryOf('version', digest), { ...options, unchecked: true });
  if (settled.outcome === 'failed') throw claimFailure(settled);
  return settled.outcome === 'held' ? 'held' : 'taken';
}

function foreign(): Error {
  return stateFailure(
    'state/keys-foreign',
    'the claim of the wrapped keys in the anchors was not made with this state key',
  );
}
