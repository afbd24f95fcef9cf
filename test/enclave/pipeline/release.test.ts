/** Whatever comes of a call, its answer leaves at its time and in its size. Time is moved by hand: nothing here is about. */
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Answer } from '../../../enclave/protocol/answer.ts';
import { LIMITS } from '../../../enclave/protocol/limits.ts';
import type { RefusalCode } from '../../../enclave/protocol/refusal.ts';
import { inputChunks } from '../../../enclave/protocol/request.ts';
import type { Policy } from '../../../policies/model.ts';
import { contribute } from '../contribution.ts';
import type { TestGate } from '../harness.ts';
import { POLICY, START, newRequestId, startGate } from '../harness.ts';
import type { Peer } from '../peer.ts';
import { INPUTS, createScriptedComputers, testModel } from '../scripted-computer.ts';
import type { Left, Watch } from './timed-call.ts';
import { AFTER_MS, createWatch, follow, timed, until } from './timed-call.ts';

let watch: Watch;
let gate: TestGate;
let alice: Peer;
const open: TestGate[] = [];

const input = (first: number, length = 100): Uint8Array => {
  const bytes = new Uint8Array(randomBytes(length));
  bytes[0] = first;
  return bytes;
};
const start = async (policy: Policy = timed(POLICY)): Promise<void> => {
  watch = createWatch();
  gate = await startGate({ policy, ...watch.options });
  watch.observe(gate);
  open.push(gate);
};
const left = async (peer: Peer): Promise<unknown> => {
  const answer = await peer.ask({ t: 'status' });
  if (answer === 'closed' || answer.t !== 'status') throw new Error(JSON.stringify(answer));
  return JSON.parse(answer.status).functions.classify.calls.left;
};
/** Whether another call of the party would not be refused as busy. */
const slotIsFree = (party: string): boolean => {
  const free = gate.keyed.gate.slots.enter(`call ${party}`);
  free?.();
  return free !== undefined;
};
const call = (first: number, id = newRequestId()): Promise<Answer | 'closed'> =>
  alice.call('classify', id, input(first));
const answered = async (bytes: Uint8Array, id = newRequestId(), settles = true): Promise<Left> =>
  follow(watch, alice.call('classify', id, bytes), settles);

beforeEach(async () => {
  await start();
  await contribute(gate, testModel('first'));
  alice = await gate.peer('alice');
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.stop()));
});

/** 1 KiB, the tag of AES-GCM, the map around it and the length in front. */
const FRAME_BYTES = 1_024 + 16 + 20;

interface Outcome {
  readonly t: 'answer' | RefusalCode;
  readonly call: () => Promise<Answer | 'closed'>;
  readonly settles?: false;
}

const OUTCOMES: Readonly<Record<string, Outcome>> = {
  'an answer': { t: 'answer', call: () => call(INPUTS.plain) },
  'an unreadable input': { t: 'input-invalid', call: () => call(INPUTS.unreadable) },
  'an output that fits nothing': { t: 'output-invalid', call: () => call(INPUTS.unfitting) },
  'an output that breaks its schema': { t: 'output-invalid', call: () => call(INPUTS.broken) },
  'a crash of the jail': { t: 'compute-failed', call: () => call(INPUTS.crash) },
  'a jail that is surprising': { t: 'compute-failed', call: () => call(INPUTS.surprise) },
  'a jail that was killed for its own limits': { t: 'compute-timeout', call: () => call(INPUTS.hang) },
  'a jail that hangs': { t: 'compute-timeout', call: () => call(INPUTS.held), settles: false },
  'an empty input': { t: 'input-invalid', call: () => alice.call('classify', newRequestId(), new Uint8Array(0)) },
  'an input in a size of its own': {
    t: 'input-invalid',
    call: () => alice.call('classify', newRequestId(), input(1), 5_000),
  },
  'an input that is too large': {
    t: 'input-too-large',
    call: () => alice.call('classify', newRequestId(), input(1, 600_001)),
  },
  'a function that does not exist': {
    t: 'unknown-function',
    call: () => alice.call('detect', newRequestId(), input(1)),
  },
  'a session that is over': {
    t: 'session-expired',
    call: () => {
      gate.advance(LIMITS.sessionMs);
      return call(1);
    },
  },
  'a fault of our own': {
    t: 'compute-failed',
    call: () => {
      Object.assign(gate.keyed.gate.models, {
        borrow: () => {
          throw new TypeError('a bug of ours');
        },
      });
      return call(1);
    },
  },
};

describe('leaves at its time, in its size', () => {
  test.each(Object.entries(OUTCOMES))('%s', async (_, { t, call: make, settles = true }) => {
    const { answer, afterMs, bytes } = await follow(watch, make(), settles);
    expect(answer.t === 'refused' ? answer.refused : answer.t).toBe(t);
    expect(afterMs).toBe(AFTER_MS);
    expect(bytes).toBe(FRAME_BYTES);
    // The session goes on, and the party's slot is free again.
    expect(await left(await gate.peer('alice'))).toBeDefined();
    await expect.poll(() => slotIsFree('alice')).toBe(true);
  });

  test('an answer that is given again, and what may not be asked', async () => {
    const [id, bytes] = [newRequestId(), input(1)];
    const seen = [await answered(bytes, id), await answered(bytes, id), await answered(input(1), id)];
    for (const first of [1, 2]) seen.push(await answered(input(first)));
    seen.push(await answered(input(3)));
    expect(seen.map(({ answer }) => (answer.t === 'refused' ? answer.refused : answer.t))).toEqual(['answer', 'answer', 'request-reused', 'answer', 'answer', 'quota-exceeded']); // prettier-ignore
    expect(new Set(seen.map(({ afterMs, bytes: size }) => `${afterMs} ${size}`)).size).toBe(1);
    expect(seen[1]?.answer).toEqual(seen[0]?.answer);
  });

  test('where there is no model, none that is meant, and no day left', async () => {
    await start();
    alice = await gate.peer('alice');
    const none = await answered(input(1));
    await contribute(gate, testModel('first'));
    const id = newRequestId();
    const bytes = input(INPUTS.crash);
    await answered(bytes, id);
    await contribute(gate, testModel('second'));
    const changed = await answered(bytes, id);
    alice.close();
    gate.advance(Date.parse(`${POLICY.until}T00:00:00Z`) + 86_400_000 - START - 1_000);
    alice = await gate.peer('alice');
    gate.advance(1_000);
    const seen = [none, changed, await answered(input(1))];
    expect(seen.map(({ answer }) => answer.t === 'refused' && answer.refused)).toEqual(['no-model', 'changed', 'expired']); // prettier-ignore
    expect(seen.every(({ afterMs, bytes: size }) => afterMs === AFTER_MS && size === FRAME_BYTES)).toBe(true);
  });

  test('while its model is being contributed, which takes longer; and the slot is free again', async () => {
    let load = (): void => {};
    const loading = new Promise<void>((resolve) => (load = resolve));
    let begin = (): void => {};
    const begun = new Promise<void>((resolve) => (begin = resolve));
    const { start: startComputer } = createScriptedComputers();
    watch = createWatch();
    gate = await startGate({
      policy: timed(POLICY),
      ...watch.options,
      startComputer(options) {
        begin();
        return loading.then(() => startComputer(options));
      },
    });
    watch.observe(gate);
    open.push(gate);
    alice = await gate.peer('alice');
    const contributed = contribute(gate, testModel('first'));
    await begun;
    const { answer, afterMs, bytes } = await follow(watch, call(1), false);
    expect([answer, afterMs, bytes]).toEqual([{ t: 'refused', refused: 'compute-timeout' }, AFTER_MS, FRAME_BYTES]);
    await expect.poll(() => slotIsFree('alice')).toBe(true);
    load();
    await contributed;
  });

  test('to a party that may not call', async () => {
    const { classify } = POLICY.functions;
    if (classify === undefined) throw new Error('unreachable');
    await start(timed({ ...POLICY, functions: { classify: { ...classify, calls: { bob: 2 } } } }));
    alice = await gate.peer('alice');
    const { answer, afterMs, bytes } = await answered(input(1));
    expect([answer, afterMs, bytes]).toEqual([{ t: 'refused', refused: 'not-permitted' }, AFTER_MS, FRAME_BYTES]);
  });

  test('a fault of our own is told, and costs nobody the session', async () => {
    Object.assign(gate.keyed.gate.models, {
      borrow: () => {
        throw new TypeError('a bug of ours');
      },
    });
    const { answer } = await answered(input(1));
    expect(answer).toEqual({ t: 'refused', refused: 'compute-failed' });
    expect(gate.lines.filter(({ accord }) => accord === 'fault')).toEqual([{ accord: 'fault', reason: 'TypeError' }]);
    expect(await alice.ask({ t: 'status' })).toMatchObject({ t: 'status' });
  });
});

describe('one that is busy', () => {
  test('leaves at a time of its own, and the call in flight at its own', async () => {
    const second = await gate.peer('alice');
    const held = call(INPUTS.held);
    await expect.poll(() => gate.computers.computed.length).toBe(1);
    const arrival = watch.schedule.now();
    const before = watch.written.length;
    const busy = second.call('classify', newRequestId(), input(1));
    // Of both the moment of decision.
    await expect.poll(() => watch.schedule.pending()).toBe(2);
    await expect.poll(() => watch.settled()).toBe(1);
    await until(watch, Promise.all([held, busy]));
    expect(await busy).toEqual({ t: 'refused', refused: 'busy' });
    expect(await held).toEqual({ t: 'refused', refused: 'compute-timeout' });
    expect(watch.written.slice(before)).toMatchObject(
      [1, 2].map(() => ({ at: arrival + AFTER_MS, bytes: FRAME_BYTES })),
    );
  });

  test('is one until the answer before it has left, however early that was there', async () => {
    const second = await gate.peer('alice');
    const first = call(INPUTS.plain);
    await expect.poll(() => watch.settled()).toBe(1);
    const busy = second.call('classify', newRequestId(), input(1));
    await expect.poll(() => watch.settled()).toBe(2);
    await until(watch, Promise.all([first, busy]));
    expect(await first).toMatchObject({ t: 'answer' });
    expect(await busy).toEqual({ t: 'refused', refused: 'busy' });
    expect((await answered(input(1))).answer).toMatchObject({ t: 'answer' });
  });
});

describe('a computation that is not done in time', () => {
  test('is killed as its refusal leaves, not before, and its ticket serves the same request again', async () => {
    const [id, bytes] = [newRequestId(), input(INPUTS.held)];
    const late = await follow(watch, alice.call('classify', id, bytes), false, async () => {
      await expect.poll(() => watch.schedule.pending()).toBe(1);
      expect(gate.computers.killed).toEqual([]);
    });
    await expect.poll(() => gate.computers.killed).toHaveLength(1);
    expect(late.answer).toEqual({ t: 'refused', refused: 'compute-timeout' });
    expect(await left(alice)).toBe(2);
    const again = alice.call('classify', id, bytes);
    await expect.poll(() => gate.computers.computed.length).toBe(2);
    gate.computers.release();
    expect((await follow(watch, again)).answer).toMatchObject({ t: 'answer' });
    expect(await left(alice)).toBe(2);
  });

  test('nor its session when its caller is gone: the slot is free when its time is over, not before', async () => {
    void call(INPUTS.plain);
    await expect.poll(() => watch.settled()).toBe(1);
    alice.close();
    alice = await gate.peer('alice');
    const busy = alice.call('classify', newRequestId(), input(1));
    await expect.poll(() => watch.settled()).toBe(2);
    expect(await until(watch, busy)).toEqual({ t: 'refused', refused: 'busy' });
    expect((await answered(input(1))).answer).toMatchObject({ t: 'answer' });
  });

  test('leaves with the answers where the gate was held up: none of them is sealed sooner than another', async () => {
    const bob = await gate.peer('bob');
    const held = call(INPUTS.held);
    await expect.poll(() => gate.computers.computed.length).toBe(1);
    const answered = bob.call('classify', newRequestId(), input(INPUTS.plain));
    await expect.poll(() => watch.settled()).toBe(1);
    const before = watch.written.length;
    watch.schedule.holdUp(AFTER_MS + 12);
    while (watch.schedule.pending() > 0) watch.schedule.toNext();
    expect(watch.written.length).toBe(before);
    expect(await answered).toMatchObject({ t: 'answer' });
    expect(await held).toEqual({ t: 'refused', refused: 'compute-timeout' });
    // At once: nobody waits any more.
    expect(watch.schedule.pending()).toBe(0);
    expect(new Set(watch.written.slice(before).map(({ at, bytes }) => `${at} ${bytes}`)).size).toBe(1);
  });

  test('does not keep the enclave from ending', async () => {
    void call(INPUTS.held);
    await expect.poll(() => gate.computers.computed.length).toBe(1);
    const [stopped] = open.splice(0);
    await stopped?.stop();
  });
});

test('where the policy gives it no time, an answer leaves when it is there', async () => {
  await start(POLICY);
  await contribute(gate, testModel('first'));
  alice = await gate.peer('alice');
  expect(await call(INPUTS.plain)).toMatchObject({ t: 'answer' });
  expect(watch.schedule.pending()).toBe(0);
});

test.each(['classify', 'nothing'])('nothing is asked of a function (%s) before the last byte is read', async (name) => {
  const { slots, terms } = gate.keyed.gate;
  const before = { slots: { ...slots }, terms: { ...terms } };
  let isTaken = false;
  let asked = 0;
  Object.assign(slots, {
    enter(what: string) {
      isTaken = true;
      return before.slots.enter(what);
    },
  });
  Object.assign(terms, {
    of(functionName: string) {
      asked += 1;
      return before.terms.of(functionName);
    },
  });
  const bytes = input(INPUTS.plain);
  await alice.say({
    t: 'call',
    function: name,
    requestId: newRequestId(),
    inputBytes: bytes.length,
    paddedBytes: 4_096,
  });
  await expect.poll(() => isTaken).toBe(true);
  expect(asked).toBe(0);
  const answer = follow(
    watch,
    (async () => {
      for (const chunk of inputChunks(bytes, 4_096)) await alice.say(chunk);
      return alice.hear();
    })(),
  );
  expect((await answer).answer).toMatchObject({ t: name === 'classify' ? 'answer' : 'refused' });
  expect(asked).toBeGreaterThan(0);
});
