import * as fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { hold } from '../../../enclave/claims/claim.ts';
import { entryKey, entryOf } from '../../../enclave/claims/entry.ts';
import { versionsName } from '../../../enclave/claims/versions.ts';
import type { Records } from '../../../enclave/state/records.ts';
import { createRecords } from '../../../enclave/state/records.ts';
import { sealRecord } from '../../../enclave/state/record.ts';
import { createMemoryRecords } from '../../../enclave/state/memory-records.ts';
import type { Place } from './copies.ts';
import { collaborationOf, random } from './copies.ts';

const NAME = 'function.tally';
const { signal } = new AbortController();
const text = (bytes: Uint8Array | undefined): string => (bytes === undefined ? '' : new TextDecoder().decode(bytes));
/** Appends a word; gives what stood there before. */
const append = (records: Records, word: string): Promise<string> =>
  records.update(
    NAME,
    async (current) => ({ next: new TextEncoder().encode(text(current) + word), result: text(current) }),
    signal,
  );
const read = async (records: Records): Promise<readonly [number, string] | undefined> => {
  const found = await records.read(NAME, signal);
  return found === undefined ? undefined : [found.version, text(found.bytes)];
};

let place: Place;
beforeEach(async () => {
  place = await collaborationOf(2);
});
const copy = (): Promise<Records> => createRecords(place.options);

describe('one enclave', () => {
  test('reads what it wrote, version after version', async () => {
    const records = await copy();
    expect(await read(records)).toBeUndefined();
    expect(await append(records, 'a')).toBe('');
    expect(await append(records, 'b')).toBe('a');
    expect(await read(records)).toEqual([1, 'ab']);
  });

  test('so does its successor after a restart, from anchors and host alone', async () => {
    const before = await copy();
    for (const word of 'abcdefghijkl') await append(before, word);
    expect(await read(await copy())).toEqual([11, 'abcdefghijkl']);
    expect(await append(await copy(), 'm')).toBe('abcdefghijkl');
  });

  test('stores, then claims, then answers', async () => {
    const records = await copy();
    const order: string[] = [];
    place.store.beforePut = async () => {
      order.push(`put after ${place.anchors[0]?.asked.filter((what) => what.startsWith('claim')).length} claims`);
    };
    await append(records, 'a');
    order.push(`answer after ${place.anchors[1]?.asked.filter((what) => what.startsWith('claim')).length} claims`);
    expect(order).toEqual(['put after 0 claims', 'answer after 1 claims']);
  });

  test('updates of one record at once come one after the other', async () => {
    const records = await copy();
    await Promise.all('abcdef'.split('').map((word) => append(records, word)));
    expect(await read(records)).toEqual([5, 'abcdef']);
  });

  test('a failed update does not hold up the next', async () => {
    const records = await copy();
    const failing = records.update(NAME, () => Promise.reject(new Error('no')), signal);
    const next = append(records, 'a');
    await expect(failing).rejects.toThrow('no');
    expect(await next).toBe('');
  });

  test('what is not changed is not written', async () => {
    const records = await copy();
    await append(records, 'a');
    expect(await records.update(NAME, async (current) => ({ result: text(current) }), signal)).toBe('a');
    expect(await read(records)).toEqual([0, 'a']);
  });

  test('a caller that keeps or changes bytes changes nothing here', async () => {
    const records = await copy();
    const next = new TextEncoder().encode('a');
    await records.update(NAME, async () => ({ next, result: 0 }), signal);
    next.fill(0);
    (await records.read(NAME, signal))?.bytes.fill(0);
    expect(await read(records)).toEqual([0, 'a']);
  });

  test('an update asks no anchor for what it knows: one claim each', async () => {
    const records = await copy();
    await append(records, 'a');
    for (const anchor of place.anchors) anchor.asked.length = 0;
    await append(records, 'b');
    for (const anchor of place.anchors) expect(anchor.asked).toEqual(['claim function.tally/1']);
  });

  test('does nothing once it is told to stop', async () => {
    const stop = AbortSignal.abort(new Error('over'));
    const records = await copy();
    await expect(records.update(NAME, async () => ({ next: random(1), result: 0 }), stop)).rejects.toThrow('over');
    expect(place.store.kept.size).toBe(0);
  });
});

describe('two copies of one enclave', () => {
  test('see what the other wrote, and build on it', async () => {
    const [one, other] = [await copy(), await copy()];
    await append(one, 'a');
    expect(await append(other, 'b')).toBe('a');
    expect(await append(one, 'c')).toBe('ab');
    expect(await read(other)).toEqual([2, 'abc']);
  });

  test('at once, by property: no update is lost, none is made twice', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(2), { minLength: 2, maxLength: 10 }), async (who) => {
        place = await collaborationOf(2);
        const last = await copy();
        const copies = [await copy(), await copy(), last];
        const seen = await Promise.all(who.map((i, at) => append(copies.at(i) ?? last, String.fromCharCode(97 + at))));
        const [version, whole] = (await read(await copy())) ?? [-1, ''];
        expect(version).toBe(who.length - 1);
        expect(whole.split('').sort().join('')).toBe('abcdefghij'.slice(0, who.length));
        // What each was told is what stood before its own word.
        for (const [at, before] of seen.entries())
          expect(whole.startsWith(before + String.fromCharCode(97 + at))).toBe(true);
      }),
      { numRuns: 20 },
    );
  });

  test('a copy that was forked off is stopped by its first claim, and never answers from old state', async () => {
    const [original, forked] = [await copy(), await copy()];
    await append(original, 'a');
    expect(await read(forked)).toEqual([0, 'a']);
    await append(original, 'b');
    const told: string[] = [];
    await forked.update(
      NAME,
      async (current) => {
        told.push(text(current));
        return { next: new TextEncoder().encode(`${text(current)}c`), result: 0 };
      },
      signal,
    );
    expect(told).toEqual(['a', 'ab']);
    expect(await read(original)).toEqual([2, 'abc']);
  });
});

describe('a crash', () => {
  test('after the record was stored, before it was claimed: as if it had not been', async () => {
    await append(await copy(), 'a');
    const { options } = place;
    await options.store.put(
      await sealRecord(options.setting, { name: NAME, version: 1 }, options.stateKey, random(9), random),
      signal,
    );
    expect(await read(await copy())).toEqual([0, 'a']);
    expect(await append(await copy(), 'b')).toBe('a');
  });

  test.each([0, 1])('after anchor %i alone held the claim: it is completed first', async (i) => {
    const crashed = await copy();
    await append(crashed, 'a');
    const other = place.anchors[1 - i];
    if (other !== undefined) other.mood = 'cut';
    await expect(append(crashed, 'b')).rejects.toMatchObject({ code: 'claim/unavailable' });
    if (other !== undefined) other.mood = 'well';
    const records = await copy();
    const [version, whole] = (await read(records)) ?? [-1, ''];
    // The first anchor is claimed first: without it, nothing was.
    expect([version, whole]).toEqual(i === 0 ? [1, 'ab'] : [0, 'a']);
    expect(await append(records, 'c')).toBe(whole);
  });

  test('of the acknowledgements alone: what was written counts once', async () => {
    const records = await copy();
    await append(records, 'a');
    for (const anchor of place.anchors) anchor.mood = 'lose-acknowledgements';
    await expect(append(records, 'b')).rejects.toMatchObject({ code: 'claim/unavailable' });
    for (const anchor of place.anchors) anchor.mood = 'well';
    // The first anchor holds it; who asks again finds it done.
    const told = await records.update(
      NAME,
      async (current) =>
        text(current).includes('b')
          ? { result: `found ${text(current)}` }
          : { next: new TextEncoder().encode(`${text(current)}b`), result: 'wrote' },
      signal,
    );
    expect(told).toBe('found ab');
    expect(await read(await copy())).toEqual([1, 'ab']);
  });

  test('with two of three anchors, one gone: it goes on', async () => {
    place = await collaborationOf(3, 2);
    const [first] = place.anchors;
    await append(await copy(), 'a');
    if (first !== undefined) first.mood = 'cut';
    expect(await append(await copy(), 'b')).toBe('a');
    if (first !== undefined) first.mood = 'well';
    expect(await append(await copy(), 'c')).toBe('ab');
  });
});

describe('a host that rolls back or loses', () => {
  const sealedOf = (i: number): Uint8Array | undefined => [...place.store.kept.values()][i];

  test('restoreOldDisk: the newest version is gone', async () => {
    await append(await copy(), 'a');
    const disk = new Map(place.store.kept);
    await append(await copy(), 'b');
    place.store.kept.clear();
    for (const [name, bytes] of disk) place.store.kept.set(name, bytes);
    const records = await copy();
    await expect(read(records)).rejects.toMatchObject({ code: 'state/record-missing' });
    await expect(append(records, 'c')).rejects.toMatchObject({ code: 'state/record-missing' });
  });

  test('handOldRecord: an older version in its place', async () => {
    await append(await copy(), 'a');
    await append(await copy(), 'b');
    const old = sealedOf(0);
    place.store.instead = () => old;
    await expect(read(await copy())).rejects.toMatchObject({ code: 'state/record-older' });
  });

  test('handUnclaimedRecord: what the loser of a race had stored', async () => {
    const { options } = place;
    await append(await copy(), 'a');
    const loser = await sealRecord(options.setting, { name: NAME, version: 0 }, options.stateKey, random(9), random);
    await options.store.put(loser, signal);
    const handed = sealedOf(1);
    place.store.instead = () => handed;
    await expect(read(await copy())).rejects.toMatchObject({ code: 'state/record-substituted' });
  });

  test('swapRecords: another record of the same collaboration', async () => {
    const records = await copy();
    await append(records, 'a');
    await records.update('function.other', async () => ({ next: random(1), result: 0 }), signal);
    const handed = sealedOf(1);
    place.store.instead = () => handed;
    await expect(read(await copy())).rejects.toMatchObject({ code: 'state/record-swapped' });
  });

  test('refuses to store: nothing is claimed and nothing is answered', async () => {
    const records = await copy();
    place.store.beforePut = () => Promise.reject(new Error('disk full'));
    await expect(append(records, 'a')).rejects.toThrow('disk full');
    place.store.beforePut = () => Promise.resolve();
    expect(await append(records, 'b')).toBe('');
  });
});

describe('anchors', () => {
  test('that cannot be reached: refused, and nothing told', async () => {
    for (const anchor of place.anchors) anchor.mood = 'cut';
    const records = await copy();
    await expect(read(records)).rejects.toMatchObject({ code: 'claim/unavailable' });
    await expect(append(records, 'a')).rejects.toMatchObject({ code: 'claim/unavailable' });
    expect(place.store.kept.size).toBe(0);
  });

  test('with an entry of somebody else in the way: tampered with', async () => {
    const other = await entryKey(random(32));
    const name = versionsName(place.setting.policyDigest, NAME);
    await hold(place.options.anchors, other, { name, k: 0 }, entryOf('version', random(32)), {
      ...place.options,
      signal,
    });
    await expect(append(await copy(), 'a')).rejects.toMatchObject({ code: 'claim/tampered' });
  });

  test('that a successor closed: no version after', async () => {
    const records = await copy();
    await append(records, 'a');
    const key = await entryKey(place.options.stateKey);
    const name = versionsName(place.setting.policyDigest, NAME);
    await hold(place.options.anchors, key, { name, k: 1 }, entryOf('closed', random(32)), { ...place.options, signal });
    await expect(append(records, 'b')).rejects.toMatchObject({ code: 'state/closed' });
    await expect(read(await copy())).rejects.toMatchObject({ code: 'state/closed' });
  });
});

test('records in memory keep the same promises, for as long as it lasts', async () => {
  const records = createMemoryRecords();
  expect(await read(records)).toBeUndefined();
  await Promise.all([append(records, 'a'), append(records, 'b')]);
  expect(await read(records)).toEqual([1, 'ab']);
});
