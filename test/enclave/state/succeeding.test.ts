/** A new image over an old one's anchors, storage and KMS: whole gates, spoken to by parties. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { anchorContext } from '../../../enclave/protocol/context.ts';
import { canonicalPolicyText, toCanonicalPolicy } from '../../../policies/canonical.ts';
import { policyDigest } from '../../../policies/digest.ts';
import type { Policy, PolicyDigest } from '../../../policies/model.ts';
import type { TestGate } from '../harness.ts';
import { newRequestId, startGate } from '../harness.ts';
import type { Peer } from '../peer.ts';
import { kmsRefused } from '../scripted-kms.ts';
import type { Surroundings } from './sealed.ts';
import { SEALED, sealCredential, surroundings } from './sealed.ts';

const PARTIES = ['alice', 'bob'] as const;
type Party = (typeof PARTIES)[number];

let old: Surroundings;
let oldDigest: PolicyDigest;
let next: Policy;
const gates: TestGate[] = [];

beforeEach(async () => {
  old = await surroundings();
  const text = canonicalPolicyText(await toCanonicalPolicy(SEALED));
  oldDigest = await policyDigest(text);
  old.storage.policies.set(oldDigest, text);
  next = { ...SEALED, collaboration: 'harness-2', succeeds: { policyDigest: oldDigest, calls: 'carried' } };
});
afterEach(async () => {
  for (const gate of gates.splice(0)) await gate.stop();
  await old.stop();
});

/** Each image has its own credentials of the anchors, and its own folder for the newest keys. */
async function renewCredentials(policy: Policy): Promise<void> {
  const digest = await policyDigest(canonicalPolicyText(await toCanonicalPolicy(policy)));
  for (const party of PARTIES) {
    const keyArn = policy.parties[party]?.kmsKeyArn ?? '';
    const context = anchorContext({ policyDigest: digest, party });
    old.storage.blobs.set(`anchor.${party}`, await sealCredential(old.kms, keyArn, context));
  }
  old.storage.keySet = undefined;
}

/** The new image, over the same anchors, host and KMS. */
async function startNext(policy: Policy = next): Promise<TestGate> {
  await renewCredentials(policy);
  const { kms, storage, anchors } = old;
  const gate = await startGate({ policy, kms, storage, anchors });
  gates.push(gate);
  return gate;
}

const both = async (gate: TestGate): Promise<Record<Party, Peer>> => {
  const [alice, bob] = [await gate.peer('alice'), await gate.peer('bob')];
  return { alice, bob };
};
const count = async (peer: Peer): Promise<unknown> => {
  const answer = await peer.call('count', newRequestId(), new Uint8Array(1));
  if (answer === 'closed') return answer;
  return answer.t === 'answer' ? JSON.parse(answer.output).count : answer.t === 'refused' ? answer.refused : answer.t;
};
const opened = (gate: TestGate): Promise<unknown> =>
  expect.poll(() => gate.keyed.gate.opening.status(), { timeout: 10_000 }).toMatchObject({ state: 'open' });
const statusOf = (gate: TestGate): ReturnType<TestGate['keyed']['gate']['opening']['status']> =>
  gate.keyed.gate.opening.status();

describe('a new image', () => {
  test('goes on where the old one was, which refuses from then on', async () => {
    const before = await old.start();
    const parties = await both(before);
    await opened(before);
    expect([await count(parties.alice), await count(parties.bob)]).toEqual([1, 2]);

    const after = await startNext();
    const now = await both(after);
    await opened(after);
    expect([await count(now.alice), await count(now.bob)]).toEqual([3, 4]);
    expect([await count(now.alice), await count(now.alice), await count(now.bob)]).toEqual([5, 'quota-exceeded', 'quota-exceeded']); // prettier-ignore
    expect([await count(parties.alice), await count(parties.bob)]).toEqual(['quota-exceeded', 'quota-exceeded']);
  });

  test('asks each KMS for the old data key with the old policy in the context, once, and never again', async () => {
    const before = await old.start();
    await both(before);
    await opened(before);
    await old.stop();
    const ofOld = (): readonly string[] =>
      old.kms.requests
        .filter(({ context }) => context['accord:policy'] === oldDigest && context['accord:purpose'] === 'state')
        .map(({ context }) => context['accord:party'] ?? '')
        .toSorted();
    const first = await startNext();
    await both(first);
    await opened(first);
    expect(ofOld()).toEqual(['alice', 'bob']);
    const again = await startGate({ policy: next, kms: old.kms, storage: old.storage, anchors: old.anchors });
    gates.push(again);
    await both(again);
    await opened(again);
    expect(ofOld()).toEqual(['alice', 'bob']);
  });

  test('of an image that was never started closes it all the same', async () => {
    const after = await startNext();
    const now = await both(after);
    await opened(after);
    expect(await count(now.alice)).toBe(1);
    await renewCredentials(SEALED);
    const late = await old.start();
    await both(late);
    await expect.poll(() => statusOf(late), { timeout: 10_000 }).toMatchObject({ state: 'refused' });
  });

  test('two of it at once', async () => {
    const before = await old.start();
    expect(await count((await both(before)).alice)).toBe(1);
    const copies = [await startNext()];
    const { kms, storage, anchors } = old;
    const beside = await startGate({ policy: next, kms, storage, anchors });
    gates.push(beside);
    copies.push(beside);
    const peers = await Promise.all(copies.map(both));
    for (const copy of copies) await opened(copy);
    const [one, other] = peers;
    if (one === undefined || other === undefined) throw new Error('two were started');
    expect([await count(one.alice), await count(other.alice), await count(one.alice)]).toEqual([2, 3, 'quota-exceeded']); // prettier-ignore
  });
});

describe('waits or refuses', () => {
  beforeEach(async () => {
    const before = await old.start();
    expect(await count((await both(before)).alice)).toBe(1);
    await old.stop();
  });

  test('until every party of the old one has come', async () => {
    const gate = await startNext();
    const bob = await gate.peer('bob');
    await expect.poll(() => statusOf(gate).waitingFor).toEqual(['alice']);
    const alice = await gate.peer('alice');
    await opened(gate);
    expect([await count(alice), await count(bob)]).toEqual([2, 3]);
  });

  test('where one that had agreed thought better of it before the others came', async () => {
    const gate = await startNext();
    const first = await gate.peer('alice');
    await expect.poll(() => statusOf(gate).waitingFor).toEqual(['bob']);
    first.close();
    const bob = await gate.peer('bob');
    const ofBob = (context: Readonly<Record<string, string>>): boolean =>
      context['accord:policy'] === oldDigest && context['accord:purpose'] === 'state' && context['accord:party'] === 'bob'; // prettier-ignore
    await expect.poll(() => old.kms.requests.filter(({ context }) => ofBob(context)).length).toBeGreaterThan(0);
    await expect.poll(() => statusOf(gate).waitingFor).toEqual(['alice']);
    bob.close();
    old.kms.script = (request, reply) => (ofBob(request.context) ? Promise.reject(kmsRefused()) : reply());
    gate.advance(86_400_000);
    const alice = await gate.peer('alice');
    expect(await count(alice)).toBe('not-open');
    expect(statusOf(gate).waitingFor).toEqual(['bob']);
  });

  test('while a party has not agreed: its key opens the old state to the old image alone', async () => {
    old.kms.script = (request, reply) =>
      request.context['accord:policy'] === oldDigest && request.context['accord:party'] === 'bob'
        ? Promise.reject(kmsRefused())
        : reply();
    const gate = await startNext();
    const { alice } = await both(gate);
    await expect.poll(() => gate.lines.flatMap((line) => (line.accord === 'unopened' ? [line.code] : []))).toContain('kms/refused'); // prettier-ignore
    expect(await count(alice)).toBe('not-open');
    // Nothing was closed: the new one has no more than the old one's consent gives it.
    old.kms.script = (_, reply) => reply();
    expect(await count(alice)).toBe(2);
  });

  test('where the host does not have the old policy', async () => {
    old.storage.policies.clear();
    const gate = await startNext();
    const { alice } = await both(gate);
    expect(await count(alice)).toBe('state-refused');
    expect(statusOf(gate).reason).toBe('state/predecessor-missing');
  });

  test('where another successor was first', async () => {
    const other = { ...next, collaboration: 'harness-3' };
    const first = await startNext(other);
    await both(first);
    await opened(first);
    const gate = await startNext();
    const { alice } = await both(gate);
    expect(await count(alice)).toBe('state-refused');
    expect(statusOf(gate).reason).toBe('state/predecessor-taken');
  });

  test('the old image, started once more: closed', async () => {
    const gate = await startNext();
    await both(gate);
    await opened(gate);
    await renewCredentials(SEALED);
    const late = await old.start();
    const { alice } = await both(late);
    expect(await count(alice)).toBe('state-refused');
    expect(statusOf(late).reason).toBe('state/closed');
  });
});
