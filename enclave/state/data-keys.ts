/**
 * Each party's data key, from the party's KMS: the one of the set of wrapped keys that is to be opened, or a fresh one
 * where a set is to be made. Held until the state is open and erased then; those of another set are erased at once.
 */
import type { PolicyDigest } from '../../policies/model.ts';
import { constantTimeEqual } from '../crypto/digest.ts';
import type { AttestedKms, DataKey } from '../kms/attested.ts';
import { stateContext } from '../protocol/context.ts';
import type { KeySet } from './key-set.ts';
import type { Loan } from './loans.ts';
import { stateFailure } from './state-failure.ts';

/** A set and its digest, or that there is none and one is to be made. */
export type WantedSet = { readonly set: KeySet; readonly digest: Uint8Array } | 'fresh';

export interface DataKeys {
  readonly wanted: WantedSet | undefined;
  /** Erases what was obtained for something else. */
  want(wanted: WantedSet): void;
  has(party: string): boolean;
  /** Obtains one; nothing to do where it is there. Throws `Failure<AttestedCode>`. */
  obtain(party: string, loan: Loan, signal: AbortSignal): Promise<void>;
  /** Those of all parties that have been obtained. */
  all(): ReadonlyMap<string, DataKey>;
  /** … and with whose credentials. */
  lentBy(): ReadonlyMap<string, Loan['from']>;
  erase(): void;
}

export function createDataKeys(kms: AttestedKms, policyDigest: PolicyDigest): DataKeys {
  let wanted: WantedSet | undefined;
  const keys = new Map<string, DataKey>();
  const lentBy = new Map<string, Loan['from']>();
  const erase = (): void => {
    for (const { plaintext } of keys.values()) plaintext.fill(0);
    keys.clear();
    lentBy.clear();
  };
  return {
    get wanted() {
      return wanted;
    },
    want(next) {
      if (wanted !== undefined && same(wanted, next)) return;
      erase();
      wanted = next;
    },
    has: (party) => keys.has(party),
    async obtain(party, { keyArn, credentials, from }, signal) {
      const asked = wanted;
      if (asked === undefined || keys.has(party)) return;
      const context = stateContext({ policyDigest, party });
      const key =
        asked === 'fresh'
          ? await kms.generateDataKey({ keyArn, context, credentials }, signal)
          : await openDataKey(kms, asked.set, party, { keyArn, context, credentials }, signal);
      // Meanwhile another set may have been found to be the one that counts, or another session's answer came first.
      if (wanted !== asked || keys.has(party)) {
        key.plaintext.fill(0);
        return;
      }
      keys.set(party, key);
      lentBy.set(party, from);
    },
    all: () => keys,
    lentBy: () => lentBy,
    erase,
  };
}

/** Throws `state/keys-unopened` where KMS opens something that is no data key. */
export async function openDataKey(
  kms: AttestedKms,
  set: KeySet,
  party: string,
  request: Omit<Parameters<AttestedKms['decrypt']>[0], 'ciphertext'>,
  signal: AbortSignal,
): Promise<DataKey> {
  const ciphertext = set.dataKeys[set.order.indexOf(party)];
  if (ciphertext === undefined) throw new RangeError(`${party} has no key in the set`);
  const plaintext = await kms.decrypt({ ...request, ciphertext }, signal);
  if (plaintext.length === 32) return { plaintext, ciphertext };
  plaintext.fill(0);
  throw stateFailure('state/keys-unopened', `what is wrapped for ${party} is no data key`, party);
}

function same(a: WantedSet, b: WantedSet): boolean {
  return a === 'fresh' || b === 'fresh' ? a === b : constantTimeEqual(a.digest, b.digest);
}
