/** What can be wrong with what the host hands back. Each tampering has its own code; each of them is a reason to stop. */
import { Failure } from '../../policies/failure.ts';

export type StateCode =
  | 'state/keys-missing' // version 0 of the keys is claimed, and the host has no set of that digest
  | 'state/keys-malformed' // not a set of wrapped keys
  | 'state/keys-substituted' // a set for this policy, but not the one that is claimed as version 0
  | 'state/keys-other-collaboration'
  | 'state/keys-other-policy'
  | 'state/keys-other-party' // a layer that stands in another party's place
  | 'state/keys-unopened' // a layer does not open: a bit was flipped, or the data key is another
  | 'state/keys-foreign' // the claim of version 0 was not written by whoever has this state key
  | 'state/record-missing' // a version is claimed, and the host has no such record
  | 'state/record-older' // an earlier version of the record
  | 'state/record-substituted' // another record of this version: written, and never claimed
  | 'state/record-swapped' // another record's bytes
  | 'state/record-foreign' // of another collaboration, policy or set of keys
  | 'state/record-reordered'
  | 'state/record-truncated'
  | 'state/record-changed' // a bit was flipped
  | 'state/record-too-large'
  | 'state/contended' // other copies were faster again and again
  | 'state/closed' // a successor has taken over
  | 'state/predecessor-missing' // the host does not have the policy that is succeeded, or another one
  | 'state/predecessor-unreachable' // a party, key or anchor of it is not in this policy
  | 'state/predecessor-unfinished' // it has not taken over from its own predecessor yet
  | 'state/predecessor-taken'; // another successor was first

const HINTS: Readonly<Partial<Record<StateCode, string>>> = {
  'state/contended': 'call again',
  'state/closed': 'this collaboration goes on under its successor: attest that one',
  'state/predecessor-unreachable':
    'a successor needs every party of its predecessor with the same key, and its anchors',
  'state/predecessor-unfinished': "start the predecessor once more, with its parties, or succeed the predecessor's own",
  'state/predecessor-taken': 'attest the other successor, and ask who made it',
  'state/record-too-large': 'keep less in one record',
};

/** `where` names the record or the party. */
export function stateFailure(code: StateCode, message: string, where?: string): Failure<StateCode> {
  const hint = HINTS[code] ?? 'the host has to hand back what the enclave gave it last; look into its storage';
  const kind = code === 'state/contended' ? 'environment' : 'refused';
  return new Failure(kind, code, message, { hint, ...(where === undefined ? {} : { where }) });
}
