/** Anybody who reaches the orchestrator may upload: an enclave comes back with what it had all the same. */
import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { createMemoryAnchor } from '../../../enclave/claims/memory-anchor.ts';
import type { AnchorPlace } from '../../../enclave/claims/open-anchor.ts';
import { anchorContext } from '../../../enclave/protocol/context.ts';
import { Failure } from '../../../policies/failure.ts';
import type { KeptContributions, KeptStore } from '../../orchestrator/kept-contributions.ts';
import { openKeptStore } from '../../orchestrator/kept-contributions.ts';
import type { Contribution } from '../contribution.ts';
import { encryptModel } from '../contribution.ts';
import type { GateOptions, TestGate } from '../harness.ts';
import { KEY_ARNS, newRequestId } from '../harness.ts';
import { plainInput, testModel } from '../scripted-computer.ts';
import type { Surroundings } from './sealed.ts';
import { ROLE, SEALED, sealCredential, surroundings } from './sealed.ts';

let around: Surroundings;
let store: KeptStore;
let kept: KeptContributions;
beforeAll(async () => {
  store = await openKeptStore();
});
afterAll(() => store.close());
beforeEach(async () => {
  [around, kept] = [await surroundings(), await store.collaboration(SEALED)];
  for (const [name, envelope] of around.storage.blobs) await kept.upload(name, envelope);
  around.storage.keeper = kept.keeper;
});
afterEach(() => around.stop());

const restart = async (options: GateOptions = {}): Promise<TestGate> => {
  await around.stop();
  await kept.restart();
  return around.start({ credentials: ROLE, ...options });
};
/** `answer`, or the whole refusal, so that a failure tells why. */
const call = async (gate: TestGate): Promise<unknown> => {
  const alice = await gate.peer('alice');
  const answer = await alice.call('classify', newRequestId(), plainInput());
  alice.close();
  return answer === 'closed' || answer.t === 'refused' ? answer : answer.t;
};
const confirm = async (gate: TestGate, { request }: Contribution): Promise<unknown> => {
  const bob = await gate.peer('bob');
  const answer = await bob.ask(request);
  bob.close();
  return answer;
};
const contribute = async (gate: TestGate): Promise<void> => {
  const contribution = await encryptModel(gate, testModel('m'));
  await kept.upload('classify', contribution.blob);
  expect(await confirm(gate, contribution)).toMatchObject({ t: 'contributed' });
};

/** An envelope with a header like the owner's, and a data key of the stranger's own, which no KMS has seen. */
const forgedModel = async (gate: TestGate): Promise<Contribution> => {
  const header = { dataKey: randomBytes(180) };
  return encryptModel(gate, testModel('forged'), { dataKey: randomBytes(32), header });
};
const forgedCredential = (gate: TestGate, party: 'alice' | 'bob'): Promise<Uint8Array> => {
  const context = anchorContext({ policyDigest: gate.policyDigest, party });
  const kms = { ...gate.kms, encrypt: () => randomBytes(180) };
  return sealCredential(kms, KEY_ARNS[party], context, { accessKeyId: 'AKIDFORGED', secretAccessKey: 's' });
};
const idsOf = (gate: TestGate): readonly (string | undefined)[] =>
  gate.places.map(({ credential }) => credential?.accessKeyId);

test('the model and the anchors are there after a restart, whatever a stranger uploaded', async () => {
  const first = await around.start({ credentials: ROLE });
  await contribute(first);
  for (let i = 0; i < 2; i++) {
    await kept.upload('classify', (await forgedModel(first)).blob);
    for (const party of ['alice', 'bob'] as const) await kept.upload(`anchor.${party}`, await forgedCredential(first, party)); // prettier-ignore
  }
  const gate = await restart();
  expect(await call(gate)).toBe('answer');
  expect(idsOf(gate)).toEqual(['AKIDANCHOR', 'AKIDANCHOR']);
  expect(gate.lines).toContainEqual({ accord: 'opened', state: 'restored' });
  for (const name of ['classify', 'anchor.alice', 'anchor.bob']) await kept.remove(name);
  expect(await call(await restart())).toBe('answer');
});

test('so is the model when its owner named another that was refused', async () => {
  const first = await around.start({ credentials: ROLE });
  await contribute(first);
  const refused = await forgedModel(first);
  for (let i = 0; i < 2; i++) {
    await kept.upload('classify', refused.blob);
    expect(await confirm(first, refused)).toMatchObject({ t: 'refused' });
  }
  await kept.upload('classify', (await forgedModel(first)).blob);
  expect(await call(await restart())).toBe('answer');
});

test('an exchanged credential is not undone by uploading the one before again', async () => {
  const first = await around.start({ credentials: ROLE });
  await contribute(first);
  const context = anchorContext({ policyDigest: first.policyDigest, party: 'alice' });
  const newer = { accessKeyId: 'AKIDNEWER', secretAccessKey: 'secret' };
  await kept.upload('anchor.alice', await sealCredential(around.kms, KEY_ARNS.alice, context, newer));
  const second = await restart();
  expect(await call(second)).toBe('answer');
  expect(idsOf(second)).toContain('AKIDNEWER');
  // Alice's user has but the newer key. What she uploaded at first is anybody's to download and to upload again.
  await kept.upload('anchor.alice', around.storage.blobs.get('anchor.alice') ?? new Uint8Array(0));
  const tried: unknown[] = [];
  const openAnchor = ({ store, credential }: AnchorPlace) => {
    const anchor = around.anchors.get(store.owner) ?? createMemoryAnchor(store.owner);
    if (store.owner !== 'alice') return anchor;
    tried.push(credential?.accessKeyId);
    if (credential?.accessKeyId === 'AKIDNEWER') return anchor;
    return { ...anchor, check: () => Promise.reject(new Failure('refused', 'anchor/refused', 'no such key')) };
  };
  const gate = await restart({ connectAws: () => Promise.resolve({ kms: around.kms, openAnchor }) });
  expect(await call(gate)).toBe('answer');
  expect(tried).toEqual(['AKIDANCHOR', 'AKIDNEWER']);
});
