/** How an enclave comes by the anchors of its parties. */
import { describe, expect, test } from 'vitest';
import type { Anchor } from '../../../enclave/claims/anchor.ts';
import { createMemoryAnchor } from '../../../enclave/claims/memory-anchor.ts';
import { anchorContext } from '../../../enclave/protocol/context.ts';
import { canonicalPolicyText, toCanonicalPolicy } from '../../../policies/canonical.ts';
import { policyDigest } from '../../../policies/digest.ts';
import { Failure } from '../../../policies/failure.ts';
import type { TestGate } from '../harness.ts';
import { KEY_ARNS } from '../harness.ts';
import { createScriptedKms } from '../scripted-kms.ts';
import type { Surroundings } from './sealed.ts';
import { ROLE, THRESHOLD, sealCredential } from './sealed.ts';
import { codesOf, count, opened, sessions, soon, statusOf, within } from './sealed-gates.ts';

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
