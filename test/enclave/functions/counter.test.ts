import * as fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Granted } from '../../../enclave/claims/tickets.ts';
import { createTicketBook } from '../../../enclave/claims/tickets.ts';
import type { CounterAnswer } from '../../../enclave/functions/counter/count.ts';
import { countCall } from '../../../enclave/functions/counter/count.ts';
import { validateOutput } from '../../../enclave/functions/validate-output.ts';
import { createMemoryRecords } from '../../../enclave/state/memory-records.ts';
import { createRecords } from '../../../enclave/state/records.ts';
import type { Place } from '../state/copies.ts';
import { collaborationOf, random } from '../state/copies.ts';

const { signal } = new AbortController();
const QUOTA = 8;
let place: Place;
beforeEach(async () => {
  place = await collaborationOf(2);
});

/** One enclave: takes tickets and counts. */
interface Copy {
  ticket(requestId: Uint8Array): Promise<Granted>;
  call(requestId: Uint8Array): Promise<CounterAnswer>;
}
async function copy(): Promise<Copy> {
  const { setting, options } = place;
  const book = await createTicketBook({ ...options, policyDigest: setting.policyDigest });
  const records = await createRecords(options);
  const ticket = async (requestId: Uint8Array): Promise<Granted> => {
    const reads = new Uint8Array(32);
    const of = { function: 'tally', party: 'alice', quota: QUOTA, requestId, inputDigest: reads, readsDigest: reads };
    const taken = await book.take(of);
    if (taken.outcome === 'refused') throw new Error(taken.code);
    const settled = await taken.settled;
    if (settled.outcome === 'refused') throw new Error(settled.code);
    return taken;
  };
  return { ticket, call: async (requestId) => countCall(records, 'tally', await ticket(requestId), signal) };
}

test('counts, and answers as its schema says', async () => {
  const one = await copy();
  for (const count of [1, 2, 3]) {
    const answer = await one.call(random(32));
    expect(answer).toEqual({ count, lot: expect.any(Number) });
    expect(validateOutput('counter', answer)).toBeUndefined();
  }
});

describe('exactly once', () => {
  test('a retry finds its answer, also when others came in between', async () => {
    const one = await copy();
    const request = random(32);
    const first = await one.call(request);
    await one.call(random(32));
    expect(await one.call(request)).toEqual(first);
    expect((await one.call(random(32))).count).toBe(3);
  });

  test('after a restart, and on the other copy', async () => {
    const requests = [random(32), random(32), random(32)];
    const one = await copy();
    const answers = [];
    for (const request of requests) answers.push(await one.call(request));
    const [after, other] = [await copy(), await copy()];
    for (const [i, request] of requests.entries()) {
      expect(await after.call(request)).toEqual(answers[i]);
      expect(await other.call(request)).toEqual(answers[i]);
    }
    expect((await other.call(random(32))).count).toBe(4);
    expect((await after.call(random(32))).count).toBe(5);
  });

  test('when the ticket was held and the enclave died before it counted', async () => {
    const request = random(32);
    const ticket = await (await copy()).ticket(request);
    await (await copy()).call(random(32));
    const answer = await (await copy()).call(request);
    expect(answer.count).toBe(2);
    const again = await countCall(await createRecords(place.options), 'tally', ticket, signal);
    expect(again).toEqual(answer);
  });

  test('two copies at once, by property: counts are 1 to n, and each request has one answer', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.nat(1), fc.nat(4)), { minLength: 2, maxLength: 7 }), async (calls) => {
        place = await collaborationOf(2);
        const [one, other] = [await copy(), await copy()];
        const requests = [random(32), random(32), random(32), random(32), random(32)];
        const answers = await Promise.all(
          calls.map(async ([who, which]) => (who === 0 ? one : other).call(requests[which] ?? random(32))),
        );
        const byRequest = new Map<number, CounterAnswer>();
        for (const [i, answer] of answers.entries()) {
          const which = calls[i]?.[1] ?? -1;
          expect(byRequest.get(which) ?? answer).toEqual(answer);
          byRequest.set(which, answer);
        }
        const counts = [...byRequest.values()].map(({ count }) => count).toSorted((a, b) => a - b);
        expect(counts).toEqual(counts.map((_, i) => i + 1));
      }),
      { numRuns: 15 },
    );
  });
});

describe('lots', () => {
  test('are 0 to 999, from the ticket alone, and spread', async () => {
    const records = createMemoryRecords();
    const drawn: number[] = [];
    for (let i = 0; i < 400; i += 1) {
      const { lot } = await countCall(records, 'tally', { tag: random(32), draw: random(32) }, signal);
      expect(validateOutput('counter', { count: 1, lot })).toBeUndefined();
      drawn.push(lot);
    }
    expect(new Set(drawn).size).toBeGreaterThan(250);
    expect(Math.min(...drawn)).toBeLessThan(100);
    expect(Math.max(...drawn)).toBeGreaterThan(899);
  });

  test('the greatest draw is a lot', async () => {
    const draw = new Uint8Array(32).fill(255);
    const { lot } = await countCall(createMemoryRecords(), 'tally', { tag: random(32), draw }, signal);
    expect(lot).toBe(Number((2n ** 48n - 1n) % 1000n));
  });
});

test('a call takes 16 bytes of state', async () => {
  const records = createMemoryRecords();
  for (let i = 0; i < 100; i += 1) await countCall(records, 'tally', { tag: random(32), draw: random(32) }, signal);
  const { bytes, version } = (await records.read('function.tally', signal)) ?? {
    bytes: new Uint8Array(0),
    version: -1,
  };
  expect(version).toBe(99);
  expect(bytes.length).toBeLessThan(1_600 + 32);
});

test('state that is none is refused', async () => {
  const records = createMemoryRecords();
  await records.update('function.tally', async () => ({ next: random(9), result: 0 }), signal);
  await expect(countCall(records, 'tally', { tag: random(32), draw: random(32) }, signal)).rejects.toMatchObject({
    kind: 'malformed',
  });
});
