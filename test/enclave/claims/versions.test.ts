/** Looking without taking, and the newest version: answers of a quorum, and nothing that is half there counts. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Anchor, AnchorCode, Anchors } from '../../../enclave/claims/anchor.ts';
import type { ClaimOptions } from '../../../enclave/claims/claim.ts';
import { hold } from '../../../enclave/claims/claim.ts';
import type { Entry, EntryKey } from '../../../enclave/claims/entry.ts';
import { encodeEntry, entryKey, entryOf } from '../../../enclave/claims/entry.ts';
import { createMemoryAnchor } from '../../../enclave/claims/memory-anchor.ts';
import type { Newest } from '../../../enclave/claims/versions.ts';
import { holderOf, newestVersion } from '../../../enclave/claims/versions.ts';
import { Failure } from '../../../policies/failure.ts';
import { realTimers } from '../real-timers.ts';
import type { Fate } from './weather.ts';
import { behind, createSky } from './weather.ts';

const { signal } = new AbortController();
const fill = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);
const key = await entryKey(fill(7));
const NAME = 'versions/d/function.count';
const version = (n: number): Entry => entryOf('version', fill(n));
const options: ClaimOptions = {
  timers: realTimers,
  signal,
  patience: { attempts: 2, attemptMs: 50, pauseMs: 1, graceMs: 200 },
};

const memory = (count: number): Anchor[] => ['alice', 'bob', 'carol', 'dave'].slice(0, count).map(createMemoryAnchor);
const among = (stores: readonly Anchor[], quorum: number = stores.length): Anchors => ({ stores, quorum });
const down = (store: Anchor): Anchor => {
  const fail = (): Promise<never> =>
    Promise.reject(new Failure<AnchorCode>('environment', 'anchor/unavailable', 'down'));
  return { ...store, claim: fail, holder: fail };
};
const write = async (store: Anchor | undefined, k: number, entry: Entry, as: EntryKey = key): Promise<void> => {
  await store?.claim(NAME, k, await encodeEntry(as, { name: NAME, k }, entry), signal);
};
const codeOf = async (work: () => Promise<unknown>): Promise<string> => {
  try {
    await work();
  } catch (error) {
    if (error instanceof Failure) return error.code;
    throw error;
  }
  return 'accepted';
};

describe('who holds a place', () => {
  const place = { name: NAME, k: 4 };

  test('nobody, says a quorum', async () => {
    expect(await holderOf(among(memory(3), 2), key, place, options)).toEqual({
      answered: 3,
      absent: 3,
      foreign: 0,
      entries: [],
      held: undefined,
    });
  });

  test('what a quorum holds, and what it does not hold yet', async () => {
    const stores = memory(3);
    await write(stores[2], 4, version(1));
    expect(await holderOf(among(stores, 2), key, place, options)).toMatchObject({
      absent: 2,
      entries: [{ entry: version(1), count: 1 }],
      held: undefined,
    });
    await write(stores[0], 4, version(1));
    expect(await holderOf(among(stores, 2), key, place, options)).toMatchObject({ absent: 1, held: version(1) });
  });

  test('foreign entries are counted apart; before the key is known they are shown as they are', async () => {
    const stores = memory(1);
    await write(stores[0], 4, version(1), await entryKey(fill(9)));
    expect(await holderOf(among(stores), key, place, options)).toMatchObject({ foreign: 1, entries: [] });
    const unknown = await holderOf(among(stores), undefined, place, options);
    expect(unknown).toMatchObject({ foreign: 0, held: version(1) });
  });

  test('is not said where fewer than a quorum answer', async () => {
    const [first, second, third] = memory(3);
    if (first === undefined || second === undefined || third === undefined) throw new Error('unreachable');
    const code = (...stores: Anchor[]): Promise<string> =>
      codeOf(() => holderOf(among(stores, 2), key, place, options));
    expect(await code(first, second, down(third))).toBe('accepted');
    expect(await code(first, down(second), down(third))).toBe('claim/unavailable');
    const fail = (): Promise<never> => Promise.reject(new Failure<AnchorCode>('refused', 'anchor/tampered', 'as told'));
    expect(await code(first, down(second), { ...third, holder: fail })).toBe('claim/tampered');
  });
});

describe('the newest version', () => {
  const newest = (anchors: Anchors, from?: number) =>
    newestVersion(anchors, key, NAME, { ...options, ...(from === undefined ? {} : { from }) });

  test('is none at first', async () => {
    expect(await newest(among(memory(2)))).toEqual({ newest: undefined, next: 0 });
  });

  test.each([1, 2, 3, 4, 5, 8, 9, 17, 40, 130, 700])('of %d is the last, found in few steps', async (count) => {
    const store = createMemoryAnchor('alice');
    for (let k = 0; k < count; k += 1) await write(store, k, version(k % 251));
    let reads = 0;
    const counted: Anchor = { ...store, holder: (...args) => ((reads += 1), store.holder(...args)) };
    const found = { newest: { k: count - 1, entry: version((count - 1) % 251) }, next: count };
    expect(await newest(among([counted]))).toEqual(found);
    expect(reads).toBeLessThan(60);
    reads = 0;
    expect(await newest(among([counted]), count - 1)).toEqual(found);
    expect(reads).toBeLessThan(6);
  });

  test('that one anchor alone shows is completed at the others before it counts', async () => {
    const stores = memory(3);
    for (const store of stores) await write(store, 0, version(1));
    await write(stores[0], 1, version(2));
    expect(await newest(among(stores))).toEqual({ newest: { k: 1, entry: version(2) }, next: 2 });
    const { held } = await holderOf(among(stores), key, { name: NAME, k: 1 }, options);
    expect(held).toEqual(version(2));
  });

  test('that cannot be completed is not passed over in silence', async () => {
    const [first, second] = memory(2);
    if (first === undefined || second === undefined) throw new Error('unreachable');
    for (const store of [first, second]) await write(store, 0, version(1));
    await write(first, 1, version(2));
    const full: Anchor = { ...down(second), holder: (...args) => second.holder(...args) };
    expect(await codeOf(() => newest(among([first, full])))).toBe('claim/unavailable');
    expect(await newest(among([first, second]))).toMatchObject({ newest: { k: 1 } });
  });

  test('is found although one anchor was away when it was written', async () => {
    const stores = memory(3);
    for (let k = 0; k < 6; k += 1) {
      for (const [i, store] of stores.entries()) if (i !== k % 3) await write(store, k, version(k));
    }
    for (const away of [0, 1, 2]) {
      const seen = stores.map((store, i) => (i === away ? down(store) : store));
      expect(await newest(among(seen, 2))).toMatchObject({ newest: { k: 5 }, next: 6 });
    }
  });

  test('a number that nobody can hold any more is passed, and not used again', async () => {
    const stores = memory(3);
    for (const store of stores) await write(store, 0, version(1));
    for (const [i, store] of stores.entries()) await write(store, 1, version(2 + i));
    expect(await newest(among(stores, 2))).toEqual({ newest: { k: 0, entry: version(1) }, next: 2 });
  });

  test.each([
    { n: 2, q: 2, shown: [3, 2] },
    { n: 2, q: 2, shown: [2, 3] },
    { n: 3, q: 3, shown: [2, 3, 3] },
    { n: 4, q: 3, shown: [2, 2, 3, 3] },
  ])('one that $q of $n may have held before an owner showed another is not passed', async ({ n, q, shown }) => {
    // Whoever colludes with the host tells one enclave of this entry and the other of that one.
    const stores = memory(n);
    for (const store of stores) await write(store, 0, version(1));
    for (const [i, store] of stores.entries()) await write(store, 1, version(shown[i] ?? 0));
    expect(await codeOf(() => newest(among(stores, q)))).toBe('claim/tampered');
  });

  test('is the one that was held last, whatever the order of answers and whichever got lost', async () => {
    const fates = fc.array(fc.constantFrom<Fate>('fine', 'fine', 'not-done', 'done-and-lost'), { maxLength: 40 });
    const shape = fc.constantFrom({ n: 1, q: 1 }, { n: 2, q: 2 }, { n: 3, q: 2 }, { n: 3, q: 3 }, { n: 4, q: 3 });
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        shape,
        fates,
        fc.integer({ min: 1, max: 4 }),
        async (scheduler, { n, q }, drawn, steps) => {
          const sky = createSky({ scheduler, fates: drawn });
          const anchors = among(
            memory(n).map((store) => behind(sky, store)),
            q,
          );
          const weather: ClaimOptions = { timers: sky.timers, signal };
          // Two enclaves write versions as records do: look for the newest, claim the next, look again where it was lost.
          const writer = async (who: number): Promise<readonly number[]> => {
            const made: number[] = [];
            for (let step = 0; step < steps; step += 1) {
              const at = await newestVersion(anchors, key, NAME, weather).catch((error: unknown) => {
                if (error instanceof Failure) return undefined;
                throw error;
              });
              if (at === undefined) continue;
              const entry = version(who * 16 + step);
              const settled = await hold(anchors, key, { name: NAME, k: at.next }, entry, weather);
              if (settled.outcome === 'held') made.push(at.next);
            }
            return made;
          };
          const made = await scheduler.waitFor(Promise.all([writer(1), writer(2)]));
          const all = made.flat();
          // No version was made twice: no fork answered from one.
          expect(new Set(all).size).toBe(all.length);
          sky.clear();
          // A look may end before the last anchor has answered, and then says so: whoever is told that looks again.
          const look = async (tries: number): Promise<Newest> => {
            try {
              return await newestVersion(anchors, key, NAME, weather);
            } catch (error) {
              if (tries > 0 && error instanceof Failure && error.code === 'claim/unavailable') return look(tries - 1);
              throw error;
            }
          };
          const last = await scheduler.waitFor(
            look(5).catch((error: unknown) => {
              // Two and two of four, for want of an answer: nobody can tell that from an owner who changed its entry.
              if (n === 4 && error instanceof Failure && error.code === 'claim/tampered') return undefined;
              throw error;
            }),
          );
          if (last === undefined) return;
          expect(last.newest?.k ?? -1).toBeGreaterThanOrEqual(Math.max(-1, ...all));
          const again = await scheduler.waitFor(look(5));
          // Never older. It may be newer: a look ends with a quorum's answers, and a version that was only begun at the
          // anchor it did not wait for is found by the next one, and completed.
          expect(again.newest?.k ?? -1).toBeGreaterThanOrEqual(last.newest?.k ?? -1);
          if (n === q) expect(again).toEqual(last);
        },
      ),
      { numRuns: 200 },
    );
  });
});
