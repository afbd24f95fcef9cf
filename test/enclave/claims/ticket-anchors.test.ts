/** Tickets over several anchors, case by case: where they go when anchors fail, lie, or were closed by a successor. */
import { describe, expect, test } from 'vitest';
import type { Anchor } from '../../../enclave/claims/anchor.ts';
import { hold } from '../../../enclave/claims/claim.ts';
import { encodeEntry, entryKey, entryOf } from '../../../enclave/claims/entry.ts';
import type { Entry } from '../../../enclave/claims/entry.ts';
import { createMemoryAnchor } from '../../../enclave/claims/memory-anchor.ts';
import type { SettledTicket, TicketBook, TicketRequest } from '../../../enclave/claims/tickets.ts';
import { createTicketBook, ticketsName } from '../../../enclave/claims/tickets.ts';
import { policyDigest } from '../../../policies/digest.ts';
import { realTimers } from '../real-timers.ts';
import { createLyingAnchor, cutOff } from './weather.ts';

const { signal } = new AbortController();
const bytes = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);
const digest = await policyDigest('{}');
const stateKey = bytes(77);
const key = await entryKey(stateKey);
const name = ticketsName(digest, { function: 'classify', party: 'alice' });
const patience = { attempts: 2, attemptMs: 100, pauseMs: 1, graceMs: 50 };

const request = (id: number, more: Partial<TicketRequest> = {}): TicketRequest => ({
  function: 'classify',
  party: 'alice',
  quota: 3,
  requestId: bytes(id),
  inputDigest: bytes(100),
  readsDigest: bytes(200),
  ...more,
});
const book = (stores: readonly Anchor[], quorum: number = stores.length): Promise<TicketBook> =>
  createTicketBook({ anchors: { stores, quorum }, policyDigest: digest, stateKey, timers: realTimers, patience });
const take = async (tickets: TicketBook, of: TicketRequest): Promise<SettledTicket> => {
  const ticket = await tickets.take(of, signal);
  return ticket.outcome === 'granted' ? ticket.settled : ticket;
};

/** The same store, but out of reach while `away.now` holds. */
const leaving = (store: Anchor, away: { now: boolean }): Anchor => cutOff(store, () => away.now);
const close = (stores: readonly Anchor[], k: number): Promise<unknown> =>
  hold({ stores, quorum: stores.length }, key, { name, k }, entryOf('closed', bytes(1)), {
    timers: realTimers,
    signal,
  });

describe('one anchor of three away, two are enough', () => {
  test('calls go on, whichever it is, and are found again when it is back', async () => {
    for (const which of [0, 1, 2]) {
      const away = { now: true };
      const stores = ['alice', 'bob', 'carol'].map(createMemoryAnchor);
      const seen = stores.map((store, i) => (i === which ? leaving(store, away) : store));
      const tickets = await book(seen, 2);
      expect(await take(tickets, request(1))).toEqual({ outcome: 'held', k: 0 });
      expect(await take(tickets, request(2))).toEqual({ outcome: 'held', k: 1 });
      expect(await tickets.used(request(0))).toEqual({ used: 2, left: 1 });
      away.now = false;
      const after = await book(seen, 2);
      expect(await take(after, request(2))).toEqual({ outcome: 'held', k: 1 });
      expect(await take(after, request(3))).toEqual({ outcome: 'held', k: 2 });
      expect(await take(after, request(1))).toEqual({ outcome: 'held', k: 0 });
      expect(await take(after, request(4))).toEqual({ outcome: 'refused', code: 'quota-exceeded' });
    }
  });

  test('a request finds its own ticket although the first anchor holds another’s there', async () => {
    const [first, second, third] = ['alice', 'bob', 'carol'].map(createMemoryAnchor);
    if (first === undefined || second === undefined || third === undefined) throw new Error('unreachable');
    const away = { now: true };
    // The first was away when request 1 was served; it holds what an enclave wrote there that reached nobody else.
    const apart = await book([leaving(first, away), second, third], 2);
    expect(await take(apart, request(1))).toEqual({ outcome: 'held', k: 0 });
    await (await book([first])).take(request(2), signal);
    away.now = false;
    const tickets = await book([first, second, third], 2);
    expect(await take(tickets, request(1))).toEqual({ outcome: 'held', k: 0 });
    expect(await take(tickets, request(2))).toEqual({ outcome: 'held', k: 1 });
  });
});

test('a ticket that turns out to be another’s is exchanged for the next, whatever was computed meanwhile', async () => {
  const [first, second, third] = ['alice', 'bob', 'carol'].map(createMemoryAnchor);
  if (first === undefined || second === undefined || third === undefined) throw new Error('unreachable');
  const apart = await book([leaving(first, { now: true }), second, third], 2);
  expect(await take(apart, request(1))).toEqual({ outcome: 'held', k: 0 });
  const ticket = await (await book([first, second, third], 2)).take(request(2), signal);
  expect(ticket).toMatchObject({ outcome: 'granted', k: 0 });
  expect(ticket.outcome === 'granted' && (await ticket.settled)).toEqual({ outcome: 'held', k: 1 });
});

describe('an owner who colludes with the host', () => {
  const TAMPERED = {
    outcome: 'refused',
    code: 'anchor-tampered',
    detail: 'the anchors hold different entries',
  };

  test('and lies about absence adds no call', async () => {
    const second = createMemoryAnchor('bob');
    const liar = createLyingAnchor('alice', () => undefined);
    const held = [];
    for (let id = 1; id <= 8; id += 1) held.push(await take(await book([liar, second]), request(id)));
    expect(held).toEqual([{ outcome: 'held', k: 0 }, ...Array.from({ length: 7 }, () => TAMPERED)]);
    expect(await (await book([liar, second])).used(request(0))).toEqual({ used: 1, left: 2 });
  });

  // Seed 44018 of the simulation.
  test('and shows each enclave tickets of its own gives no request a second one', async () => {
    const second = createMemoryAnchor('bob');
    const [here, there] = [createMemoryAnchor('alice'), createMemoryAnchor('alice')];
    expect(await take(await book([here, second]), request(1))).toEqual({ outcome: 'held', k: 0 });
    // Remembered by this enclave or not.
    const other = await book([there, second]);
    expect(await take(other, request(2))).toEqual(TAMPERED);
    expect(await take(other, request(1))).toEqual(TAMPERED);
    expect(await take(await book([there, second]), request(1))).toEqual(TAMPERED);
    expect(await take(await book([here, second]), request(1))).toEqual({ outcome: 'held', k: 0 });
  });
});

describe('what is drawn', () => {
  const drawn = async (of: TicketRequest, as: Uint8Array = stateKey): Promise<readonly Uint8Array[]> => {
    const anchors = { stores: [createMemoryAnchor('alice')], quorum: 1 };
    const tickets = await createTicketBook({ anchors, policyDigest: digest, stateKey: as, timers: realTimers });
    const ticket = await tickets.take(of, signal);
    return ticket.outcome === 'granted' ? [ticket.draw, ticket.tag] : [];
  };

  test('is the same for each retry, wherever it is made, and for nothing else', async () => {
    const one = await drawn(request(1));
    expect(one.map(({ length }) => length)).toEqual([32, 32]);
    expect(await drawn(request(1))).toEqual(one);
    for (const other of [request(2), request(1, { party: 'bob' }), request(1, { function: 'detect' })]) {
      expect(await drawn(other)).not.toEqual(one);
    }
    expect(await drawn(request(1), bytes(78))).not.toEqual(one);
    expect(one[0]).not.toEqual(one[1]);
  });
});

describe('tickets that a successor closed', () => {
  test('are not to be had, and are no spent calls; what was spent before is found', async () => {
    const stores = ['alice', 'bob'].map(createMemoryAnchor);
    const tickets = await book(stores);
    expect(await take(tickets, request(1))).toEqual({ outcome: 'held', k: 0 });
    for (const k of [1, 2]) await close(stores, k);
    const fresh = await book(stores);
    expect(await take(fresh, request(2))).toEqual({
      outcome: 'refused',
      code: 'quota-exceeded',
      detail: 'a successor of this collaboration has closed it',
    });
    expect(await fresh.used(request(0))).toEqual({ used: 1, left: 0 });
    expect(await take(fresh, request(1))).toEqual({ outcome: 'held', k: 0 });
  });

  test('half closed ones count too', async () => {
    const stores = ['alice', 'bob'].map(createMemoryAnchor);
    const bytesOf = await encodeEntry(key, { name, k: 0 }, entryOf('closed', bytes(1)));
    await stores[0]?.claim(name, 0, bytesOf, signal);
    expect(await (await book(stores)).used(request(0))).toEqual({ used: 0, left: 2 });
  });
});

describe('reports', () => {
  test('of anchors and of entries, each with its owner, and not without end', async () => {
    const store: Anchor = { ...createMemoryAnchor('alice'), reports: ['accord/x has a delete marker'] };
    const tickets = await book([store]);
    const foreign: Entry = { kind: 'ticket', first: bytes(1), second: bytes(2) };
    const stranger = await entryKey(bytes(9));
    for (let k = 0; k < 100; k += 1) {
      const party = `p${k}`;
      const place = { name: ticketsName(digest, { function: 'classify', party }), k: 0 };
      await store.claim(place.name, 0, await encodeEntry(stranger, place, foreign), signal);
      expect(await take(tickets, request(1, { party }))).toMatchObject({ code: 'anchor-tampered' });
    }
    expect(tickets.reports).toHaveLength(33);
    expect(tickets.reports.at(0)).toContain("alice's anchor holds an entry of somebody else");
    expect(tickets.reports.at(-1)).toBe('alice: accord/x has a delete marker');
  });
});
