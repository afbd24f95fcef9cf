/**
 * Taking over from a predecessor, between the opening of one's own state and the first call:
 *
 *     1  the old state key is opened: each old party's KMS decrypts its data key for this image, attested, with the old
 *        policy in the encryption context; the old claim is found genuine        else: another state is handed over
 *     2  the predecessor is closed (closing.ts)                                  else: both would spend and answer
 *     3  each function's last record is sealed anew under the own key and claimed as version 0, where the function is
 *        still there and of the same kind
 *     4  with `calls: carried`, as many own tickets are claimed as calls were spent, from number 0 on
 *     5  versions/<own digest>/predecessor/0 is claimed: it is done
 *
 * Every claim is the same bytes at the same place, whichever copy makes it: so all of it may be begun again after a crash,
 * and by two at once. Nothing is served before 5. Contributions are not
 * carried over: each was encrypted by its owner for one policy, and is contributed anew.
 */
import type { PolicyDigest } from '../../policies/model.ts';
import { functionNamed, quotaOf } from '../../policies/quota.ts';
import type { Anchors } from '../claims/anchor.ts';
import type { ClaimOptions } from '../claims/claim.ts';
import { claimFailure, hold } from '../claims/claim.ts';
import type { Entry, EntryKey, Place } from '../claims/entry.ts';
import { entryKey, entryOf } from '../claims/entry.ts';
import { ticketsName } from '../claims/tickets.ts';
import { holderOf, versionsName } from '../claims/versions.ts';
import { sha256 } from '../crypto/digest.ts';
import { hkdfExpand, hmacSha256 } from '../crypto/kdf.ts';
import { fromHex } from '../encoding/hex.ts';
import type { ClosedState, LastVersion, Spent } from './closing.ts';
import { closePredecessor } from './closing.ts';
import type { Predecessor, SucceedingPolicy } from './predecessor.ts';
import type { RecordSetting } from './record-header.ts';
import type { RecordStore } from './record-store.ts';
import { sealRecord } from './record.ts';
import { functionRecord } from './records.ts';
import { openRecord } from './restore.ts';
import { stateFailure } from './state-failure.ts';

/** Who takes over: its own state is open, and not served yet. */
export interface Successor {
  readonly policy: SucceedingPolicy;
  readonly policyDigest: PolicyDigest;
  readonly anchors: Anchors;
  /** 32 bytes. */
  readonly stateKey: Uint8Array;
  readonly keysDigest: Uint8Array;
}

/** What it takes over. The state key was found genuine. */
export interface OldState extends Predecessor {
  readonly stateKey: Uint8Array;
  readonly keysDigest: Uint8Array;
}

export interface SuccessionOptions extends ClaimOptions {
  /** Has the records of both. */
  readonly store: RecordStore;
}

/** Claims under way at once. */
const PARALLEL = 16;

/** Where it is written that a succession is done. */
export function donePlace(policyDigest: PolicyDigest): Place {
  return { name: versionsName(policyDigest, 'predecessor'), k: 0 };
}

/** Whether this policy has taken over from its predecessor already. Throws `claim/…`. */
export async function hasTakenOver(
  { anchors, policyDigest, stateKey }: Pick<Successor, 'anchors' | 'policyDigest' | 'stateKey'>,
  options: ClaimOptions,
): Promise<boolean> {
  const [key, place] = [await entryKey(stateKey), donePlace(policyDigest)];
  const { entries } = await holderOf(anchors, key, place, options);
  const [found] = entries;
  // It is claimed last: one that is half claimed says as much, and is completed.
  if (found !== undefined) await claimAt(anchors, key, place, found.entry, options);
  return found !== undefined;
}

/** Steps 2 to 5. Throws `Failure<RecordsCode>`; may be repeated after any outcome. */
export async function takeOver(own: Successor, old: OldState, options: SuccessionOptions): Promise<void> {
  const unfinished = old.policy.succeeds !== undefined && !(await hasTakenOver(old, options));
  if (unfinished) {
    throw stateFailure('state/predecessor-unfinished', 'the predecessor has not taken over from its own predecessor');
  }
  const { policy, policyDigest, anchors } = old;
  const key = await entryKey(old.stateKey);
  const closed = await closePredecessor({ policy, policyDigest, anchors, key, successor: own.policyDigest }, options);
  await carryRecords(own, old, closed, options);
  if (own.policy.succeeds.calls === 'carried') await carryCalls(own, closed.spent, options);
  await sayDone(own, old, options);
}

/** For a predecessor whose state was never opened: there is nothing to carry. */
export async function sayDone(
  { anchors, policyDigest, stateKey }: Successor,
  old: Pick<Predecessor, 'policyDigest'>,
  options: ClaimOptions,
): Promise<void> {
  const entry = entryOf('version', await sha256(fromHex(old.policyDigest)));
  await claimAt(anchors, await entryKey(stateKey), donePlace(policyDigest), entry, options);
}

async function carryRecords(
  own: Successor,
  old: OldState,
  { records }: ClosedState,
  options: SuccessionOptions,
): Promise<void> {
  const key = await entryKey(own.stateKey);
  const saltKey = await hkdfExpand(own.stateKey, 'accord/v1/records/carried', 32);
  for (const [name, { uses }] of Object.entries(own.policy.functions)) {
    const last = records.find((record) => record.name === functionRecord(name));
    if (last === undefined || old.policy.functions[name]?.uses !== uses) continue;
    const content = await contentOf(old, last, options);
    const place = { name: last.name, version: 0 };
    // The salt follows from the content: whichever copy seals it, the record is the same, and so is its claim.
    const salt = await hmacSha256(saltKey, await sha256(new TextEncoder().encode(`${name}\0`), content));
    const sealed = await sealRecord(settingOf(own), place, own.stateKey, content, () => salt);
    content.fill(0);
    await options.store.put(sealed, options.signal);
    const at = { name: versionsName(own.policyDigest, last.name), k: 0 };
    await claimAt(own.anchors, key, at, entryOf('version', sealed.sha256), options);
  }
}

async function contentOf(old: OldState, last: LastVersion, options: SuccessionOptions): Promise<Uint8Array> {
  const bytes = await options.store.get(last.sha256, options.signal);
  return openRecord(settingOf(old), last, last.sha256, old.stateKey, bytes);
}

/** The first own tickets are claimed for the calls that were spent; a function that is not there any more has none. */
async function carryCalls(own: Successor, spent: readonly Spent[], options: ClaimOptions): Promise<void> {
  const key = await entryKey(own.stateKey);
  const tagKey = await hkdfExpand(own.stateKey, 'accord/v1/tickets/carried', 32);
  for (const { function: name, party, calls } of spent) {
    const found = functionNamed(own.policy.functions, name);
    const quota = found === undefined ? 0 : quotaOf(found, party);
    const places = Array.from({ length: Math.min(calls, quota) }, (_, k) => ({
      name: ticketsName(own.policyDigest, { function: name, party }),
      k,
    }));
    for (let at = 0; at < places.length; at += PARALLEL) {
      const some = places.slice(at, at + PARALLEL);
      await Promise.all(
        some.map(async (place) => claimAt(own.anchors, key, place, await carriedTicket(tagKey, place), options)),
      );
    }
  }
}

/** A ticket that belongs to no request. The same for each copy that carries it over. */
async function carriedTicket(tagKey: Uint8Array, { name, k }: Place): Promise<Entry> {
  const first = await hmacSha256(tagKey, new TextEncoder().encode(`${name}/${k}`));
  return { kind: 'ticket', first, second: new Uint8Array(32) };
}

function settingOf(of: {
  readonly policy: { readonly collaboration: string };
  readonly policyDigest: PolicyDigest;
  readonly keysDigest: Uint8Array;
}): RecordSetting {
  return { collaboration: of.policy.collaboration, policyDigest: of.policyDigest, keysDigest: of.keysDigest };
}

/** Resolves once the place is taken for good, by this entry or by another of the own collaboration. */
async function claimAt(
  anchors: Anchors,
  key: EntryKey,
  place: Place,
  entry: Entry,
  options: ClaimOptions,
): Promise<void> {
  const settled = await hold(anchors, key, place, entry, options);
  if (settled.outcome === 'failed') throw claimFailure(settled);
}
