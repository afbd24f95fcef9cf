/** A policy whose state outlives the enclave: `state` and `anchors` go together. */
import type { AnchorSet, CanonicalPolicy, SealedState } from '../../policies/model.ts';

export interface SealedPolicy extends CanonicalPolicy {
  readonly anchors: AnchorSet;
  readonly state: SealedState;
}

export function isSealed(policy: CanonicalPolicy): policy is SealedPolicy {
  return policy.state !== 'none' && policy.anchors !== 'none';
}
