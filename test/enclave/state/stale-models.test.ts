/** A copy does not go on with a model that is not the newest any more, whatever the host does to what it asks. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Anchor } from '../../../enclave/claims/anchor.ts';
import { createMemoryAnchor } from '../../../enclave/claims/memory-anchor.ts';
import type { Timers } from '../../../enclave/deadline.ts';
import { encodeCbor } from '../../../enclave/encoding/cbor.ts';
import { writeFrame } from '../../../enclave/protocol/frame.ts';
import { Failure } from '../../../policies/failure.ts';
import { contribute } from '../contribution.ts';
import type { TestGate } from '../harness.ts';
import { newRequestId } from '../harness.ts';
import { realTimers } from '../real-timers.ts';
import { plainInput, testModel } from '../scripted-computer.ts';
import type { Surroundings } from './sealed.ts';
import { ROLE, surroundings } from './sealed.ts';

const KEEP_UP_MS = 300_000;
const soon = (get: () => unknown) => expect.poll(get, { timeout: 15_000 });

let around: Surroundings;
let one: TestGate;
beforeEach(async () => {
  around = await surroundings();
  one = await around.start({ credentials: ROLE });
});
afterEach(() => around.stop());

/** Looks after the others' models when the test says so. */
function onDemand(): { readonly timers: Timers; readonly strike: () => void } {
  let waiting = (): void => {};
  const timers: Timers = (milliseconds, run) => {
    if (milliseconds !== KEEP_UP_MS) return realTimers(milliseconds, run);
    waiting = run;
    return () => {};
  };
  return { timers, strike: () => waiting() };
}

const call = async (gate: TestGate): Promise<unknown> => {
  const alice = await gate.peer('alice');
  const answer = await alice.call('classify', newRequestId(), plainInput());
  alice.close();
  return answer;
};
const inPlace = (gate: TestGate): string | undefined => gate.keyed.gate.models.sha256('classify');

test('not while the host takes its time with the newer one', async () => {
  await contribute(one, testModel('older'));
  const { timers, strike } = onDemand();
  const two = await around.start({ credentials: ROLE, timers });
  expect(await call(two)).toMatchObject({ t: 'answer' });
  const older = inPlace(two);
  let asked = false;
  two.host.serveBlob = (socket, blob) => {
    asked = true;
    void writeFrame(socket, encodeCbor(new Map<string, string | number>([['t', 'blob'], ['bytes', blob?.length ?? 1]]))); // prettier-ignore
  };
  await contribute(one, testModel('newer'));
  strike();
  await soon(() => asked).toBe(true);
  expect(older).toBeDefined();
  expect(inPlace(two)).toBeUndefined();
});

test('not for longer than some minutes without knowing', async () => {
  await contribute(one, testModel('older'));
  const { timers, strike } = onDemand();
  let cut = false;
  let refused = 0;
  const withoutVersions = (store: Anchor): Anchor => ({
    ...store,
    async holder(name, ...rest) {
      if (!cut || !name.includes('/contribution.')) return store.holder(name, ...rest);
      refused += 1;
      throw new Failure('refused', 'anchor/refused', 'cut off');
    },
  });
  const anchors = new Map(
    ['alice', 'bob'].map((owner): [string, Anchor] => [
      owner,
      withoutVersions(around.anchors.get(owner) ?? createMemoryAnchor(owner)),
    ]),
  );
  const two = await around.start({ credentials: ROLE, timers, anchors });
  expect(await call(two)).toMatchObject({ t: 'answer' });
  await contribute(one, testModel('newer'));
  cut = true;
  strike();
  await soon(() => refused).toBeGreaterThan(0);
  expect(inPlace(two)).toBeDefined();
  two.advance(16 * 60_000);
  await soon(() => {
    strike();
    return inPlace(two);
  }).toBeUndefined();
  cut = false;
  expect(await call(two)).toMatchObject({ t: 'answer' });
  expect(inPlace(two)).toBe(inPlace(one));
});
