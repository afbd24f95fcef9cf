/** How an enclave comes by its state: at first, after a restart, beside a copy, and what it does not take for it. */
import { afterEach, describe, expect, test } from 'vitest';
import type { Anchor } from '../../../enclave/claims/anchor.ts';
import { createMemoryAnchor } from '../../../enclave/claims/memory-anchor.ts';
import type { TestGate } from '../harness.ts';
import { KEY_ARNS, START, newRequestId } from '../harness.ts';
import type { KmsGenerated } from '../../../enclave/kms/client.ts';
import { anchorContext } from '../../../enclave/protocol/context.ts';
import { canonicalPolicyText, toCanonicalPolicy } from '../../../policies/canonical.ts';
import { policyDigest } from '../../../policies/digest.ts';
import { Failure } from '../../../policies/failure.ts';
import { parseAttestation } from '../../../parties/attestation/verify.ts';
import { envelopedParts, writeEnvelopedData } from '../kms/enveloped-data.ts';
import { makeRecipientKey } from '../kms/recipient-key.ts';
import type { Peer } from '../peer.ts';
import { realTimers } from '../real-timers.ts';
import type { HostStorage } from '../scripted-host.ts';
import { createScriptedKms, kmsRefused, kmsUnavailable } from '../scripted-kms.ts';
import type { Surroundings } from './sealed.ts';
import { ROLE, THRESHOLD, sealCredential, surroundings } from './sealed.ts';

/** A busy machine takes its time. */
const soon = (get: () => unknown) => expect.poll(get, { timeout: 15_000 });

const around: Surroundings[] = [];
const within = async (...policy: Parameters<typeof surroundings>): Promise<Surroundings> => {
  const made = await surroundings(...policy);
  around.push(made);
  return made;
};
afterEach(async () => {
  for (const one of around.splice(0)) await one.stop();
});

const opened = (gate: TestGate): Promise<unknown> =>
  soon(() => gate.keyed.gate.opening.status()).toMatchObject({ state: 'open' });
const statusOf = (gate: TestGate): ReturnType<TestGate['keyed']['gate']['opening']['status']> =>
  gate.keyed.gate.opening.status();
const sessions = (gate: TestGate, ...parties: readonly ('alice' | 'bob' | 'charlie')[]): Promise<readonly Peer[]> =>
  Promise.all(parties.map((party) => gate.peer(party)));
const linesOf = (gate: TestGate): readonly unknown[] =>
  gate.lines.filter(({ accord }) => !['booted', 'keyed', 'serving'].includes(accord));
const codesOf = (gate: TestGate): readonly string[] =>
  gate.lines.flatMap((line) => (line.accord === 'unopened' ? [line.code] : []));
const count = async (peer: Peer | undefined): Promise<unknown> => {
  const answer = await peer?.call('count', newRequestId(), new Uint8Array(1));
  return answer !== undefined && answer !== 'closed' && answer.t === 'answer'
    ? JSON.parse(answer.output).count
    : answer;
};
const purposes = (requests: readonly { readonly context: Readonly<Record<string, string>> }[]): readonly string[] =>
  requests.map(({ context }) => `${context['accord:purpose']} ${context['accord:party']}`).toSorted();

describe('a first boot', () => {
  test('makes the keys once all parties have come, and not before', async () => {
    const { start, kms, storage } = await within();
    const gate = await start();
    expect(statusOf(gate)).toEqual({ state: 'waiting', waitingFor: ['alice', 'bob'] });
    await sessions(gate, 'alice');
    await soon(() => statusOf(gate).waitingFor).toEqual(['bob']);
    expect(storage.records.size).toBe(0);
    await sessions(gate, 'bob');
    await opened(gate);
    expect(purposes(kms.generates)).toEqual(['state alice', 'state bob']);
    expect(linesOf(gate)).toEqual([{ accord: 'opened', state: 'made' }]);
    expect(storage.keySet).toBeDefined();
    expect(
      gate.places.map(({ store, account, credential }) => [store.owner, account, credential?.accessKeyId]),
    ).toEqual([
      ['alice', '111122223333', 'AKIDANCHOR'],
      ['bob', '444455556666', 'AKIDANCHOR'],
    ]);
  });

  test('needs nobody at once: sessions one after the other do', async () => {
    const { start } = await within();
    const gate = await start();
    for (const party of ['alice', 'bob'] as const) {
      const peer = await gate.peer(party);
      await soon(() => statusOf(gate).waitingFor).not.toContain(party);
      peer.close();
    }
    await opened(gate);
  });

  test('needs nobody where the host has a role that the keys permit', async () => {
    const { start, kms } = await within();
    const gate = await start({ credentials: ROLE });
    await opened(gate);
    expect(kms.generates.map(({ credentials }) => credentials.accessKeyId)).toEqual(['AKIDROLE', 'AKIDROLE']);
  });

  test('a role that no key permits, or that has expired, says nothing', async () => {
    const { start, kms } = await within();
    kms.script = (request, reply) =>
      request.credentials.accessKeyId === 'AKIDROLE' ? Promise.reject(kmsRefused()) : reply();
    kms.scriptGenerate = (request, reply) =>
      request.credentials.accessKeyId === 'AKIDROLE' ? Promise.reject(kmsRefused()) : reply();
    const gate = await start({ credentials: ROLE });
    await soon(() => kms.generates.length).toBe(2);
    expect(statusOf(gate)).toEqual({ state: 'waiting', waitingFor: ['alice', 'bob'] });
    expect(linesOf(gate)).toEqual([]);
    const late = await start({ credentials: { ...ROLE, expiresAt: START } });
    await sessions(late, 'alice', 'bob');
    await opened(late);
    expect(kms.generates.filter(({ credentials }) => credentials.accessKeyId === 'AKIDROLE')).toHaveLength(2);
  });

  test('of two at once makes one set: the slower takes the faster one’s', async () => {
    const { start, storage, kms } = await within();
    const gates = [await start(), await start()];
    await Promise.all(gates.map((gate) => sessions(gate, 'alice', 'bob')));
    for (const gate of gates) await opened(gate);
    const made = gates.flatMap(linesOf);
    expect(made).toContainEqual({ accord: 'opened', state: 'made' });
    expect(made.length).toBe(2);
    expect(kms.generates.length).toBeLessThanOrEqual(4);
    expect(storage.keySet).toBeDefined();
  });
});

describe('a restart', () => {
  test('opens the same state, with one Decrypt a party and no further key', async () => {
    const { start, stop, kms } = await within();
    const first = await start();
    const [alice] = await sessions(first, 'alice', 'bob');
    await opened(first);
    expect(await count(alice)).toBe(1);
    await stop();
    const made = kms.generates.length;
    const before = kms.requests.length;
    const second = await start();
    const [again] = await sessions(second, 'alice', 'bob');
    await opened(second);
    expect(kms.generates).toHaveLength(made);
    expect(purposes(kms.requests.slice(before))).toEqual(
      ['alice', 'bob'].flatMap((party) => [`anchor ${party}`, `session ${party}`, `state ${party}`]).toSorted(),
    );
    expect(linesOf(second)).toEqual([{ accord: 'opened', state: 'restored' }]);
    expect(await count(again)).toBe(2);
  });

  test('does not mind that the host has forgotten which set was the newest', async () => {
    const { start, stop, storage, kms } = await within();
    await opened(await start({ credentials: ROLE }));
    await stop();
    storage.keySet = undefined;
    const second = await start({ credentials: ROLE });
    await opened(second);
    expect(linesOf(second)).toEqual([{ accord: 'opened', state: 'restored' }]);
    expect(kms.generates.length).toBeLessThanOrEqual(4);
  });

  test('finishes a claim that was half made', async () => {
    const { start, stop, anchors, kms } = await within();
    const bob = createMemoryAnchor('bob');
    anchors.set('bob', { ...bob, claim: () => Promise.reject(new Error('away')) });
    const first = await start({ credentials: ROLE });
    await soon(() => codesOf(first)).toContain('claim/unavailable');
    await stop();
    anchors.set('bob', bob);
    const made = kms.generates.length;
    const second = await start({ credentials: ROLE });
    await opened(second);
    expect(linesOf(second)).toEqual([{ accord: 'opened', state: 'restored' }]);
    expect(kms.generates.length - made).toBeLessThanOrEqual(2);
    await stop();
    const third = await start({ credentials: ROLE });
    await opened(third);
  });
});

describe('what the host hands back instead of the keys', () => {
  const REFUSED: Readonly<Record<string, readonly [(storage: HostStorage, other: HostStorage) => void, string]>> = {
    nothing: [
      (storage) => {
        storage.keySet = undefined;
        storage.records.clear();
      },
      'state/keys-missing',
    ],
    'a set that it has from elsewhere': [
      (storage, other) => {
        storage.keySet = other.keySet;
        storage.records.clear();
      },
      'state/keys-substituted',
    ],
    'a set with a bit flipped': [
      (storage) => {
        storage.keySet = storage.keySet?.map((byte, i, all) => (i === all.length - 1 ? byte ^ 1 : byte));
        storage.records.clear();
      },
      'state/keys-substituted',
    ],
    'something else': [
      (storage) => {
        storage.keySet = Uint8Array.of(1, 2, 3);
        storage.records.clear();
      },
      'state/keys-malformed',
    ],
  };
  test.each(Object.entries(REFUSED))('%s', async (_, [tamper, code]) => {
    const [here, elsewhere] = [await within(), await within()];
    await opened(await here.start({ credentials: ROLE }));
    await opened(await elsewhere.start({ credentials: ROLE }));
    await here.stop();
    const [kept, records] = [here.storage.keySet, new Map(here.storage.records)];
    tamper(here.storage, elsewhere.storage);
    const gate = await here.start({ credentials: ROLE });
    await soon(() => statusOf(gate)).toMatchObject({ state: 'refused', reason: code });
    const alice = await gate.peer('alice');
    expect(await count(alice)).toEqual({ t: 'refused', refused: 'state-refused', detail: code });
    expect(codesOf(gate)).toContain(code);
    expect(gate.lines).not.toContainEqual(expect.objectContaining({ accord: 'opened' }));
    // The right one, and no new start, is all it needs.
    here.storage.keySet = kept;
    for (const [name, record] of records) here.storage.records.set(name, record);
    expect(await count(alice)).toBe(1);
  });

  test('a set that is older than the anchors’ other content is none: nothing is made anew', async () => {
    const { start, stop, storage, kms } = await within();
    await opened(await start({ credentials: ROLE }));
    await stop();
    storage.keySet = undefined;
    storage.records.clear();
    const gate = await start({ credentials: ROLE });
    await soon(() => statusOf(gate).state).toBe('refused');
    expect(storage.records.size).toBe(0);
    expect(kms.generates.length).toBeLessThanOrEqual(4);
  });
});

describe('what stands in the anchors instead of the claim', () => {
  test('another state key’s claim of this very set: it is not taken for ours', async () => {
    const { start, stop, anchors } = await within();
    await opened(await start({ credentials: ROLE }));
    await stop();
    for (const [owner, anchor] of anchors) {
      const forged = async (bytes: Promise<Uint8Array | undefined>): Promise<Uint8Array | undefined> =>
        (await bytes)?.map((byte, i) => (i === 100 ? byte ^ 1 : byte));
      anchors.set(owner, { ...anchor, holder: (...of) => forged(anchor.holder(...of)) });
    }
    const gate = await start({ credentials: ROLE });
    await soon(() => statusOf(gate)).toMatchObject({ state: 'refused', reason: 'state/keys-foreign' });
  });

  test('bytes that are no entry', async () => {
    const { start, anchors } = await within();
    for (const owner of ['alice', 'bob']) {
      anchors.set(owner, { ...createMemoryAnchor(owner), holder: () => Promise.resolve(new Uint8Array(101)) });
    }
    const gate = await start({ credentials: ROLE });
    await soon(() => statusOf(gate)).toMatchObject({ state: 'refused', reason: 'state/keys-foreign' });
  });
});

describe('a party that is not there, or whose KMS is not', () => {
  test('is named in what a call is told', async () => {
    const { start } = await within();
    const gate = await start();
    const alice = await gate.peer('alice');
    expect(await count(alice)).toEqual({
      t: 'refused',
      refused: 'not-open',
      detail: 'it waits for a session of bob',
    });
  });

  test('KMS refuses', async () => {
    const { start, kms } = await within();
    kms.scriptGenerate = ({ keyArn }, reply) => (keyArn === KEY_ARNS.bob ? Promise.reject(kmsRefused()) : reply());
    const gate = await start();
    const [alice] = await sessions(gate, 'alice', 'bob');
    await soon(() => statusOf(gate).reason).toBe('kms/refused (AccessDeniedException)');
    expect(await count(alice)).toEqual({
      t: 'refused',
      refused: 'not-open',
      detail: 'it waits for a session of bob; kms/refused (AccessDeniedException)',
    });
    kms.scriptGenerate = (_, reply) => reply();
    await sessions(gate, 'bob');
    await opened(gate);
  });

  test('KMS cannot be reached: it is asked again with the next call', async () => {
    const { start, kms } = await within();
    kms.scriptGenerate = ({ keyArn }, reply) => (keyArn === KEY_ARNS.bob ? Promise.reject(kmsUnavailable()) : reply());
    const gate = await start();
    const [alice] = await sessions(gate, 'alice', 'bob');
    expect(await count(alice)).toMatchObject({ refused: 'not-open' });
    kms.scriptGenerate = (_, reply) => reply();
    expect(await count(alice)).toBe(1);
  });

  test('KMS opens it with another key, or opens something that is no data key', async () => {
    const { start, stop, kms } = await within();
    await opened(await start({ credentials: ROLE }));
    await stop();
    kms.script = async ({ keyArn, context }, reply) => {
      const answer = await reply();
      const isBobs = keyArn === KEY_ARNS.bob && context['accord:purpose'] === 'state';
      return isBobs ? { ...answer, keyArn: KEY_ARNS.alice } : answer;
    };
    const gate = await start();
    await sessions(gate, 'alice', 'bob');
    await soon(() => codesOf(gate)).toEqual(['kms/other-key']);
    await soon(() => statusOf(gate)).toMatchObject({ state: 'waiting', waitingFor: ['bob'] });
  });
});

describe('a data key that KMS makes', () => {
  const other = makeRecipientKey();
  const WRONG: Readonly<
    Record<string, readonly [(made: KmsGenerated, spki: Uint8Array) => Promise<KmsGenerated>, string]>
  > = {
    'under another key': [async (made) => ({ ...made, keyArn: KEY_ARNS.alice }), 'kms/other-key'],
    'for another recipient': [
      async (made) => ({
        ...made,
        envelope: writeEnvelopedData(await envelopedParts((await other).spki, new Uint8Array(32))),
      }),
      'kms/envelope-unopened',
    ],
    'of another length': [
      async (made, spki) => ({ ...made, envelope: writeEnvelopedData(await envelopedParts(spki, new Uint8Array(16))) }),
      'kms/envelope-unopened',
    ],
    'in an envelope that is none': [
      async (made) => ({ ...made, envelope: made.envelope.subarray(1) }),
      'kms/ber-malformed',
    ],
  };
  test.each(Object.entries(WRONG))('%s is not taken, and nothing is made of the others', async (_, [tamper, code]) => {
    const { start, kms, storage } = await within();
    kms.scriptGenerate = async ({ keyArn, attestation }, reply) => {
      const made = await reply();
      const spki = parseAttestation(attestation).publicKey ?? new Uint8Array(0);
      return keyArn === KEY_ARNS.bob ? tamper(made, spki) : made;
    };
    const gate = await start();
    await sessions(gate, 'alice', 'bob');
    await soon(() => codesOf(gate)).toEqual([code]);
    await soon(() => statusOf(gate)).toMatchObject({ state: 'waiting', waitingFor: ['bob'] });
    expect(storage.records.size).toBe(0);
  });
});

describe('a call that comes early', () => {
  test('waits for an opening under way, and no session does', async () => {
    const { start, kms } = await within();
    let go = (): void => {};
    const held = new Promise<void>((resolve) => (go = resolve));
    kms.scriptGenerate = async (_, reply) => (await held, reply());
    const gate = await start();
    const [alice] = await sessions(gate, 'alice', 'bob');
    expect(alice?.first).toEqual({ t: 'authenticated', party: 'alice' });
    const answer = count(alice);
    expect(await Promise.race([answer, new Promise((resolve) => setTimeout(resolve, 300, 'waiting'))])).toBe('waiting');
    go();
    expect(await answer).toBe(1);
  });

  test('but not without end', async () => {
    const { start, kms } = await within();
    kms.scriptGenerate = () => new Promise(() => {});
    const gate = await start({
      timers: (milliseconds, run) => realTimers(milliseconds === 20_000 ? 300 : milliseconds, run),
    });
    const [alice] = await sessions(gate, 'alice', 'bob');
    expect(await count(alice)).toMatchObject({ refused: 'not-open' });
  });
});

describe('the credential of an anchor', () => {
  const context = async ({ policy }: Surroundings, party: string): Promise<Readonly<Record<string, string>>> =>
    anchorContext({ policyDigest: await policyDigest(canonicalPolicyText(await toCanonicalPolicy(policy))), party });
  const WRONG: Readonly<Record<string, readonly [(around: Surroundings) => Promise<Uint8Array | undefined>, string]>> =
    {
      'that was not contributed': [() => Promise.resolve(undefined), 'anchor-credential/absent'],
      'that is for another party': [
        async (here) => sealCredential(here.kms, KEY_ARNS.bob, await context(here, 'alice')),
        'anchor-credential/misplaced',
      ],
      'of another party': [
        (here) => Promise.resolve(here.storage.blobs.get('anchor.alice')),
        'anchor-credential/misplaced',
      ],
      'that is none': [
        async (here) => sealCredential(here.kms, KEY_ARNS.bob, await context(here, 'bob'), { accessKeyId: '' }),
        'anchor-credential/malformed',
      ],
      'that is too long': [
        async (here) => sealCredential(here.kms, KEY_ARNS.bob, await context(here, 'bob'), { a: 'x'.repeat(9000) }),
        'anchor-credential/malformed',
      ],
      'that KMS does not open': [
        async (here) => sealCredential(createScriptedKms(), KEY_ARNS.bob, await context(here, 'bob')),
        'kms/refused',
      ],
      'that was changed': [
        async (here) => {
          const blob = await sealCredential(here.kms, KEY_ARNS.bob, await context(here, 'bob'));
          return blob.map((byte, i) => (i === blob.length - 1 ? byte ^ 1 : byte));
        },
        'stream/unauthentic',
      ],
    };
  test.each(Object.entries(WRONG))('%s does not open it, and the next session tries again', async (_, [make, code]) => {
    const here = await within();
    const right = here.storage.blobs.get('anchor.bob') ?? new Uint8Array(0);
    const wrong = await make(here);
    if (wrong === undefined) here.storage.blobs.delete('anchor.bob');
    else here.storage.blobs.set('anchor.bob', wrong);
    const gate = await here.start();
    await sessions(gate, 'alice', 'bob');
    await soon(() => codesOf(gate)).toEqual([code]);
    await soon(() => statusOf(gate)).toMatchObject({
      state: 'waiting',
      waitingFor: ['bob'],
      reason: expect.stringContaining(code),
    });
    here.storage.blobs.set('anchor.bob', right);
    await sessions(gate, 'bob');
    await opened(gate);
  });

  test('an anchor that is not fit for it is refused when it is opened', async () => {
    const { start, anchors } = await within();
    const check = (): Promise<void> =>
      Promise.reject(new Failure('refused', 'anchor/misconfigured', 'no lock', { where: 's3://bob-anchor' }));
    anchors.set('bob', { ...createMemoryAnchor('bob'), check });
    const gate = await start({ credentials: ROLE });
    await soon(() => codesOf(gate)).toEqual(['anchor/misconfigured']);
    expect(statusOf(gate)).toMatchObject({ reason: 'anchor/misconfigured (s3://bob-anchor)' });
  });
});

describe('an anchor that comes late', () => {
  const stored = async (gate: TestGate, owner: string, name: string): Promise<boolean> =>
    (await gate.anchors.get(owner)?.holder(name, 0, new AbortController().signal)) !== undefined;

  test('is used from then on, although the others were enough to open the state', async () => {
    const { start, stop } = await within(THRESHOLD);
    await opened(await start({ credentials: ROLE }));
    await stop();
    const gate = await start();
    const [alice] = await sessions(gate, 'alice', 'bob');
    await opened(gate);
    expect(gate.places.map(({ store }) => store.owner).toSorted()).toEqual(['alice', 'bob']);
    await sessions(gate, 'charlie');
    await soon(() => gate.places.length).toBe(3);
    expect(await count(alice)).toBe(1);
    const name = `tickets/${gate.policyDigest}/count/alice`;
    await soon(() => stored(gate, 'charlie', name)).toBe(true);
  });

  test('or whose owner exchanged the credential, is opened with the new one', async () => {
    const { start, anchors, storage, kms, policy } = await within();
    const inner = createMemoryAnchor('bob');
    let key = 'AKIDANCHOR';
    const only =
      (mine: string) =>
      <Result>(work: () => Promise<Result>): Promise<Result> =>
        mine === key ? work() : Promise.reject(new Failure('refused', 'anchor/refused', 'InvalidAccessKeyId'));
    const asWhom = (mine: string): Anchor => {
      const allowed = only(mine);
      return {
        ...inner,
        claim: (...of) => allowed(() => inner.claim(...of)),
        holder: (...of) => allowed(() => inner.holder(...of)),
      };
    };
    const gate = await start({
      credentials: ROLE,
      world: (world) => ({
        ...world,
        connectAws: async (parts) => {
          const aws = await world.connectAws(parts);
          return {
            ...aws,
            openAnchor: (place) =>
              place.store.owner === 'bob' ? asWhom(place.credential?.accessKeyId ?? '') : aws.openAnchor(place),
          };
        },
      }),
    });
    await opened(gate);
    const alice = await gate.peer('alice');
    expect(await count(alice)).toBe(1);
    key = 'AKIDNEWER';
    expect(await count(alice)).toMatchObject({ refused: 'unavailable' });
    const context = anchorContext({
      policyDigest: await policyDigest(canonicalPolicyText(await toCanonicalPolicy(policy))),
      party: 'bob',
    });
    const credential = { accessKeyId: key, secretAccessKey: 'secret' };
    storage.blobs.set('anchor.bob', await sealCredential(kms, KEY_ARNS.bob, context, credential));
    await sessions(gate, 'bob');
    await soon(() => count(alice)).toBe(2);
    expect(anchors.has('alice')).toBe(true);
  });
});

describe('a threshold', () => {
  test('needs all to be made, and any so many to be opened', async () => {
    const { start, stop } = await within(THRESHOLD);
    const first = await start();
    await sessions(first, 'alice', 'charlie');
    await soon(() => statusOf(first).waitingFor).toEqual(['bob']);
    const [bob] = await sessions(first, 'bob');
    await opened(first);
    expect(await count(bob)).toBe(1);
    await stop();
    for (const pair of [
      ['alice', 'bob'],
      ['alice', 'charlie'],
      ['bob', 'charlie'],
    ] as const) {
      const gate = await start();
      await sessions(gate, pair[0]);
      await soon(() => statusOf(gate).state).toBe('waiting');
      await sessions(gate, pair[1]);
      await opened(gate);
      await stop();
    }
  });
});
