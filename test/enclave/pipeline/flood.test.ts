/** A party that does all it can: as many sessions as it gets, inputs as large as they go, calls without end. */
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { MARGIN_MS } from '../../../enclave/pipeline/lateness.ts';
import { inputChunks } from '../../../enclave/protocol/request.ts';
import { contribute } from '../contribution.ts';
import type { TestGate } from '../harness.ts';
import { POLICY, newRequestId, startGate } from '../harness.ts';
import type { Peer } from '../peer.ts';
import { INPUTS, testModel } from '../scripted-computer.ts';
import type { Watch } from './timed-call.ts';
import { AFTER_MS, createWatch, follow, timed, until } from './timed-call.ts';

const SESSIONS = 24;
const LARGEST = 600_000;

let watch: Watch;
let gate: TestGate;
let bob: Peer;
let alices: readonly Peer[];

beforeEach(async () => {
  watch = createWatch();
  const { classify } = POLICY.functions;
  if (classify === undefined) throw new Error('unreachable');
  const policy = timed({ ...POLICY, functions: { classify: { ...classify, calls: { alice: 1_000, bob: 1_000 } } } });
  gate = await startGate({ policy, ...watch.options });
  watch.observe(gate);
  await contribute(gate, testModel('first'));
  bob = await gate.peer('bob');
  const peers: Peer[] = [];
  while (peers.length < SESSIONS) peers.push(await gate.peer('alice'));
  alices = peers;
});
afterEach(() => gate.stop());

const input = (): Uint8Array => Uint8Array.of(INPUTS.plain, ...randomBytes(50));

/** Begins a call and never ends its input. */
async function stopMidway(peer: Peer): Promise<void> {
  const whole = new Uint8Array(LARGEST);
  await peer.say({ t: 'call', function: 'classify', requestId: newRequestId(), inputBytes: LARGEST, paddedBytes: LARGEST }); // prettier-ignore
  const [first] = inputChunks(whole);
  if (first !== undefined) await peer.say(first);
}

test('changes neither time nor size of another party’s answer, and is refused at its own', async () => {
  const alone = await follow(watch, bob.call('classify', newRequestId(), input()));
  const [held, ...others] = alices;
  if (held === undefined) throw new Error('unreachable');
  const answers = [held.call('classify', newRequestId(), Uint8Array.of(INPUTS.held))];
  await expect.poll(() => gate.computers.computed.length).toBe(2);
  const busy = others.slice(0, SESSIONS / 2);
  for (const peer of busy) answers.push(peer.call('classify', newRequestId(), new Uint8Array(LARGEST).fill(1)));
  for (const peer of others.slice(SESSIONS / 2)) await stopMidway(peer);
  // Of each the moment of decision; those that are busy are that already.
  const waiting = 1 + busy.length;
  await expect.poll(() => watch.schedule.pending(), { timeout: 20_000 }).toBe(waiting);
  await expect.poll(() => watch.settled(), { timeout: 20_000 }).toBe(1 + busy.length);

  const arrival = watch.schedule.now();
  const before = watch.written.length;
  const call = bob.call('classify', newRequestId(), input());
  await expect.poll(() => watch.schedule.pending(), { timeout: 20_000 }).toBe(waiting + 1);
  await expect.poll(() => watch.settled(), { timeout: 20_000 }).toBe(1 + busy.length + 1);
  expect(gate.computers.computed).toHaveLength(3);
  expect(await until(watch, call)).toMatchObject({ t: 'answer' });
  // Bob's connection came after the one with which he contributed.
  const [answer, ...more] = watch.written.slice(before).filter(({ connection }) => connection === 1);
  expect(answer).toMatchObject({ at: arrival + AFTER_MS, bytes: alone.bytes });
  expect(answer?.at).toBe(arrival + alone.afterMs);
  expect(more).toEqual([]);

  const [hung, ...rest] = await until(watch, Promise.all(answers));
  expect(hung).toEqual({ t: 'refused', refused: 'compute-timeout' });
  expect(rest).toEqual(busy.map(() => ({ t: 'refused', refused: 'busy' })));
});

test.each([
  ['calls', (peer: Peer) => peer.call('classify', newRequestId(), input()), 2, 1],
  // Opened or sealed, and worked out.
  ['questions', (peer: Peer) => peer.ask({ t: 'status' }), 3, 2],
] as const)(
  'few pieces of its %s are worked on between two moments at which answers may leave',
  async (_, ask, pieces, atOnce) => {
    const { schedule } = gate.keyed.gate;
    const breaths: (() => void)[] = [];
    Object.assign(schedule, { breathe: () => new Promise<void>((resolve) => void breaths.push(resolve)) });
    const asking = [...alices.slice(0, 10), bob];
    const over = new AbortController();
    const answers = Promise.all(asking.map(ask)).finally(() => over.abort());
    let [most, all] = [0, 0];
    while (!over.signal.aborted) {
      await new Promise((resolve) => void setTimeout(resolve, 10));
      most = Math.max(most, breaths.length);
      all += breaths.length;
      breaths.splice(0).forEach((goOn) => goOn());
      if (watch.schedule.pending() === asking.length) await until(watch, answers);
    }
    await answers;
    // Of Alice's, and one of Bob's.
    expect(most).toBeLessThanOrEqual(atOnce + 1);
    expect(all).toBe(pieces * asking.length);
  },
);

test('asks for its answers to be sealed in its party’s turn, and for none to leave in one', async () => {
  const { schedule } = gate.keyed.gate;
  const asked: (readonly [dueIn: number, party: string | undefined])[] = [];
  const at = schedule.at.bind(schedule);
  Object.assign(schedule, {
    at: (time: number, run: () => void, party?: string) => {
      asked.push([time - schedule.now(), party]);
      at(time, run, party);
    },
  });
  const both = [...alices.slice(0, 1), bob];
  await until(watch, Promise.all(both.map((peer) => peer.call('classify', newRequestId(), input()))));
  const decisions = asked.filter(([dueIn]) => dueIn === AFTER_MS - MARGIN_MS);
  expect(new Set(decisions.map(([, party]) => party))).toEqual(new Set(['alice', 'bob']));
  expect(decisions).toHaveLength(2);
  expect(asked.filter(([, party]) => party === undefined)).toHaveLength(2);
  expect(asked).toHaveLength(4);
});
