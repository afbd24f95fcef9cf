/** What the state key is good for: tickets, and sealed records with the host. */
import type { CanonicalPolicy, PolicyDigest } from '../../policies/model.ts';
import { createTicketBook } from '../claims/tickets.ts';
import type { RandomSource } from '../crypto/random.ts';
import type { Timers } from '../deadline.ts';
import type { Host } from '../vsock/host.ts';
import { hostRecordStore } from './record-store.ts';
import { createRecords } from './records.ts';
import type { UseState } from './sealed-opening.ts';

export interface UseParts {
  readonly policy: CanonicalPolicy;
  readonly policyDigest: PolicyDigest;
  readonly host: Host;
  readonly random: RandomSource;
  readonly timers: Timers;
}

export function useState({ policy, policyDigest, host, random, timers }: UseParts): UseState {
  return async (stateKey, anchors, keysDigest) => {
    const setting = { collaboration: policy.collaboration, policyDigest, keysDigest };
    const [tickets, records] = await Promise.all([
      createTicketBook({ anchors, policyDigest, stateKey, timers }),
      createRecords({ setting, stateKey, anchors, store: hostRecordStore(host), random, timers }),
    ]);
    return { tickets, records, anchors };
  };
}
