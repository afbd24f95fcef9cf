/** Which envelopes stay: what an enclave relies on is not anybody's to replace. */
import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { concat } from '../../enclave/encoding/bytes.ts';
import { sealEnvelope } from '../../enclave/protocol/envelope.ts';
import type { WantedEnvelope } from '../../orchestrator/relay/contributions.ts';
import { SEALED } from '../enclave/state/sealed.ts';
import type { KeptContributions, KeptStore } from './kept-contributions.ts';
import { openKeptStore } from './kept-contributions.ts';

let store: KeptStore;
let kept: KeptContributions;
beforeAll(async () => {
  store = await openKeptStore();
});
afterAll(() => store.close());
beforeEach(async () => {
  kept = await store.collaboration(SEALED);
});

/** Uploads an envelope of nobody in particular; its SHA-256. */
async function upload(name = 'classify'): Promise<string> {
  const header = { keyArn: 'arn:x', dataKey: randomBytes(200), context: {}, noncePrefix: randomBytes(7) };
  const parts: Uint8Array[] = [];
  for await (const part of sealEnvelope(header, randomBytes(32), [randomBytes(50)])) parts.push(part);
  const envelope = concat(...parts);
  await kept.upload(name, envelope);
  return createHash('sha256').update(envelope).digest('hex');
}

/** SHA-256 of what the enclave is given. */
async function give(wanted: WantedEnvelope, name = 'classify'): Promise<string | undefined> {
  const given = await kept.keeper.give(name, wanted);
  if (given === undefined) return undefined;
  const hash = createHash('sha256');
  for await (const part of given.stream) hash.update(part);
  return hash.digest('hex');
}

const take = async (sha256: string): Promise<void> => {
  expect(await give({ sha256 })).toBe(sha256);
  expect(await kept.keeper.taken('classify', sha256)).toBe(true);
};

it('the one in force, however often somebody uploads, deletes, and the orchestrator starts again', async () => {
  const inForce = await upload();
  await take(inForce);
  await upload();
  await kept.restart();
  const stranger = await upload();
  expect(await give({ sha256: inForce })).toBe(inForce);
  expect(await kept.onDisk()).toEqual([inForce, stranger].toSorted());
  await kept.remove('classify');
  await kept.restart();
  expect(await give({ earlier: false })).toBeUndefined();
  expect(await give({ sha256: inForce })).toBe(inForce);
});

it('the one that was given, until it is known whether it was taken', async () => {
  const before = await upload();
  await take(before);
  const given = await upload();
  expect(await give({ sha256: given })).toBe(given);
  const stranger = await upload();
  // The enclave died: either may be the one that its state names.
  await kept.restart();
  expect(await kept.onDisk()).toEqual([before, given, stranger].toSorted());
  // A copy that starts again with the one before does not push out what another copy is about to take.
  expect(await give({ sha256: before })).toBe(before);
  await take(given);
  const next = await upload();
  await take(next);
  expect(await kept.onDisk()).toEqual([next]);
});

it('the one in force, although its owner named others in vain', async () => {
  const inForce = await upload();
  await take(inForce);
  for (let i = 0; i < 3; i++) {
    const refused = await upload();
    expect(await give({ sha256: refused })).toBe(refused);
  }
  const newest = await upload();
  expect(await kept.onDisk()).toHaveLength(3);
  expect(await give({ sha256: inForce })).toBe(inForce);
  expect(await give({ sha256: newest })).toBe(newest);
});

it('without a hash: the newest, and the one in force where it is another', async () => {
  const [name, newest, earlier] = ['anchor.alice', { earlier: false }, { earlier: true }];
  expect(await give(newest, name)).toBeUndefined();
  const first = await upload(name);
  expect(await give(newest, name)).toBe(first);
  expect(await give(earlier, name)).toBeUndefined();
  expect(await kept.keeper.taken(name, first)).toBe(true);
  expect(await give(earlier, name)).toBeUndefined();
  await upload(name);
  const stranger = await upload(name);
  expect(await give(newest, name)).toBe(stranger);
  expect(await give(earlier, name)).toBe(first);
});

it('is no other than was uploaded under that name', async () => {
  const elsewhere = await upload('anchor.alice');
  await upload();
  expect(await give({ sha256: elsewhere })).toBeUndefined();
  expect(await kept.keeper.taken('classify', elsewhere)).toBe(false);
  expect(await kept.keeper.taken('classify', '00'.repeat(32))).toBe(false);
});
