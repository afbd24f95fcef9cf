import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Anchor } from '../../../enclave/claims/anchor.ts';
import { parseEntry } from '../../../enclave/claims/entry.ts';
import { createMemoryAnchor } from '../../../enclave/claims/memory-anchor.ts';
import { createTicketBook } from '../../../enclave/claims/tickets.ts';
import type { TicketBook, TicketRequest } from '../../../enclave/claims/tickets.ts';
import { toHex } from '../../../enclave/encoding/hex.ts';
import { realTimers } from '../real-timers.ts';
import { policyDigest } from '../../../policies/digest.ts';

const bytes = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);
const STATE_KEY = bytes(77);
const digest = await policyDigest('{}');
const book = (anchor: Anchor = createMemoryAnchor(), stateKey = STATE_KEY): Promise<TicketBook> =>
  createTicketBook({ anchors: { stores: [anchor], quorum: 1 }, policyDigest: digest, stateKey, timers: realTimers });

const request = (id: number, more: Partial<TicketRequest> = {}): TicketRequest => ({
  function: 'classify',
  party: 'alice',
  quota: 3,
  requestId: bytes(id),
  inputDigest: bytes(100),
  readsDigest: bytes(200),
  ...more,
});

const granted = (k: number) => expect.objectContaining({ outcome: 'granted', k });
const refused = (code: string) => ({ outcome: 'refused', code });

describe('a quota of three', () => {
  test('is three calls', async () => {
    const tickets = await book();
    expect(await tickets.take(request(1))).toEqual(granted(0));
    expect(await tickets.take(request(2))).toEqual(granted(1));
    expect(await tickets.take(request(3))).toEqual(granted(2));
    expect(await tickets.take(request(4))).toEqual(refused('quota-exceeded'));
    expect(await tickets.used(request(0))).toMatchObject({ used: 3 });
  });

  test('a retry is free, also of a call that was spent last', async () => {
    const tickets = await book();
    for (const id of [1, 2, 3]) await tickets.take(request(id));
    for (const id of [3, 1, 2]) expect(await tickets.take(request(id))).toEqual(granted(id - 1));
    expect(await tickets.take(request(4))).toEqual(refused('quota-exceeded'));
  });

  test('another input under the same request id is refused and costs nothing', async () => {
    const tickets = await book();
    await tickets.take(request(1));
    expect(await tickets.take(request(1, { inputDigest: bytes(101) }))).toEqual(refused('request-reused'));
    expect(await tickets.used(request(0))).toMatchObject({ used: 1 });
  });

  test('another model under the same request is refused as changed and costs nothing', async () => {
    const tickets = await book();
    await tickets.take(request(1));
    expect(await tickets.take(request(1, { readsDigest: bytes(201) }))).toEqual(refused('changed'));
    expect(await tickets.used(request(0))).toMatchObject({ used: 1 });
  });

  test('parties and functions do not touch each other', async () => {
    const tickets = await book();
    for (const id of [1, 2, 3]) await tickets.take(request(id));
    expect(await tickets.take(request(1, { party: 'bob' }))).toEqual(granted(0));
    expect(await tickets.take(request(1, { function: 'detect' }))).toEqual(granted(0));
    expect(await tickets.used(request(0, { party: 'bob' }))).toMatchObject({ used: 1 });
  });

  test('holds for calls made at once', async () => {
    const tickets = await book();
    const ids = Array.from({ length: 20 }, (_, i) => i);
    const results = await Promise.all(ids.map((id) => tickets.take(request(id))));
    expect(results.filter(({ outcome }) => outcome === 'granted')).toHaveLength(3);
  });

  test('the same request made at once twice takes one ticket', async () => {
    const tickets = await book();
    const results = await Promise.all([tickets.take(request(1)), tickets.take(request(1))]);
    expect(results.map(({ outcome }) => outcome)).toEqual(['granted', 'granted']);
    expect(await tickets.used(request(0))).toMatchObject({ used: 1 });
  });
});

describe('two books over one anchor', () => {
  test('share one quota, and find each other’s tickets again', async () => {
    const anchor = createMemoryAnchor();
    const [one, two] = [await book(anchor), await book(anchor)];
    expect(await one.take(request(1))).toEqual(granted(0));
    expect(await two.take(request(2))).toEqual(granted(1));
    expect(await two.take(request(1))).toEqual(granted(0));
    expect(await one.take(request(3))).toEqual(granted(2));
    expect(await two.take(request(4))).toEqual(refused('quota-exceeded'));
    expect(await one.used(request(0))).toMatchObject({ used: 3 });
  });

  test('find them again while they look at the quota, too', async () => {
    const anchor = createMemoryAnchor();
    const first = await book(anchor);
    for (const id of [1, 2]) await first.take(request(id));
    let open = (): void => {};
    const opened = new Promise<void>((resolve) => (open = resolve));
    const second = await book({
      ...anchor,
      claim: async (...claimed) => {
        await opened;
        return anchor.claim(...claimed);
      },
    });
    const retry = second.take(request(2));
    expect(await second.used(request(0))).toMatchObject({ used: 2 });
    open();
    expect(await retry).toEqual(granted(1));
    expect(await second.used(request(0))).toMatchObject({ used: 2 });
  });

  test('an entry of somebody with another key is foreign: it is no spent call, and nothing is served on it', async () => {
    const anchor = createMemoryAnchor();
    const stranger = await book(anchor, bytes(1));
    await stranger.take(request(1));
    const mine = await book(anchor);
    expect(await mine.take(request(1))).toMatchObject({ outcome: 'refused', code: 'anchor-tampered' });
    expect(await mine.used(request(1))).toEqual({ used: 0, left: 3 });
    expect(mine.reports).toHaveLength(1);
  });
});

describe('what an anchor’s owner reads', () => {
  const tagsOf = async (requests: readonly TicketRequest[]): Promise<readonly string[]> => {
    const anchor = createMemoryAnchor();
    const tickets = await book(anchor);
    const tags: string[] = [];
    for (const [k, one] of requests.entries()) {
      await tickets.take(one);
      const holder = await anchor.holder(
        `tickets/${digest}/${one.function}/${one.party}`,
        k,
        new AbortController().signal,
      );
      const entry = holder === undefined ? undefined : parseEntry(holder);
      if (entry !== undefined)
        tags.push(toHex(entry.first), toHex(entry.second.subarray(0, 16)), toHex(entry.second.subarray(16)));
    }
    return tags;
  };

  test('two calls on one picture with one model do not look alike', async () => {
    const tags = await tagsOf([request(1), request(2)]);
    expect(tags).toHaveLength(6);
    expect(new Set(tags).size).toBe(6);
  });

  test('neither the request id nor the digests are in the entry', async () => {
    const tags = (await tagsOf([request(1)])).join();
    for (const secret of [1, 100, 200]) expect(tags).not.toContain(toHex(bytes(secret).subarray(0, 8)));
  });
});

test('whatever the order of calls and retries, no party gets more answers than its quota', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ id: fc.integer({ min: 0, max: 7 }), input: fc.integer({ min: 0, max: 2 }) }), {
        maxLength: 30,
      }),
      fc.integer({ min: 0, max: 5 }),
      async (calls, quota) => {
        const tickets = await book();
        const answers = new Set<string>();
        for (const { id, input } of calls) {
          const result = await tickets.take(request(id, { quota, inputDigest: bytes(input) }));
          if (result.outcome === 'granted') answers.add(`${id} ${input}`);
        }
        expect(answers.size).toBeLessThanOrEqual(quota);
        expect(await tickets.used(request(0, { quota }))).toEqual({ used: answers.size, left: quota - answers.size });
      },
    ),
    { numRuns: 60 },
  );
});
