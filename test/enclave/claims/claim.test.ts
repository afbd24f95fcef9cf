/** The one primitive over several anchors: what it says, and what stays true whatever happens on the way. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Anchor, Anchors } from '../../../enclave/claims/anchor.ts';
import type { ClaimOptions, Settled } from '../../../enclave/claims/claim.ts';
import { claim, hold } from '../../../enclave/claims/claim.ts';
import type { Entry } from '../../../enclave/claims/entry.ts';
import { encodeEntry, entryKey } from '../../../enclave/claims/entry.ts';
import { createMemoryAnchor } from '../../../enclave/claims/memory-anchor.ts';
import type { AnchorCode } from '../../../enclave/claims/anchor.ts';
import { Failure } from '../../../policies/failure.ts';
import { createHandTimers } from '../hand-timers.ts';
import { realTimers } from '../real-timers.ts';
import type { Fate } from './weather.ts';
import { behind, createLyingAnchor, createSky } from './weather.ts';

const { signal } = new AbortController();
const fill = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);
const key = await entryKey(fill(7));
const place = { name: 'tickets/d/classify/alice', k: 3 };
const ticket = (n: number): Entry => ({ kind: 'ticket', first: fill(n), second: fill(n) });
const quick = { attempts: 2, attemptMs: 50, pauseMs: 1, graceMs: 1 };
const options: ClaimOptions = { timers: realTimers, signal, patience: quick };

const memory = (count: number): Anchor[] =>
  ['alice', 'bob', 'carol', 'dave', 'erin'].slice(0, count).map(createMemoryAnchor);
const among = (stores: readonly Anchor[], quorum: number = stores.length): Anchors => ({ stores, quorum });
const failing = (store: Anchor, code: AnchorCode): Anchor => {
  const fail = (): Promise<never> => Promise.reject(new Failure<AnchorCode>('environment', code, 'as told'));
  return { ...store, claim: fail, holder: fail };
};
const write = async (store: Anchor | undefined, entry: Entry): Promise<void> => {
  await store?.claim(place.name, place.k, await encodeEntry(key, place, entry), signal);
};
const holds = async (store: Anchor | undefined): Promise<number | undefined> =>
  (await store?.holder(place.name, place.k, signal))?.[5];
const claims = (anchors: Anchors, n: number): Promise<Settled> => hold(anchors, key, place, ticket(n), options);

describe('a free place', () => {
  test.each([1, 2, 3])('is held at all of %d anchors', async (n) => {
    const stores = memory(n);
    expect(await claims(among(stores), 1)).toEqual({ outcome: 'held' });
    expect(await Promise.all(stores.map(holds))).toEqual(stores.map(() => 1));
  });

  test('is the first anchor’s to give: the others are not asked before', async () => {
    const stores = memory(3);
    const claimed = await claim(among(stores), key, place, ticket(1), options);
    expect(await Promise.all(stores.map(holds))).toEqual([1, undefined, undefined]);
    expect(claimed.outcome === 'first' && (await claimed.settle())).toEqual({ outcome: 'held' });
  });

  test('is held when the quorum holds it; whoever is slow is not waited for', async () => {
    const stores = memory(3);
    const stuck: Anchor = { ...createMemoryAnchor('carol'), claim: () => new Promise(() => {}) };
    const patient = { ...options, patience: { ...quick, attemptMs: 60_000 } };
    const anchors = among([...stores.slice(0, 2), stuck], 2);
    expect(await hold(anchors, key, place, ticket(1), patient)).toEqual({ outcome: 'held' });
  });
});

describe('a place that another holds', () => {
  test('is lost when all that must agree hold it, which those that hold nothing are asked to', async () => {
    const stores = memory(2);
    await write(stores[0], ticket(2));
    expect(await claims(among(stores), 1)).toEqual({ outcome: 'lost', by: [ticket(2)] });
    expect(await holds(stores[1])).toBe(2);
  });

  test('is not left while another anchor shows one’s own: it was held, and somebody shows now this and now that', async () => {
    const stores = memory(2);
    await write(stores[0], ticket(2));
    await write(stores[1], ticket(1));
    const refused = { outcome: 'failed', code: 'anchor-tampered', detail: 'the anchors hold different entries' };
    expect(await claims(among(stores), 1)).toMatchObject(refused);
    expect(await claims(among(stores), 2)).toMatchObject(refused);
    expect(await Promise.all(stores.map(holds))).toEqual([2, 1]);
  });

  test('is not left while an anchor that must agree does not answer', async () => {
    const [first, second] = memory(2);
    if (first === undefined || second === undefined) throw new Error('unreachable');
    await write(first, ticket(2));
    const anchors = among([first, failing(second, 'anchor/unavailable')]);
    expect(await claims(anchors, 1)).toMatchObject({ outcome: 'failed', code: 'unavailable' });
  });

  test('with anchors to spare, is completed for the other', async () => {
    const stores = memory(3);
    await write(stores[0], ticket(2));
    expect(await claims(among(stores, 2), 1)).toEqual({ outcome: 'lost', by: [ticket(2)] });
    expect(await Promise.all(stores.map(holds))).toEqual([2, 2, 2]);
  });

  test('with anchors to spare, may be ours all the same', async () => {
    const stores = memory(3);
    await write(stores[0], ticket(2));
    await write(stores[1], ticket(1));
    expect(await claims(among(stores, 2), 1)).toEqual({ outcome: 'held' });
    expect(await Promise.all(stores.map(holds))).toEqual([2, 1, 1]);
  });

  test('is not given up while it may yet be ours', async () => {
    const stores = memory(3);
    await write(stores[0], ticket(2));
    await write(stores[1], ticket(1));
    const [first, second, third] = stores;
    if (first === undefined || second === undefined || third === undefined) throw new Error('unreachable');
    const cut = among([first, second, failing(third, 'anchor/unavailable')], 2);
    expect(await claims(cut, 1)).toMatchObject({ outcome: 'failed', code: 'unavailable' });
    expect(await claims(cut, 2)).toMatchObject({ outcome: 'failed', code: 'unavailable' });
    expect(await claims(cut, 4)).toMatchObject({ outcome: 'lost' });
  });

  test('before the keys are known, nothing is written for anybody else', async () => {
    const stores = memory(3);
    const stranger = await entryKey(fill(9));
    await stores[0]?.claim(place.name, place.k, await encodeEntry(stranger, place, ticket(2)), signal);
    const unchecked = { ...options, unchecked: true };
    const settled = await hold(among(stores, 2), key, place, ticket(1), unchecked);
    expect(settled).toEqual({ outcome: 'lost', by: [ticket(2)] });
    expect(await Promise.all(stores.map(holds))).toEqual([2, undefined, undefined]);
  });
});

describe('anchors that fail', () => {
  test('the first of two: nothing is written at the second', async () => {
    const stores = memory(2);
    const [first, second] = stores;
    if (first === undefined || second === undefined) throw new Error('unreachable');
    const settled = await claims(among([failing(first, 'anchor/unavailable'), second]), 1);
    expect(settled).toEqual({ outcome: 'failed', code: 'unavailable', detail: "alice's anchor does not answer" });
    expect(await holds(second)).toBeUndefined();
  });

  test('the first of three, of which two are enough: the second decides', async () => {
    const [first, second, third] = memory(3);
    if (first === undefined || second === undefined || third === undefined) throw new Error('unreachable');
    const cut = among([failing(first, 'anchor/unavailable'), second, third], 2);
    expect(await claims(cut, 1)).toEqual({ outcome: 'held' });
    expect(await claims(cut, 2)).toMatchObject({ outcome: 'lost' });
  });

  test.each([
    ['anchor/full', "bob's anchor is full"],
    ['anchor/refused', "bob's anchor refuses the enclave"],
    ['anchor/misconfigured', "bob's anchor is not set up as an anchor"],
  ] as const)('%s at the second: not held, and it says so', async (code, detail) => {
    const [first, second] = memory(2);
    if (first === undefined || second === undefined) throw new Error('unreachable');
    expect(await claims(among([first, failing(second, code)]), 1)).toEqual({
      outcome: 'failed',
      code: 'unavailable',
      detail,
    });
    expect(await claims(among([first, second]), 1)).toEqual({ outcome: 'held' });
    expect(await claims(among([first, second]), 2)).toMatchObject({ outcome: 'lost' });
  });

  test('a write that happened and whose acknowledgement was lost is found by asking again', async () => {
    const store = createMemoryAnchor('alice');
    let asked = 0;
    const forgetful: Anchor = {
      ...store,
      claim: async (...args) => {
        const there = await store.claim(...args);
        if (asked++ === 0) throw new Failure<AnchorCode>('environment', 'anchor/unavailable', 'lost');
        return there;
      },
    };
    expect(await claims(among([forgetful]), 1)).toEqual({ outcome: 'held' });
    expect(asked).toBe(2);
  });

  test('an anchor that never answers is given up after its time, by the timers that were given', async () => {
    const hand = createHandTimers();
    const silent: Anchor = { ...createMemoryAnchor('alice'), claim: () => new Promise(() => {}) };
    const settled = hold(among([silent]), key, place, ticket(1), { timers: hand.timers, signal });
    // However long it takes until the first of its timers is set.
    const over = new AbortController();
    void settled.finally(() => over.abort());
    while (!over.signal.aborted) {
      hand.elapse(1_000);
      await new Promise(setImmediate);
    }
    expect(await settled).toMatchObject({ outcome: 'failed', code: 'unavailable' });
    expect(hand.pending()).toBe(0);
  });

  test('ends with its signal', async () => {
    const silent: Anchor = { ...createMemoryAnchor('alice'), claim: () => new Promise(() => {}) };
    const end = new AbortController();
    const settled = hold(among([silent]), key, place, ticket(1), { timers: realTimers, signal: end.signal });
    end.abort(new Error('the caller is gone'));
    expect(await settled).toMatchObject({ outcome: 'failed', code: 'unavailable' });
  });
});

describe('foreign entries', () => {
  const foreign = async (store: Anchor | undefined, bytes: Uint8Array): Promise<void> => {
    await store?.claim(place.name, place.k, bytes, signal);
  };

  test.each([
    ['of somebody with another key', async () => encodeEntry(await entryKey(fill(9)), place, ticket(2))],
    ['copied from another place', async () => encodeEntry(key, { ...place, k: 2 }, ticket(2))],
    ['that are no entries', () => Promise.resolve(new Uint8Array(3))],
  ])('%s block where all must agree, and nothing is written behind them', async (_, make) => {
    const stores = memory(2);
    await foreign(stores[0], await make());
    const told: string[] = [];
    const settled = await hold(among(stores), key, place, ticket(1), { ...options, report: (text) => told.push(text) });
    expect(settled).toMatchObject({ outcome: 'failed', code: 'anchor-tampered' });
    expect(told).toHaveLength(1);
    expect(told[0]).toContain("alice's anchor");
    expect(await holds(stores[1])).toBeUndefined();
  });

  test('do not block where there are enough others', async () => {
    const stores = memory(3);
    await foreign(stores[0], new Uint8Array(101));
    expect(await claims(among(stores, 2), 1)).toEqual({ outcome: 'held' });
    expect(await claims(among(stores, 2), 2)).toMatchObject({ outcome: 'lost' });
  });
});

/** n anchors, a quorum of more than half. */
const shape = fc
  .integer({ min: 1, max: 5 })
  .chain((n) => fc.record({ n: fc.constant(n), q: fc.integer({ min: Math.floor(n / 2) + 1, max: n }) }));
const fates = fc.array(fc.constantFrom<Fate>('fine', 'fine', 'not-done', 'done-and-lost'), { maxLength: 40 });

describe('whatever the order of answers, and whichever of them get lost', () => {
  test('one entry at most is held at a place; what was held stays held, what was lost stays lost', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        shape,
        fates,
        fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 2, maxLength: 5 }),
        async (scheduler, { n, q }, drawn, claimers) => {
          const sky = createSky({ scheduler, fates: drawn });
          const anchors = among(
            memory(n).map((store) => behind(sky, store)),
            q,
          );
          const cautious: ClaimOptions = { timers: sky.timers, signal };
          const told = await scheduler.waitFor(
            Promise.all(
              claimers.map(async (who) => ({ who, ...(await hold(anchors, key, place, ticket(who), cautious)) })),
            ),
          );
          sky.clear();
          const outcomes = new Map<number, Settled>();
          for (const who of [1, 2, 3]) {
            const settled = await scheduler.waitFor(hold(anchors, key, place, ticket(who), cautious));
            outcomes.set(who, settled);
            // Split so that an owner who is tolerated may have brought it about, after an answer: nobody goes on from there.
            if (settled.outcome === 'failed') {
              expect(settled.code).toBe('anchor-tampered');
              expect(q < n && 2 * q - n > 1).toBe(true);
            }
          }
          const held = [...outcomes].filter(([, { outcome }]) => outcome === 'held');
          expect(held.length).toBeLessThanOrEqual(
            [...outcomes].some(([, { outcome }]) => outcome === 'failed') ? 0 : 1,
          );
          for (const { who, outcome } of told) {
            if (outcome !== 'failed') expect(outcomes.get(who)?.outcome).toBe(outcome);
          }
        },
      ),
      { numRuns: 400 },
    );
  });

  test('one at most is held while fewer than 2q - n owners collude', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        shape,
        fates,
        fc.nat(),
        fc.array(fc.nat({ max: 4 }), { maxLength: 5 }),
        async (scheduler, { n, q }, drawn, lies, order) => {
          const sky = createSky({ scheduler, fates: drawn });
          const liars = lies % Math.max(1, 2 * q - n);
          const places = new Set(order.map((i) => i % n).slice(0, liars));
          const stores = memory(n).map((store, i) =>
            behind(
              sky,
              places.has(i)
                ? createLyingAnchor(store.owner, (entries) => (lies % 2 === 0 ? undefined : entries.at(-1)))
                : store,
            ),
          );
          const told = await scheduler.waitFor(
            Promise.all(
              [1, 2, 3].map((who) => hold(among(stores, q), key, place, ticket(who), { timers: sky.timers, signal })),
            ),
          );
          expect(told.filter(({ outcome }) => outcome === 'held').length).toBeLessThanOrEqual(1);
        },
      ),
      { numRuns: 400 },
    );
  });

  test('and with 2q - n liars two can be: the bound is no smaller than it must be', async () => {
    const [honest] = memory(1);
    if (honest === undefined) throw new Error('unreachable');
    const liars = ['bob', 'carol'].map((owner) => createLyingAnchor(owner, () => undefined));
    const one = await claims(among(liars), 1);
    const two = await claims(among(liars), 2);
    expect([one.outcome, two.outcome]).toEqual(['held', 'held']);
    const three = await claims(among([honest, ...liars]), 1);
    const four = await claims(among([honest, ...liars]), 2);
    expect([three.outcome, four.outcome]).toEqual(['held', 'lost']);
  });
});
