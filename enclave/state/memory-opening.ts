/** For a collaboration without anchors: open from the start, and gone with the enclave's memory. */
import type { PolicyDigest } from '../../policies/model.ts';
import { createMemoryAnchor } from '../claims/memory-anchor.ts';
import { createTicketBook } from '../claims/tickets.ts';
import type { RandomSource } from '../crypto/random.ts';
import type { Timers } from '../deadline.ts';
import { STATE_KEY_BYTES } from './layers.ts';
import { createMemoryRecords } from './memory-records.ts';
import type { Opening } from './opening.ts';

export interface MemoryOpeningParts {
  readonly policyDigest: PolicyDigest;
  readonly random: RandomSource;
  readonly timers: Timers;
}

export async function openInMemory({ policyDigest, random, timers }: MemoryOpeningParts): Promise<Opening> {
  const stateKey = await random(STATE_KEY_BYTES);
  const anchors = { stores: [createMemoryAnchor()], quorum: 1 };
  const tickets = await createTicketBook({ anchors, policyDigest, stateKey, timers });
  stateKey.fill(0);
  const state = { tickets, records: createMemoryRecords(), anchors };
  return {
    current: () => state,
    demand: () => Promise.resolve(state),
    arrived: () => {},
    status: () => ({ state: 'none', waitingFor: [] }),
    close: () => {},
  };
}
