/** Anchors that are slow, or away: the answer leaves at its time nevertheless, and what is under way goes on without it. */
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { contribute } from '../contribution.ts';
import type { TestGate } from '../harness.ts';
import { newRequestId } from '../harness.ts';
import type { Peer } from '../peer.ts';
import { INPUTS, testModel } from '../scripted-computer.ts';
import type { Surroundings } from '../state/sealed.ts';
import { ROLE, SEALED, surroundings } from '../state/sealed.ts';
import type { Door } from './door.ts';
import { createDoor } from './door.ts';
import type { Left, Watch } from './timed-call.ts';
import { AFTER_MS, createWatch, follow, timed } from './timed-call.ts';

/** Of these alone a claim waits: the gate opens its state meanwhile. */
const isTicket = (name: string): boolean => name.startsWith('tickets/');

let around: Surroundings;
let first: Door;
let second: Door;
let watch: Watch;
let gate: TestGate;
let alice: Peer;

const SIZES = { classify: 1_024 + 36, count: 512 + 36 } as const;
const input = (kind: number): Uint8Array => Uint8Array.of(kind, ...randomBytes(50));
const outcome = ({ answer }: Left): string => (answer.t === 'refused' ? answer.refused : answer.t);
const used = async (name: string): Promise<unknown> => {
  const peer = await gate.peer('alice');
  const answer = await peer.ask({ t: 'status' });
  if (answer === 'closed' || answer.t !== 'status') throw new Error(JSON.stringify(answer));
  peer.close();
  return JSON.parse(answer.status).functions[name]?.calls?.used;
};
const demandTimed = ({ afterMs, bytes }: Left, name: keyof typeof SIZES): void => {
  expect([afterMs, bytes]).toEqual([AFTER_MS, SIZES[name]]);
};

beforeEach(async () => {
  around = await surroundings(timed(SEALED));
  first = createDoor('alice', isTicket);
  second = createDoor('bob', isTicket);
  around.anchors.set('alice', first.anchor);
  around.anchors.set('bob', second.anchor);
  watch = createWatch();
  gate = await around.start({ credentials: ROLE, ...watch.options });
  watch.observe(gate);
  await expect.poll(() => gate.keyed.gate.opening.status(), { timeout: 5_000 }).toMatchObject({ state: 'open' });
  await contribute(gate, testModel('first'));
  alice = await gate.peer('alice');
});
afterEach(() => around.stop());

test('the first is slow: nothing is computed, the party is busy until the claim has ended, and the ticket is found again', async () => {
  const go = first.holdUp();
  const [id, bytes] = [newRequestId(), input(INPUTS.plain)];
  const late = await follow(watch, alice.call('classify', id, bytes), false);
  expect(outcome(late)).toBe('compute-timeout');
  demandTimed(late, 'classify');
  const busy = await follow(watch, alice.call('classify', id, bytes));
  expect(outcome(busy)).toBe('busy');
  demandTimed(busy, 'classify');
  go();
  await expect.poll(() => used('classify')).toBe(1);
  expect(gate.computers.killed).toEqual([]);
  const again = await follow(watch, alice.call('classify', id, bytes));
  expect(outcome(again)).toBe('answer');
  demandTimed(again, 'classify');
  expect(await used('classify')).toBe(1);
});

test('the second is slow: what was computed in time and is confirmed late is kept, and given to who asks again', async () => {
  const go = second.holdUp();
  const [id, bytes] = [newRequestId(), input(INPUTS.plain)];
  const late = await follow(watch, alice.call('classify', id, bytes), false);
  expect(outcome(late)).toBe('compute-timeout');
  demandTimed(late, 'classify');
  go();
  await expect.poll(async () => outcome(await follow(watch, alice.call('classify', id, bytes)))).toBe('answer');
  expect(gate.computers.computed).toHaveLength(1);
  expect(await used('classify')).toBe(1);
});

test('its session is closed meanwhile: the claim goes on, and another session finds the answer', async () => {
  const go = second.holdUp();
  const [id, bytes] = [newRequestId(), input(INPUTS.plain)];
  void alice.call('classify', id, bytes);
  await expect.poll(() => gate.computers.computed.length).toBe(1);
  alice.close();
  while (watch.schedule.pending() > 0) {
    watch.schedule.toNext();
    await new Promise((resolve) => void setTimeout(resolve, 20));
  }
  go();
  alice = await gate.peer('alice');
  await expect.poll(async () => outcome(await follow(watch, alice.call('classify', id, bytes)))).toBe('answer');
  expect(gate.computers.computed).toHaveLength(1);
});

test('a count that is confirmed late is counted once', async () => {
  const go = second.holdUp();
  const id = newRequestId();
  const late = await follow(watch, alice.call('count', id, new Uint8Array(0)), false);
  expect(outcome(late)).toBe('compute-timeout');
  demandTimed(late, 'count');
  go();
  await expect.poll(async () => outcome(await follow(watch, alice.call('count', id, new Uint8Array(0)))), { timeout: 10_000 }).toBe('answer'); // prettier-ignore
  const next = await follow(watch, alice.call('count', newRequestId(), new Uint8Array(0)));
  expect(next.answer.t === 'answer' && JSON.parse(next.answer.output).count).toBe(2);
  demandTimed(next, 'count');
});

test('one that is away longer than the call has time', async () => {
  first.down = true;
  const away = await follow(watch, alice.call('classify', newRequestId(), input(INPUTS.plain)), false);
  expect(outcome(away)).toBe('compute-timeout');
  demandTimed(away, 'classify');
});

test('an unknown function is answered in the largest size, at the longest time', async () => {
  const seen = await follow(watch, alice.call('nothing', newRequestId(), new Uint8Array(10)));
  expect(outcome(seen)).toBe('unknown-function');
  demandTimed(seen, 'classify');
});

test('an enclave that ends does not wait for the anchors', async () => {
  second.holdUp();
  void alice.call('classify', newRequestId(), input(INPUTS.plain));
  await expect.poll(() => gate.computers.computed.length).toBe(1);
  const start = performance.now();
  await around.stop();
  expect(performance.now() - start).toBeLessThan(10_000);
});
