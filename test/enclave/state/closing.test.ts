/** A successor closes what an old copy is just spending, over lines that fail: nobody lies, and nothing gets stuck. */
import { expect, test } from 'vitest';
import type { Anchor } from '../../../enclave/claims/anchor.ts';
import { entryKey } from '../../../enclave/claims/entry.ts';
import { createMemoryAnchor } from '../../../enclave/claims/memory-anchor.ts';
import { createTicketBook } from '../../../enclave/claims/tickets.ts';
import type { TicketBook } from '../../../enclave/claims/tickets.ts';
import type { ClosedState } from '../../../enclave/state/closing.ts';
import { closePredecessor } from '../../../enclave/state/closing.ts';
import { isSealed } from '../../../enclave/state/sealed-policy.ts';
import { toCanonicalPolicy } from '../../../policies/canonical.ts';
import { policyDigest } from '../../../policies/digest.ts';
import { cutOff } from '../claims/weather.ts';
import { realTimers } from '../real-timers.ts';
import { POLICY } from '../harness.ts';
import { SEALED } from './sealed.ts';

const bytes = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);
const { signal } = new AbortController();
const patience = { attempts: 2, attemptMs: 100, pauseMs: 1, graceMs: 20 };
const [digest, successor] = [await policyDigest('{}'), await policyDigest('{"a":1}')];
const stateKey = bytes(77);
const policy = await toCanonicalPolicy({ ...SEALED, functions: POLICY.functions });
if (!isSealed(policy)) throw new Error('unreachable');
const sealed = policy;
const request = {
  function: 'classify',
  party: 'alice',
  quota: 3,
  requestId: bytes(1),
  inputDigest: bytes(2),
  readsDigest: bytes(3),
};

/** Tickets do not get to those that are `cut`. */
const behind = (stores: readonly Anchor[], cut: readonly number[]): readonly Anchor[] =>
  stores.map((store, i) => cutOff(store, (name) => cut.includes(i) && name.startsWith('tickets/')));
const book = (stores: readonly Anchor[]): Promise<TicketBook> =>
  createTicketBook({ anchors: { stores, quorum: 3 }, policyDigest: digest, stateKey, timers: realTimers, patience });

test('with three of four anchors needed and a ticket split between a call and its closing, it is spent', async () => {
  const stores = ['alice', 'bob', 'carol', 'dave'].map(createMemoryAnchor);
  const close = async (cut: readonly number[]): Promise<ClosedState> =>
    closePredecessor(
      {
        policy: sealed,
        policyDigest: digest,
        anchors: { stores: behind(stores, cut), quorum: 3 },
        key: await entryKey(stateKey),
        successor,
      },
      { timers: realTimers, signal, patience },
    );
  const early = await (await book(behind(stores, [1, 3]))).take(request, signal);
  expect(early.outcome === 'granted' && (await early.settled)).toMatchObject({ code: 'unavailable' });
  await expect(close([0, 2])).rejects.toMatchObject({ code: 'claim/unavailable' });
  const closed = await close([]);
  expect(closed.spent.filter(({ party }) => party === 'alice')).toEqual([{ function: 'classify', party: 'alice', calls: 1 }]); // prettier-ignore
  expect(await close([])).toEqual(closed);
  // The old copy gets it no more, nor any other.
  const [again, another] = [request, { ...request, requestId: bytes(9) }].map(async (one) => {
    const ticket = await (await book(stores)).take(one, signal);
    return ticket.outcome === 'granted' ? ticket.settled : ticket;
  });
  expect(await again).toMatchObject({ code: 'anchor-tampered' });
  expect(await another).toMatchObject({ code: 'quota-exceeded' });
});
