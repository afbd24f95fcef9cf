/** A contributed model outlives the enclave that took it, and an older one does not come back. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { contribute, encryptModel } from '../contribution.ts';
import type { TestGate } from '../harness.ts';
import { newRequestId } from '../harness.ts';
import { plainInput, testModel } from '../scripted-computer.ts';
import type { Surroundings } from './sealed.ts';
import { ROLE, surroundings } from './sealed.ts';

let around: Surroundings;
beforeEach(async () => {
  around = await surroundings();
});
afterEach(() => around.stop());

const restart = async (): Promise<TestGate> => {
  await around.stop();
  return around.start({ credentials: ROLE });
};
const call = async (gate: TestGate): Promise<unknown> => {
  const alice = await gate.peer('alice');
  const answer = await alice.call('classify', newRequestId(), plainInput());
  alice.close();
  return answer;
};
const modelOf = async (gate: TestGate): Promise<unknown> => {
  const bob = await gate.peer('bob');
  const answer = await bob.ask({ t: 'status' });
  bob.close();
  return answer === 'closed' || answer.t !== 'status' ? answer : JSON.parse(answer.status).functions.classify.model;
};

test('after a restart it is in place again, without its owner and without KMS being asked for it', async () => {
  const sha256 = await contribute(await around.start({ credentials: ROLE }), testModel('m'));
  const asked = around.kms.requests.filter(({ context }) => context['accord:purpose'] === 'model').length;
  const gate = await restart();
  expect(await call(gate)).toMatchObject({ t: 'answer' });
  expect(await modelOf(gate)).toEqual({ from: 'bob', sha256: Buffer.from(sha256).toString('hex') });
  expect(around.kms.requests.filter(({ context }) => context['accord:purpose'] === 'model')).toHaveLength(asked);
});

test('the newest one', async () => {
  const first = await around.start({ credentials: ROLE });
  await contribute(first, testModel('one'));
  const newer = await contribute(first, testModel('two'));
  expect(await modelOf(await restart())).toEqual({ from: 'bob', sha256: Buffer.from(newer).toString('hex') });
});

test('a copy that runs beside takes it too, when it is called', async () => {
  const [one, two] = [await around.start({ credentials: ROLE }), await around.start({ credentials: ROLE })];
  expect(await call(two)).toMatchObject({ refused: 'no-model' });
  await contribute(one, testModel('m'));
  expect(await call(two)).toMatchObject({ t: 'answer' });
});

test.each([
  ['an older one', 'stream/unauthentic'],
  ['none', 'contribution/absent'],
  ['a part of it', 'contribution/wrong-length'],
  ['a changed one', 'stream/unauthentic'],
] as const)('where the host hands back %s there is no model, and status says why', async (what, code) => {
  const first = await around.start({ credentials: ROLE });
  await contribute(first, testModel('older'));
  const older = around.storage.blobs.get('classify') ?? new Uint8Array(0);
  await contribute(first, testModel('newer'));
  const newer = around.storage.blobs.get('classify') ?? new Uint8Array(0);
  const changed = newer.map((byte, i) => (i === newer.length - 1 ? byte ^ 1 : byte));
  const HANDED = {
    'an older one': older,
    none: undefined,
    'a part of it': newer.subarray(1),
    'a changed one': changed,
  };
  const handed = HANDED[what];
  if (handed === undefined) around.storage.blobs.delete('classify');
  else around.storage.blobs.set('classify', handed);
  const gate = await restart();
  expect(await call(gate)).toEqual({ t: 'refused', refused: 'no-model', detail: code });
  expect(await modelOf(gate)).toEqual({ from: 'bob', sha256: null, withheld: code });
  expect(await call(gate)).toMatchObject({ refused: 'no-model' });
  // Told when it was opened, and not once for each call.
  const told = gate.lines.filter(({ accord }) => accord === 'unopened');
  expect(told).toEqual([{ accord: 'unopened', code, where: 'contribution.classify' }]);
  // The host finds it again: nobody has to contribute anything.
  around.storage.blobs.set('classify', newer);
  expect(await call(gate)).toMatchObject({ t: 'answer' });
});

test('a host that rolls its storage back does not bring an older one back', async () => {
  const first = await around.start({ credentials: ROLE });
  await contribute(first, testModel('older'));
  const [blobs, records] = [new Map(around.storage.blobs), new Map(around.storage.records)];
  await contribute(first, testModel('newer'));
  around.storage.blobs.clear();
  around.storage.records.clear();
  for (const [name, blob] of blobs) around.storage.blobs.set(name, blob);
  for (const [name, record] of records) around.storage.records.set(name, record);
  const gate = await restart();
  expect(await call(gate)).toEqual({ t: 'refused', refused: 'no-model', detail: 'state/record-missing' });
});

test('is not answered, and not in place, before it is written down', async () => {
  const gate = await around.start({ credentials: ROLE });
  const before = await contribute(gate, testModel('before'));
  const anchor = around.anchors.get('bob');
  if (anchor === undefined) throw new Error('no anchor');
  const whole = { ...anchor };
  Object.assign(anchor, { claim: () => Promise.reject(new Error('the store is away')) });
  const { blob, request } = await encryptModel(gate, testModel('after'));
  gate.host.blobs.set('classify', blob);
  const bob = await gate.peer('bob');
  expect(await bob.ask(request)).toMatchObject({ t: 'refused', refused: 'unavailable' });
  expect(await modelOf(gate)).toEqual({ from: 'bob', sha256: Buffer.from(before).toString('hex') });
  Object.assign(anchor, whole);
  expect(await bob.ask(request)).toMatchObject({ t: 'contributed' });
});
