/**
 * A successor's way to its predecessor's state, party by party as their credentials come: which keys the old anchors name,
 * each old party's data key of them, and then the succession itself. Once that is done, parties' key policies need not
 * name the old policy any more, and nothing of it is asked for.
 */
import type { PolicyDigest } from '../../policies/model.ts';
import type { Anchors } from '../claims/anchor.ts';
import type { ClaimOptions } from '../claims/claim.ts';
import { claimFailure, hold } from '../claims/claim.ts';
import { entryKey } from '../claims/entry.ts';
import type { Found } from '../claims/survey.ts';
import { holderOf } from '../claims/versions.ts';
import { constantTimeEqual } from '../crypto/digest.ts';
import type { Timers } from '../deadline.ts';
import type { AttestedKms } from '../kms/attested.ts';
import { stateContext } from '../protocol/context.ts';
import type { Host } from '../vsock/host.ts';
import { closingEntry } from './closing.ts';
import { openDataKey } from './data-keys.ts';
import { confirmKeySet, keySetPlace } from './key-claim.ts';
import type { KeySet } from './key-set.ts';
import { openKeySet } from './layers.ts';
import { LEASE_MS } from './lease.ts';
import type { Loan } from './loans.ts';
import type { Predecessor, SucceedingPolicy } from './predecessor.ts';
import { readOldKeys, readPredecessor } from './predecessor.ts';
import { hostRecordStore } from './record-store.ts';
import { stateFailure } from './state-failure.ts';
import type { Successor } from './succession.ts';
import { donePlace, hasTakenOver, sayDone, takeOver } from './succession.ts';

export interface Inheritance {
  /**
   * Has the party's KMS open its old data key. False where there is nothing to obtain, or not any more. Needs the anchors.
   * Throws `Failure<AttestedCode>`, `state/…`, `claim/…`.
   */
  obtain(party: string, loan: Loan, signal: AbortSignal): Promise<boolean>;
  /** Parties whose old data keys are known to be needed, and are not there. */
  missing(): readonly string[];
  /** Takes over, unless that is done. `waiting`: for old data keys. Throws `Failure<RecordsCode>`. */
  settle(own: Pick<Successor, 'stateKey' | 'keysDigest'>, signal: AbortSignal): Promise<'settled' | 'waiting'>;
  erase(): void;
}

export interface InheritanceParts {
  readonly policy: SucceedingPolicy;
  readonly policyDigest: PolicyDigest;
  /** In the order of `policy`. */
  readonly anchors: Anchors;
  readonly host: Pick<Host, 'policy' | 'record' | 'putRecord'>;
  readonly kms: AttestedKms;
  readonly timers: Timers;
  /** By the NSM. Milliseconds since 1970. */
  readonly now: () => Promise<number>;
}

/** What the predecessor left: wrapped keys and the claim that names them, or a claim that it was closed unopened. */
interface Left {
  readonly old: Predecessor;
  readonly keys: { readonly set: KeySet; readonly shown: Found } | undefined;
  readonly closed: Found | undefined;
}

export function createInheritance(parts: InheritanceParts): Inheritance {
  const { policy, policyDigest, anchors, host, kms, timers } = parts;
  const dataKeys = new Map<string, Uint8Array>();
  /** When the KMS of each party was asked for its old data key. */
  const asked = new Map<string, number>();
  const store = hostRecordStore(host);
  let left: Left | undefined;
  let settled = false;

  const look = async (signal: AbortSignal): Promise<Left> => {
    const known = left?.old ?? (await readPredecessor(policy, anchors, host, signal));
    if (left?.keys !== undefined) return left;
    const place = keySetPlace(known.policyDigest);
    const [shown] = (await holderOf(known.anchors, undefined, place, { timers, signal })).entries;
    const isClosed = shown !== undefined && shown.entry.kind !== 'version';
    const set = shown === undefined || isClosed ? undefined : await readOldKeys(known, shown.entry.first, host, signal);
    left = {
      old: known,
      keys: set === undefined || shown === undefined ? undefined : { set, shown },
      closed: isClosed ? shown : undefined,
    };
    return left;
  };

  /** As far as can be said before the own state key is there. */
  const isSaidDone = async (signal: AbortSignal): Promise<boolean> => {
    const { entries } = await holderOf(anchors, undefined, donePlace(policyDigest), { timers, signal });
    return entries.length > 0;
  };

  const missing = (): readonly string[] =>
    settled || left?.keys === undefined ? [] : left.keys.set.order.filter((party) => !dataKeys.has(party));

  /** A party may have thought better of it since: what is done here cannot be undone. */
  const dropOld = async (): Promise<void> => {
    const time = await parts.now();
    for (const [party, key] of dataKeys) {
      if (time - (asked.get(party) ?? -Infinity) < LEASE_MS) continue;
      key.fill(0);
      dataKeys.delete(party);
    }
  };

  const erase = (): void => {
    for (const key of dataKeys.values()) key.fill(0);
    dataKeys.clear();
  };

  return {
    missing,
    erase,
    async obtain(party, { keyArn, credentials }, signal) {
      if (settled || dataKeys.has(party) || (left === undefined && (await isSaidDone(signal)))) return false;
      const { old, keys } = await look(signal);
      if (keys === undefined || !keys.set.order.includes(party)) return false;
      const context = stateContext({ policyDigest: old.policyDigest, party });
      const time = await parts.now();
      const { plaintext } = await openDataKey(kms, keys.set, party, { keyArn, context, credentials }, signal);
      // Another session's answer may have come first.
      if (settled || dataKeys.has(party)) plaintext.fill(0);
      else {
        dataKeys.set(party, plaintext);
        asked.set(party, time);
      }
      return !settled;
    },

    async settle(state, signal) {
      const own: Successor = { ...state, policy, policyDigest, anchors };
      const options: ClaimOptions = { timers, signal };
      settled ||= await hasTakenOver(own, options);
      if (settled) return 'settled';
      const { old, keys, closed } = await look(signal);
      if (keys === undefined) {
        if (!(await closeUnopened(own, old, closed, options))) return 'waiting';
      } else {
        await dropOld();
        if (missing().length > 0) return 'waiting';
        const stateKey = await openKeySet(keys.set, dataKeys);
        try {
          await confirmKeySet(old.anchors, old.policyDigest, stateKey, keys.shown, options);
          await takeOver(own, { ...old, stateKey, keysDigest: keys.shown.entry.first }, { ...options, store });
        } finally {
          stateKey.fill(0);
        }
      }
      settled = true;
      erase();
      return 'settled';
    },
  };
}

/**
 * A predecessor that was never opened has no key to write entries with. In the place of its wrapped keys stands that it is
 * closed, then: whatever stands there but a claim of keys, no enclave of the old image opens. False where one of them was
 * faster.
 */
async function closeUnopened(
  own: Successor,
  old: Predecessor,
  closed: Found | undefined,
  options: ClaimOptions,
): Promise<boolean> {
  const entry = await closingEntry(own.policyDigest);
  if (closed !== undefined && !constantTimeEqual(closed.entry.first, entry.first)) {
    throw stateFailure('state/predecessor-taken', 'another successor has taken over the old collaboration');
  }
  const key = await entryKey(own.stateKey);
  const place = keySetPlace(old.policyDigest);
  // Unchecked: an old enclave that opens its state at this moment writes with a key of its own.
  const outcome = await hold(old.anchors, key, place, entry, { ...options, unchecked: true });
  if (outcome.outcome === 'failed') throw claimFailure(outcome);
  if (outcome.outcome === 'lost') return false;
  await sayDone(own, old, options);
  return true;
}
