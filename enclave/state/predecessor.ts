/**
 * The policy whose state is taken over, and the way to its state key. The host hands over its canonical text, which has to
 * be the one whose digest this policy names; parties, keys and anchors have to be in this policy as well. Every party's KMS
 * has to open the old state to this image, whatever the seal: a party that did not agree to the succession keeps it from
 * happening.
 */
import { parseCanonicalPolicy } from '../../policies/canonical.ts';
import { parsePolicyDigest, policyDigest as digestOf } from '../../policies/digest.ts';
import type { AnchorStore, PolicyDigest, Succession } from '../../policies/model.ts';
import type { Anchors } from '../claims/anchor.ts';
import { createLateAnchor } from '../claims/late-anchor.ts';
import type { Host } from '../vsock/host.ts';
import type { KeySet } from './key-set.ts';
import { keySetTerms, readKeySet } from './key-set.ts';
import type { SealedPolicy } from './sealed-policy.ts';
import { isSealed } from './sealed-policy.ts';
import { stateFailure } from './state-failure.ts';

export interface SucceedingPolicy extends SealedPolicy {
  readonly succeeds: Succession;
}

export interface Predecessor {
  readonly policy: SealedPolicy;
  readonly policyDigest: PolicyDigest;
  /** Its anchors, of which those that this policy does not have are out of reach. */
  readonly anchors: Anchors;
}

export function isSuccessor(policy: SealedPolicy): policy is SucceedingPolicy {
  return policy.succeeds !== undefined;
}

/** Throws `state/predecessor-missing`, `state/predecessor-unreachable`. `anchors`: those of `policy`, in its order. */
export async function readPredecessor(
  policy: SucceedingPolicy,
  anchors: Anchors,
  host: Pick<Host, 'policy'>,
  signal: AbortSignal,
): Promise<Predecessor> {
  const policyDigest = parsePolicyDigest(policy.succeeds.policyDigest);
  const bytes = await host.policy(policyDigest, signal);
  const text = bytes === undefined ? '' : new TextDecoder().decode(bytes);
  if ((await digestOf(text)) !== policyDigest) {
    throw stateFailure('state/predecessor-missing', 'the host does not have the policy that this one succeeds');
  }
  const old = parseCanonicalPolicy(text);
  if (!isSealed(old))
    throw stateFailure('state/predecessor-missing', 'the policy that this one succeeds keeps no state');
  for (const [party, { kmsKey }] of Object.entries(old.parties)) {
    if (policy.parties[party]?.kmsKey.arnHash === kmsKey.arnHash) continue;
    throw stateFailure('state/predecessor-unreachable', `${party} is not in this policy with the same key`, party);
  }
  return { policy: old, policyDigest, anchors: shared(old, policy, anchors) };
}

/** The set of wrapped keys that the old anchors name. Throws `state/keys-…`. */
export async function readOldKeys(
  old: Predecessor,
  claimed: Uint8Array,
  host: Pick<Host, 'record'>,
  signal: AbortSignal,
): Promise<KeySet> {
  const bytes = await host.record(claimed, signal);
  if (bytes !== undefined) return readKeySet(bytes, keySetTerms(old), claimed);
  throw stateFailure('state/keys-missing', "the host does not have the predecessor's wrapped keys");
}

function shared(old: SealedPolicy, policy: SealedPolicy, anchors: Anchors): Anchors {
  const stores = old.anchors.stores.map((store) => {
    const i = policy.anchors.stores.findIndex((other) => isSame(store, other));
    const found = anchors.stores[i];
    if (found === undefined) return createLateAnchor(store.owner, 'folder' in store ? 'folder' : 's3');
    // What the old image wrote is locked for its time, and what is written in its names has to be for as long.
    return found.endingOn?.(old.until) ?? found;
  });
  const gone = stores.filter((_, i) => !policy.anchors.stores.some((other) => isSame(old.anchors.stores[i], other)));
  if (stores.length - gone.length < old.anchors.quorum) {
    const owners = gone.map(({ owner }) => owner).join(', ');
    throw stateFailure('state/predecessor-unreachable', `too few old anchors are in this policy: without those of ${owners}`); // prettier-ignore
  }
  return { stores, quorum: old.anchors.quorum };
}

function isSame(a: AnchorStore | undefined, b: AnchorStore): boolean {
  if (a === undefined || a.owner !== b.owner) return false;
  if ('folder' in a || 'folder' in b) return 'folder' in a && 'folder' in b && a.folder === b.folder;
  return a.s3.bucket === b.s3.bucket && a.s3.prefix === b.s3.prefix && a.s3.region === b.s3.region;
}
