/**
 * Tickets over several anchors, taken by two enclaves of one image at once, whatever the order of answers and whichever of
 * them get lost: no call more than the quota, no second ticket for a request, and each that was held is found again.
 */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Anchor } from '../../../enclave/claims/anchor.ts';
import { entryKey, parseEntry, readEntry } from '../../../enclave/claims/entry.ts';
import { createMemoryAnchor } from '../../../enclave/claims/memory-anchor.ts';
import type { SettledTicket, TicketBook, TicketRequest } from '../../../enclave/claims/tickets.ts';
import { createTicketBook, ticketsName } from '../../../enclave/claims/tickets.ts';
import { toHex } from '../../../enclave/encoding/hex.ts';
import { policyDigest } from '../../../policies/digest.ts';
import type { Fate, Sky } from './weather.ts';
import { behind, createSky } from './weather.ts';

const bytes = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);
const digest = await policyDigest('{}');
const NAMES = ['alice', 'bob', 'carol', 'dave'];
const { signal } = new AbortController();

const request = (id: number, quota: number): TicketRequest => ({
  function: 'classify',
  party: 'alice',
  quota,
  requestId: bytes(id),
  inputDigest: bytes(100),
  readsDigest: bytes(200),
});

/** A fresh one remembers nothing, as after a restart. */
const book = (stores: readonly Anchor[], quorum: number, { timers }: Pick<Sky, 'timers'>): Promise<TicketBook> =>
  createTicketBook({ anchors: { stores, quorum }, policyDigest: digest, stateKey: bytes(77), timers });

const take = async (tickets: TicketBook, of: TicketRequest): Promise<SettledTicket> => {
  const ticket = await tickets.take(of, signal);
  return ticket.outcome === 'granted' ? ticket.settled : ticket;
};

const key = await entryKey(bytes(77));

/** Tags that a quorum holds, for each ticket. */
async function heldTags(stores: readonly Anchor[], quorum: number, quota: number): Promise<readonly string[]> {
  const name = ticketsName(digest, { function: 'classify', party: 'alice' });
  const held: string[] = [];
  for (let k = 0; k < quota; k += 1) {
    const counts = new Map<string, number>();
    for (const store of stores) {
      const there = await store.holder(name, k, signal);
      if (there === undefined) continue;
      expect((await readEntry(key, { name, k }, there)).outcome).toBe('genuine');
      const tag = toHex(parseEntry(there)?.first ?? new Uint8Array(0));
      counts.set(tag, (counts.get(tag) ?? 0) + 1);
    }
    held.push(...[...counts].filter(([, count]) => count >= quorum).map(([tag]) => tag));
  }
  return held;
}

const shape = fc
  .integer({ min: 1, max: 4 })
  .chain((n) => fc.record({ n: fc.constant(n), q: fc.integer({ min: Math.floor(n / 2) + 1, max: n }) }));
const fates = fc.array(fc.constantFrom<Fate>('fine', 'fine', 'fine', 'not-done', 'done-and-lost'), { maxLength: 60 });
const call = fc.record({ id: fc.integer({ min: 1, max: 5 }), enclave: fc.integer({ min: 0, max: 2 }) });

test('in any weather', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      shape,
      fates,
      fc.integer({ min: 1, max: 4 }),
      fc.array(fc.array(call, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 3 }),
      async (scheduler, { n, q }, drawn, quota, rounds) => {
        const sky = createSky({ scheduler, fates: drawn });
        const stores = NAMES.slice(0, n).map(createMemoryAnchor);
        const seen = stores.map((store) => behind(sky, store));
        const books = [await book(seen, q, sky), await book(seen, q, sky)];
        const answered = new Map<number, number>();
        const note = (id: number, settled: SettledTicket): void => {
          if (settled.outcome !== 'held') return;
          // Never a second ticket for the same request.
          expect(answered.get(id) ?? settled.k).toBe(settled.k);
          answered.set(id, settled.k);
        };

        for (const round of rounds) {
          await scheduler.waitFor(
            Promise.all(
              round.map(async ({ id, enclave }) => {
                // The third enclave is a new one each time: one that was restarted.
                const tickets = books[enclave] ?? (await book(seen, q, sky));
                note(id, await take(tickets, request(id, quota)));
              }),
            ),
          );
        }
        expect(answered.size).toBeLessThanOrEqual(quota);
        expect(new Set(answered.values()).size).toBe(answered.size);

        sky.clear();
        const asked = new Set(rounds.flat().map(({ id }) => id));
        const left: number[] = [];
        for (const id of asked) {
          const settled = await scheduler.waitFor(take(await book(seen, q, sky), request(id, quota)));
          note(id, settled);
          // All anchors answer: whoever keeps asking is served, or there is nothing left.
          if (settled.outcome === 'refused') {
            // Or a ticket is split as by an owner who is tolerated: who meets his own half there goes no further.
            const mayBeSplit = q < n && 2 * q - n > 1;
            expect(['quota-exceeded', ...(mayBeSplit ? ['anchor-tampered'] : [])]).toContain(settled.code);
            expect(answered.has(id)).toBe(false);
            left.push(id);
          }
        }
        expect(answered.size).toBeLessThanOrEqual(quota);
        // Where all must agree, not one ticket is wasted, whatever was lost.
        if (q === n) expect(answered.size).toBe(Math.min(quota, asked.size));
        const held = await heldTags(stores, q, quota);
        expect(new Set(held).size).toBe(held.length);
        expect(held.length).toBeGreaterThanOrEqual(answered.size);
        const usage = await scheduler.waitFor((await book(seen, q, sky)).used(request(0, quota)));
        expect(usage.used + usage.left).toBe(quota);
        if (q === n) expect(usage.used).toBe(answered.size);
      },
    ),
    { numRuns: 400 },
  );
});

test('a thousand spent tickets are passed by some at a time, and once', async () => {
  const store = createMemoryAnchor('alice');
  const timers = (): (() => void) => () => {};
  const before = await book([store], 1, { timers });
  for (let id = 0; id < 250; id += 1) await take(before, { ...request(0, 1000), requestId: bytes(id) });

  let waiting = 0;
  let most = 0;
  let reads = 0;
  const slow: Anchor = {
    ...store,
    holder: async (...args) => {
      reads += 1;
      most = Math.max(most, (waiting += 1));
      await new Promise(setImmediate);
      waiting -= 1;
      return store.holder(...args);
    },
  };
  const after = await book([slow], 1, { timers });
  expect(await take(after, { ...request(0, 1000), requestId: bytes(251) })).toEqual({ outcome: 'held', k: 250 });
  expect(most).toBe(32);
  expect(reads).toBeLessThan(250 + 64);
  const once = reads;
  expect(await take(after, { ...request(0, 1000), requestId: bytes(7) })).toEqual({ outcome: 'held', k: 7 });
  expect(await take(after, { ...request(0, 1000), requestId: bytes(252) })).toEqual({ outcome: 'held', k: 251 });
  expect(reads).toBe(once);
});
