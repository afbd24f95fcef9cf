/**
 * Closing a predecessor: after it, no copy of the old image can spend a call, keep a record or open the state again, by
 * entries that are written in the old policy's own names and under its own key:
 *
 *     versions/<old digest>/keys/1                       closed    first, and by one successor alone
 *     tickets/<old digest>/<function>/<party>/<free k>   closed    every ticket that no call has spent
 *     versions/<old digest>/<record>/<next>              closed    every record
 *
 * Each is the same bytes for the same successor, so that all of it may be repeated, by a copy after a crash or by two at
 * once. It cannot be undone, and is not begun before the old state key is open.
 */
import type { PolicyDigest } from '../../policies/model.ts';
import type { Anchors } from '../claims/anchor.ts';
import type { ClaimOptions } from '../claims/claim.ts';
import { claimFailure, hold } from '../claims/claim.ts';
import type { Entry, EntryKey, Place } from '../claims/entry.ts';
import { entryOf } from '../claims/entry.ts';
import { ticketsName } from '../claims/tickets.ts';
import { complete, holderOf, newestVersion, versionsName } from '../claims/versions.ts';
import { constantTimeEqual, sha256 } from '../crypto/digest.ts';
import { fromHex } from '../encoding/hex.ts';
import { KEYS } from './key-claim.ts';
import { contributionRecord, functionRecord } from './records.ts';
import type { SealedPolicy } from './sealed-policy.ts';
import { stateFailure } from './state-failure.ts';

/** What is to be closed: anchors, key and policy of the predecessor, and who closes it. */
export interface ToClose {
  readonly policy: SealedPolicy;
  readonly policyDigest: PolicyDigest;
  readonly anchors: Anchors;
  /** Of the predecessor's state key. */
  readonly key: EntryKey;
  readonly successor: PolicyDigest;
}

/** Calls of one party to one function that were spent, for good. */
export interface Spent {
  readonly function: string;
  readonly party: string;
  readonly calls: number;
}

/** The last version of a record, under its hash. */
export interface LastVersion {
  readonly name: string;
  readonly version: number;
  readonly sha256: Uint8Array;
}

export interface ClosedState {
  readonly spent: readonly Spent[];
  readonly records: readonly LastVersion[];
}

/** Claims under way at once. */
const PARALLEL = 16;

/** The entry that a successor writes wherever it closes something. */
export async function closingEntry(successor: PolicyDigest): Promise<Entry> {
  return entryOf('closed', await sha256(fromHex(successor)));
}

/** Where closing begins, and where a copy of the old image looks whether it has. */
export function closingPlace(policyDigest: PolicyDigest): Place {
  return { name: versionsName(policyDigest, KEYS), k: 1 };
}

/** Names of the records that a policy's functions may have. */
export function recordNames({ functions }: SealedPolicy): readonly string[] {
  return Object.keys(functions).flatMap((name) => [contributionRecord(name), functionRecord(name)]);
}

/**
 * For an image that may have been succeeded: refuses with `state/closed` where any anchor shows that it was. Throws
 * `claim/…` where too few anchors answer.
 */
export async function demandNotClosed(
  anchors: Anchors,
  key: EntryKey,
  policyDigest: PolicyDigest,
  options: ClaimOptions,
): Promise<void> {
  const { entries } = await holderOf(anchors, key, closingPlace(policyDigest), options);
  if (entries.length > 0) throw stateFailure('state/closed', 'a successor has taken over this collaboration');
}

/** Closes everything. Throws `state/predecessor-taken`, `claim/…`; nothing is lost by beginning again. */
export async function closePredecessor(old: ToClose, options: ClaimOptions): Promise<ClosedState> {
  const entry = await closingEntry(old.successor);
  const first = await closePlace(old, closingPlace(old.policyDigest), entry, options);
  if (first.outcome === 'lost' && !isBy(entry, first.by)) {
    throw stateFailure('state/predecessor-taken', 'another successor has taken over the old collaboration');
  }
  const spent: Spent[] = [];
  for (const [name, terms] of Object.entries(old.policy.functions)) {
    for (const [party, quota] of Object.entries(terms.calls)) {
      spent.push({ function: name, party, calls: await closeTickets(old, name, party, quota, entry, options) });
    }
  }
  const records: LastVersion[] = [];
  for (const name of recordNames(old.policy)) {
    const last = await closeRecord(old, name, entry, options);
    if (last !== undefined) records.push(last);
  }
  return { spent, records };
}

/** How many of the tickets were spent: those that can be closed no more, because a call holds them. */
async function closeTickets(
  old: ToClose,
  functionName: string,
  party: string,
  quota: number,
  entry: Entry,
  options: ClaimOptions,
): Promise<number> {
  const name = ticketsName(old.policyDigest, { function: functionName, party });
  let spent = 0;
  for (let from = 0; from < quota; from += PARALLEL) {
    const numbers = Array.from({ length: Math.min(PARALLEL, quota - from) }, (_, i) => from + i);
    const closed = await Promise.all(numbers.map((k) => closeTicket(old, { name, k }, entry, options)));
    spent += closed.filter((by) => by.some(({ kind }) => kind === 'ticket')).length;
  }
  return spent;
}

/**
 * Who holds it instead; empty where it is closed. Where the anchors are split for good between a call and its being closed,
 * no copy gets the ticket any more, and an answer may have left for it: it is spent.
 */
async function closeTicket(
  { anchors, key }: ToClose,
  place: Place,
  entry: Entry,
  options: ClaimOptions,
): Promise<readonly Entry[]> {
  const settled = await hold(anchors, key, place, entry, options);
  if (settled.outcome === 'held') return [];
  if (settled.outcome === 'lost') return settled.by;
  if (settled.split === undefined) throw claimFailure(settled);
  return settled.split;
}

/** Undefined where the record has no version. */
async function closeRecord(
  old: ToClose,
  recordName: string,
  entry: Entry,
  options: ClaimOptions,
): Promise<LastVersion | undefined> {
  const { anchors, key } = old;
  const name = versionsName(old.policyDigest, recordName);
  for (;;) {
    const { newest, next } = await newestVersion(anchors, key, name, options);
    const isClosed = newest?.entry.kind === 'closed';
    // A copy of the old image may be faster; it can only be so as often as it has tickets left, and it has none.
    if (!isClosed && (await closePlace(old, { name, k: next }, entry, options)).outcome === 'lost') continue;
    return lastBefore(old, recordName, isClosed ? newest.k : next, options);
  }
}

/** Numbers that no entry can hold any more, where several were claimed at once, are passed over. */
async function lastBefore(
  old: ToClose,
  recordName: string,
  closedAt: number,
  options: ClaimOptions,
): Promise<LastVersion | undefined> {
  const name = versionsName(old.policyDigest, recordName);
  for (let k = closedAt - 1; k >= 0; k -= 1) {
    const held = await complete(old.anchors, old.key, { name, k }, options);
    if (held?.kind === 'version') return { name: recordName, version: k, sha256: held.first };
  }
  return undefined;
}

async function closePlace(
  { anchors, key }: ToClose,
  place: Place,
  entry: Entry,
  options: ClaimOptions,
): Promise<{ readonly outcome: 'held' } | { readonly outcome: 'lost'; readonly by: readonly Entry[] }> {
  const settled = await hold(anchors, key, place, entry, options);
  if (settled.outcome === 'failed') throw claimFailure(settled);
  return settled;
}

const isBy = (entry: Entry, by: readonly Entry[]): boolean =>
  by.every(({ kind, first }) => kind === entry.kind && constantTimeEqual(first, entry.first));
