import * as fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Anchors } from '../../../enclave/claims/anchor.ts';
import { entryKey, entryOf } from '../../../enclave/claims/entry.ts';
import { hold } from '../../../enclave/claims/claim.ts';
import type { ClaimOptions } from '../../../enclave/claims/claim.ts';
import type { TicketBook } from '../../../enclave/claims/tickets.ts';
import { createTicketBook } from '../../../enclave/claims/tickets.ts';
import type { CounterAnswer } from '../../../enclave/functions/counter/count.ts';
import { countCall } from '../../../enclave/functions/counter/count.ts';
import type { AttestedKms } from '../../../enclave/kms/attested.ts';
import { claimKeySet } from '../../../enclave/state/key-claim.ts';
import { storedKeySet } from '../../../enclave/state/key-set.ts';
import { makeKeySet } from '../../../enclave/state/layers.ts';
import type { Inheritance } from '../../../enclave/state/inheritance.ts';
import { createInheritance } from '../../../enclave/state/inheritance.ts';
import type { Loan } from '../../../enclave/state/loans.ts';
import type { StoredBytes } from '../../../enclave/vsock/host.ts';
import { CREDENTIALS } from '../peer.ts';
import { closePredecessor, closingPlace, demandNotClosed } from '../../../enclave/state/closing.ts';
import type { SucceedingPolicy } from '../../../enclave/state/predecessor.ts';
import { keySetTerms } from '../../../enclave/state/key-set.ts';
import { isSuccessor, readPredecessor } from '../../../enclave/state/predecessor.ts';
import type { Records } from '../../../enclave/state/records.ts';
import { createRecords } from '../../../enclave/state/records.ts';
import type { SealedPolicy } from '../../../enclave/state/sealed-policy.ts';
import { isSealed } from '../../../enclave/state/sealed-policy.ts';
import { donePlace, hasTakenOver, sayDone, takeOver } from '../../../enclave/state/succession.ts';
import { canonicalPolicyText, toCanonicalPolicy } from '../../../policies/canonical.ts';
import { policyDigest } from '../../../policies/digest.ts';
import type { Policy, PolicyDigest } from '../../../policies/model.ts';
import { KEY_ARNS, POLICY } from '../harness.ts';
import type { MoodyAnchor, OpenStore } from './copies.ts';
import { HASTE, moodyAnchor, openStore, random } from './copies.ts';
import { realTimers } from '../real-timers.ts';

const { signal } = new AbortController();
const options: ClaimOptions = { timers: realTimers, patience: HASTE, signal };
const QUOTAS = { alice: 4, bob: 2 };
const OLD: Policy = {
  ...POLICY,
  functions: {
    tally: {
      uses: 'counter',
      calls: QUOTAS,
      input: { maxBytes: 10, buckets: [10] },
      release: { afterMs: 0, padTo: 1024 },
    },
    ...POLICY.functions,
  },
  anchors: { stores: [{ owner: 'alice', folder: '/a' }, { owner: 'bob', folder: '/b' }], quorum: 2 }, // prettier-ignore
  state: { seal: 'layered', order: ['alice', 'bob'] },
};

interface Sealed<P extends SealedPolicy = SealedPolicy> {
  readonly policy: P;
  readonly policyDigest: PolicyDigest;
  readonly text: string;
}
async function sealed(policy: Policy): Promise<Sealed> {
  const canonical = await toCanonicalPolicy(policy);
  if (!isSealed(canonical)) throw new Error('not sealed');
  const text = canonicalPolicyText(canonical);
  return { policy: canonical, policyDigest: await policyDigest(text), text };
}
async function succeeding(old: Sealed, change: Partial<Policy> = {}): Promise<Sealed<SucceedingPolicy>> {
  const one = await sealed({ ...OLD, succeeds: { policyDigest: old.policyDigest, calls: 'carried' }, ...change });
  if (!isSuccessor(one.policy)) throw new Error('no successor');
  return { ...one, policy: one.policy };
}

/** One image's state: what its enclaves have when it is open. */
interface Image<P extends SealedPolicy = SealedPolicy> {
  readonly policy: P;
  readonly policyDigest: PolicyDigest;
  readonly anchors: Anchors;
  readonly stateKey: Uint8Array;
  readonly keysDigest: Uint8Array;
}

let moody: readonly MoodyAnchor[];
let anchors: Anchors;
let store: OpenStore;
let old: Image;
let own: Image<SucceedingPolicy>;
const imageOf = <P extends SealedPolicy>({ policy, policyDigest: digest }: Sealed<P>): Image<P> => ({
  policy,
  policyDigest: digest,
  anchors,
  stateKey: random(32),
  keysDigest: random(32),
});
async function begin(count = 2, quorum = count, change: Partial<Policy> = {}): Promise<void> {
  moody = ['alice', 'bob', 'charlie'].slice(0, count).map(moodyAnchor);
  anchors = { stores: moody, quorum };
  store = openStore();
  const first = await sealed(OLD);
  old = imageOf(first);
  own = imageOf(await succeeding(first, change));
}
beforeEach(() => begin());

/** One running enclave of an image. */
interface Copy {
  readonly book: TicketBook;
  readonly records: Records;
  readonly call: (party: keyof typeof QUOTAS, requestId?: Uint8Array) => Promise<CounterAnswer | string>;
}
async function copyOf({ policy, policyDigest: digest, stateKey, keysDigest }: Image): Promise<Copy> {
  const setting = { collaboration: policy.collaboration, policyDigest: digest, keysDigest };
  const book = await createTicketBook({ anchors, policyDigest: digest, stateKey, timers: realTimers, patience: HASTE });
  const records = await createRecords({ ...options, setting, stateKey, anchors, store, random });
  return {
    book,
    records,
    async call(party, requestId = random(32)) {
      const nothing = new Uint8Array(32);
      const quota = policy.functions['tally']?.calls[party] ?? 0;
      const of = { function: 'tally', party, quota, requestId, inputDigest: nothing, readsDigest: nothing };
      const taken = await book.take(of);
      if (taken.outcome === 'refused') return taken.code;
      const settled = await taken.settled;
      return settled.outcome === 'refused' ? settled.code : countCall(records, 'tally', taken, signal);
    },
  };
}
const left = async (image: Image, party: keyof typeof QUOTAS): Promise<number> => {
  const { book } = await copyOf(image);
  return (await book.used({ function: 'tally', party, quota: QUOTAS[party] })).left;
};
const succeed = (): Promise<void> => takeOver(own, old, { ...options, store });

describe('a succession', () => {
  test('closes the predecessor: no call, no version, no opening', async () => {
    const running = await copyOf(old);
    await running.call('alice');
    await demandNotClosed(anchors, await entryKey(old.stateKey), old.policyDigest, options);
    await succeed();
    for (const copy of [running, await copyOf(old)]) {
      expect(await copy.call('alice')).toBe('quota-exceeded');
      expect(await copy.call('bob')).toBe('quota-exceeded');
      const change = async (): Promise<{ next: Uint8Array; result: number }> => ({ next: random(3), result: 0 });
      for (const name of ['function.tally', 'contribution.classify', 'function.classify'])
        await expect(copy.records.update(name, change, signal)).rejects.toMatchObject({ code: 'state/closed' });
    }
    const again = demandNotClosed(anchors, await entryKey(old.stateKey), old.policyDigest, options);
    await expect(again).rejects.toMatchObject({ code: 'state/closed' });
  });

  test('carries the state over', async () => {
    const before = await copyOf(old);
    await before.call('alice');
    await before.call('bob');
    await succeed();
    expect(await (await copyOf(own)).call('alice')).toMatchObject({ count: 3 });
    expect(await (await copyOf(own)).call('alice')).toMatchObject({ count: 4 });
  });

  test('counts the calls that were spent', async () => {
    const before = await copyOf(old);
    for (const party of ['alice', 'alice', 'bob'] as const) await before.call(party);
    await succeed();
    expect([await left(own, 'alice'), await left(own, 'bob')]).toEqual([2, 1]);
    const after = await copyOf(own);
    expect(await after.call('bob')).toMatchObject({ count: 4 });
    expect(await after.call('bob')).toBe('quota-exceeded');
  });

  test('or gives fresh ones, where the policy says so', async () => {
    await begin(2, 2, { succeeds: { policyDigest: old.policyDigest, calls: 'fresh' } });
    await (await copyOf(old)).call('bob');
    await succeed();
    expect([await left(own, 'alice'), await left(own, 'bob')]).toEqual([4, 2]);
    expect(await (await copyOf(own)).call('bob')).toMatchObject({ count: 2 });
  });

  test('counts no more than a smaller quota has', async () => {
    const functions = {
      ...OLD.functions,
      tally: {
        uses: 'counter',
        calls: { bob: 1 },
        input: { maxBytes: 10, buckets: [10] },
        release: { afterMs: 0, padTo: 1024 },
      },
    } as const;
    await begin(2, 2, { functions });
    const before = await copyOf(old);
    for (const party of ['alice', 'alice', 'bob', 'bob'] as const) await before.call(party);
    await succeed();
    expect(await (await copyOf(own)).call('alice')).toBe('quota-exceeded');
    expect(await (await copyOf(own)).call('bob')).toBe('quota-exceeded');
  });

  test('carries nothing to a function of another kind, and no contribution', async () => {
    const { classify } = POLICY.functions;
    await begin(2, 2, { functions: classify === undefined ? {} : { tally: { ...classify, calls: QUOTAS } } });
    const before = await copyOf(old);
    await before.call('alice');
    await before.records.update('contribution.classify', async () => ({ next: random(9), result: 0 }), signal);
    await succeed();
    const { records } = await copyOf(own);
    for (const name of ['function.tally', 'contribution.tally', 'contribution.classify'])
      expect(await records.read(name, signal)).toBeUndefined();
  });

  test('is remembered', async () => {
    expect(await hasTakenOver(own, options)).toBe(false);
    await succeed();
    expect(await hasTakenOver(own, options)).toBe(true);
  });

  test('of a predecessor that was never opened: there is nothing to carry', async () => {
    await sayDone(own, old, options);
    expect(await hasTakenOver(own, options)).toBe(true);
    expect(await (await copyOf(own)).call('alice')).toMatchObject({ count: 1 });
  });
});

describe('again, and at once', () => {
  const spend = async (): Promise<void> => {
    const before = await copyOf(old);
    for (const party of ['alice', 'bob', 'alice'] as const) await before.call(party);
  };
  const expectDone = async (): Promise<void> => {
    expect(await hasTakenOver(own, options)).toBe(true);
    expect([await left(own, 'alice'), await left(own, 'bob')]).toEqual([2, 1]);
    expect([await left(old, 'alice'), await left(old, 'bob')]).toEqual([0, 0]);
    expect(await (await copyOf(own)).call('alice')).toMatchObject({ count: 4 });
  };

  test('repeated, it changes nothing, even when calls were made since', async () => {
    await spend();
    await succeed();
    const request = random(32);
    const answer = await (await copyOf(own)).call('alice', request);
    await succeed();
    expect(await (await copyOf(own)).call('alice', request)).toEqual(answer);
    expect([await left(own, 'alice'), await left(own, 'bob')]).toEqual([1, 1]);
  });

  test('two enclaves at once, which seal and claim the same', async () => {
    await spend();
    const before = store.kept.size;
    const claimed = async (at: Anchors): Promise<string> => {
      const name = `tickets/${own.policyDigest}/tally/alice`;
      return `${String(await at.stores[0]?.holder(name, 0, signal))} ${String(await at.stores[0]?.holder(name, 1, signal))}`;
    };
    await Promise.all([succeed(), succeed()]);
    expect(store.kept.size).toBe(before + 1);
    const fresh = { stores: [moodyAnchor('alice'), moodyAnchor('bob')], quorum: 2 };
    await takeOver({ ...own, anchors: fresh }, old, { ...options, store });
    expect(store.kept.size).toBe(before + 1);
    expect(await claimed(fresh)).toBe(await claimed(anchors));
    await expectDone();
  });

  test('two at once, with two of three anchors', async () => {
    await begin(3, 2);
    await spend();
    await Promise.all([succeed(), succeed()]);
    await expectDone();
  });

  test('ended after any number of claims, and begun again by another, by property', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(40), { maxLength: 3 }), async (cuts) => {
        await begin();
        await spend();
        for (const cut of cuts) {
          const stop = new AbortController();
          let claims = 0;
          const cutting = moody.map((anchor) => ({
            ...anchor,
            claim: async (name: string, k: number, entry: Uint8Array, limit: AbortSignal) => {
              if ((claims += 1) > cut) stop.abort(new Error('crashed'));
              stop.signal.throwIfAborted();
              return anchor.claim(name, k, entry, limit);
            },
          }));
          const dying = { stores: cutting, quorum: anchors.quorum };
          await takeOver({ ...own, anchors: dying }, { ...old, anchors: dying }, { ...options, signal: stop.signal, store }).catch(() => {}); // prettier-ignore
        }
        await succeed();
        await expectDone();
      }),
      { numRuns: 25 },
    );
  });

  test('while the old image is at work, by property: each call is answered once by one of the two, or counts nowhere', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom('alice', 'bob'), { maxLength: 6 }), fc.nat(6), async (calls, late) => {
        await begin();
        const running = await copyOf(old);
        const answers: Promise<CounterAnswer | string>[] = [];
        let closing: Promise<void> | undefined;
        for (const [i, party] of calls.entries()) {
          if (i === late) closing = succeed();
          answers.push(running.call(party === 'alice' ? 'alice' : 'bob').catch((error: unknown) => String(error)));
        }
        await Promise.all([closing ?? succeed(), ...answers]);
        const answered = (await Promise.all(answers)).filter((answer) => typeof answer !== 'string');
        const counts = answered.map(({ count }) => count).toSorted((a, b) => a - b);
        expect(counts).toEqual(counts.map((_, i) => i + 1));
        expect(await running.call('alice')).toBe('quota-exceeded');
        expect([await left(old, 'alice'), await left(old, 'bob')]).toEqual([0, 0]);
        const next = await (await copyOf(own)).call('alice');
        if (typeof next !== 'string') expect(next.count).toBe(answered.length + 1);
      }),
      { numRuns: 25 },
    );
  });
});

describe('the way to it', () => {
  const order = ['alice', 'bob'];
  const loanOf = (party: string): Loan => ({
    from: 'session',
    keyArn: party === 'alice' ? KEY_ARNS.alice : KEY_ARNS.bob,
    credentials: CREDENTIALS,
    signal,
  });
  /** The old state as its first boot left it, and a KMS that opens its data keys. */
  const inherited = async (): Promise<{ inheritance: Inheritance; asked: string[] }> => {
    const first = await sealed(OLD);
    const dataKeys = new Map(order.map((party) => [party, { ciphertext: random(60), plaintext: random(32) }]));
    const set = await makeKeySet(keySetTerms(old), dataKeys, old.stateKey, random);
    const stored = await storedKeySet(set);
    await store.put(stored, signal);
    await claimKeySet(anchors, old.policyDigest, old.stateKey, stored.sha256, options);
    const asked: string[] = [];
    const kms: AttestedKms = {
      decrypt: async ({ ciphertext, context }) => {
        const party = context['accord:party'] ?? '';
        asked.push(`${party} ${context['accord:policy'] === old.policyDigest ? 'old' : 'other'}`);
        const key = dataKeys.get(party);
        return key?.ciphertext.every((byte, i) => byte === ciphertext[i]) === true ? key.plaintext.slice() : random(32);
      },
      generateDataKey: () => Promise.reject(new Error('not here')),
    };
    const host = {
      policy: async () => new TextEncoder().encode(first.text),
      record: (sha256: Uint8Array) => store.get(sha256, signal),
      putRecord: (bytes: StoredBytes) => store.put(bytes, signal),
    };
    const { policy, policyDigest: digest } = own;
    return {
      asked,
      inheritance: createInheritance({ policy, policyDigest: digest, anchors, host, kms, timers: realTimers, now: () => Promise.resolve(0) }), // prettier-ignore
    };
  };

  test('needs every old party, one after the other', async () => {
    const { inheritance, asked } = await inherited();
    expect(await inheritance.settle(own, signal)).toBe('waiting');
    expect(inheritance.missing()).toEqual(['alice', 'bob']);
    expect(await inheritance.obtain('alice', loanOf('alice'), signal)).toBe(true);
    expect(await inheritance.obtain('alice', loanOf('alice'), signal)).toBe(false);
    expect(await inheritance.settle(own, signal)).toBe('waiting');
    expect(inheritance.missing()).toEqual(['bob']);
    expect(await inheritance.obtain('bob', loanOf('bob'), signal)).toBe(true);
    expect(await inheritance.settle(own, signal)).toBe('settled');
    expect(asked).toEqual(['alice old', 'bob old']);
  });

  test('is gone once: after that, no key of the old policy is asked for', async () => {
    const { inheritance } = await inherited();
    for (const party of order) await inheritance.obtain(party, loanOf(party), signal);
    await inheritance.settle(own, signal);
    const later = await inherited();
    for (const party of order) expect(await later.inheritance.obtain(party, loanOf(party), signal)).toBe(false);
    expect(later.asked).toEqual([]);
    expect(await later.inheritance.settle(own, signal)).toBe('settled');
  });
});

describe('refusals', () => {
  const codeOf = (work: Promise<unknown>): Promise<unknown> => work.then(() => 'done', (error: { code?: string }) => error.code); // prettier-ignore

  test('another successor was first', async () => {
    const other = imageOf(await succeeding(await sealed(OLD), { collaboration: 'other' }));
    await takeOver(other, old, { ...options, store });
    expect(await codeOf(succeed())).toBe('state/predecessor-taken');
    expect(await hasTakenOver(own, options)).toBe(false);
  });

  test('of two successors at once, one takes over', async () => {
    const other = imageOf(await succeeding(await sealed(OLD), { collaboration: 'other' }));
    const outcomes = await Promise.all([codeOf(succeed()), codeOf(takeOver(other, old, { ...options, store }))]);
    expect(outcomes.map(String).toSorted((a, b) => a.localeCompare(b))).toEqual(['done', 'state/predecessor-taken']);
  });

  test('a predecessor that has not taken over itself', async () => {
    const middle = imageOf(await succeeding(await sealed(OLD)));
    const last = imageOf(await succeeding({ ...middle, text: '' }));
    expect(await codeOf(takeOver(last, middle, { ...options, store }))).toBe('state/predecessor-unfinished');
    await takeOver(middle, old, { ...options, store });
    expect(await codeOf(takeOver(last, middle, { ...options, store }))).toBe('done');
  });

  test('loseOldRecord: closed, and not taken over without it', async () => {
    await (await copyOf(old)).call('alice');
    const kept = new Map(store.kept);
    store.kept.clear();
    expect(await codeOf(succeed())).toBe('state/record-missing');
    expect(await hasTakenOver(own, options)).toBe(false);
    for (const [name, bytes] of kept) store.kept.set(name, bytes);
    await succeed();
    expect(await (await copyOf(own)).call('alice')).toMatchObject({ count: 2 });
  });

  test('handOldVersionOfOldRecord', async () => {
    const before = await copyOf(old);
    await before.call('alice');
    const [older] = store.kept.values();
    await before.call('alice');
    store.instead = () => older;
    expect(await codeOf(succeed())).toBe('state/record-older');
  });

  test('anchors that do not answer: nothing is said to be done', async () => {
    for (const anchor of moody) anchor.mood = 'cut';
    expect(await codeOf(succeed())).toBe('claim/unavailable');
    for (const anchor of moody) anchor.mood = 'well';
    await succeed();
  });

  test('forgedClosing: an entry of somebody else where closing begins', async () => {
    const forger = await entryKey(random(32));
    await hold(anchors, forger, closingPlace(old.policyDigest), entryOf('closed', random(32)), options);
    await demandNotClosed(anchors, await entryKey(old.stateKey), old.policyDigest, options);
    expect(await codeOf(succeed())).toBe('claim/tampered');
  });

  test('forgedDone: an entry of somebody else where it is written that all is done', async () => {
    const forger = await entryKey(random(32));
    await hold(anchors, forger, donePlace(own.policyDigest), entryOf('version', random(32)), options);
    expect(await hasTakenOver(own, options)).toBe(false);
    expect(await codeOf(succeed())).toBe('claim/tampered');
  });

  test('what is closed is counted the same by whoever closes it', async () => {
    await (await copyOf(old)).call('alice');
    const key = await entryKey(old.stateKey);
    const toClose = { ...old, key, successor: own.policyDigest };
    const [one, again] = [await closePredecessor(toClose, options), await closePredecessor(toClose, options)];
    expect(again).toEqual(one);
    expect(one.spent.filter(({ calls }) => calls > 0)).toEqual([{ function: 'tally', party: 'alice', calls: 1 }]);
  });
});

describe('the policy that is succeeded', () => {
  const found = async (text: string | undefined, change: Partial<Policy> = {}): Promise<unknown> => {
    const policy = (await succeeding(await sealed(OLD), change)).policy;
    const host = { policy: async () => (text === undefined ? undefined : new TextEncoder().encode(text)) };
    return readPredecessor(policy, anchors, host, signal).then(({ policyDigest: digest }) => digest, (error: { code?: string }) => error.code); // prettier-ignore
  };

  test('is read by its digest', async () => {
    const { text, policyDigest: digest } = await sealed(OLD);
    expect(await found(text)).toBe(digest);
  });

  const charlie = { role: 'data-owner', kmsKeyArn: KEY_ARNS.charlie } as const;
  const REFUSED: Readonly<Record<string, readonly ['right' | 'other' | undefined, Partial<Policy>, string]>> = {
    missing: [undefined, {}, 'state/predecessor-missing'],
    another: ['other', {}, 'state/predecessor-missing'],
    'without a party of the old one': [
      'right',
      { parties: { alice: OLD.parties['alice'] ?? charlie, charlie } },
      'state/predecessor-unreachable',
    ],
    'with another key of a party': [
      'right',
      { parties: { alice: OLD.parties['alice'] ?? charlie, bob: charlie } },
      'state/predecessor-unreachable',
    ],
    'without an anchor that the old quorum needs': [
      'right',
      { anchors: { stores: [{ owner: 'alice', folder: '/a' }, { owner: 'bob', folder: '/c' }], quorum: 2 } }, // prettier-ignore
      'state/predecessor-unreachable',
    ],
  };
  test.each(Object.entries(REFUSED))('%s', async (_, [which, change, code]) => {
    const right = await sealed(OLD);
    const other = await sealed({ ...OLD, collaboration: 'other' });
    const text = which === undefined ? undefined : { right, other }[which].text;
    expect(await found(text, change)).toBe(code);
  });

  test('with an anchor less, where the old quorum does without', async () => {
    const three = {
      ...OLD,
      anchors: { stores: ['alice', 'bob', 'charlie'].map((owner) => ({ owner, folder: `/${owner}` })), quorum: 2 },
      parties: { ...OLD.parties, charlie },
      state: { seal: 'layered', order: ['alice', 'bob', 'charlie'] },
    } as const satisfies Policy;
    const first = await sealed(three);
    const policy = (await succeeding(first, { ...three, anchors: { stores: three.anchors.stores.slice(1), quorum: 2 } })).policy; // prettier-ignore
    const host = { policy: async () => new TextEncoder().encode(first.text) };
    const read = await readPredecessor(policy, { stores: moody, quorum: 2 }, host, signal);
    expect(read.anchors.quorum).toBe(2);
    expect(read.anchors.stores.map(({ owner }) => owner)).toEqual(['alice', 'alice', 'bob']);
    expect(read.anchors.stores.slice(1)).toEqual(moody);
  });
});
