/** Calls through a whole gate: what is answered, what it costs, and that all of it looks alike from outside. */
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { RefusalCode } from '../../../enclave/protocol/refusal.ts';
import { LIMITS } from '../../../enclave/protocol/limits.ts';
import { MAX_COMPUTATIONS } from '../../../enclave/claims/given.ts';
import { contribute } from '../contribution.ts';
import type { TestGate } from '../harness.ts';
import { newRequestId, POLICY, startGate } from '../harness.ts';
import type { Peer } from '../peer.ts';
import { INPUTS, testModel } from '../scripted-computer.ts';

let gate: TestGate;
let alice: Peer;

const input = (first: number, length = 100): Uint8Array => {
  const bytes = new Uint8Array(randomBytes(length));
  bytes[0] = first;
  return bytes;
};
const refused = (code: RefusalCode): unknown => expect.objectContaining({ t: 'refused', refused: code });
const answered = (label: string): unknown => ({
  t: 'answer',
  output: JSON.stringify({ labels: [{ label, score: 0.5 }] }),
});
const left = async (peer: Peer): Promise<unknown> => {
  const answer = await peer.ask({ t: 'status' });
  if (answer === 'closed' || answer.t !== 'status') throw new Error(JSON.stringify(answer));
  return JSON.parse(answer.status).functions.classify.calls.left;
};

beforeEach(async () => {
  gate = await startGate();
  await contribute(gate, testModel('first'));
  alice = await gate.peer('alice');
});
afterEach(() => gate.stop());

describe('a party with three calls', () => {
  test('gets three answers, a free retry of each, and a refusal', async () => {
    const requests = [1, 2, 3].map((first) => ({ id: newRequestId(), bytes: input(first) }));
    for (const { id, bytes } of requests)
      expect(await alice.call('classify', id, bytes)).toMatchObject({ t: 'answer' });
    for (const { id, bytes } of requests)
      expect(await alice.call('classify', id, bytes)).toMatchObject({ t: 'answer' });
    expect(await alice.call('classify', newRequestId(), input(4))).toEqual(refused('quota-exceeded'));
    expect(await left(alice)).toBe(0);
  });

  test('gets the same answer again in another session', async () => {
    const [id, bytes] = [newRequestId(), input(INPUTS.plain)];
    const first = await alice.call('classify', id, bytes);
    alice.close();
    const again = await gate.peer('alice');
    expect(await again.call('classify', id, bytes)).toEqual(first);
    expect(await left(again)).toBe(2);
  });

  test('may not use a request id for another input', async () => {
    const id = newRequestId();
    await alice.call('classify', id, input(1));
    expect(await alice.call('classify', id, input(1))).toEqual(refused('request-reused'));
    expect(await left(alice)).toBe(2);
  });

  test('is given what was computed once, whatever became of the model, and nothing is computed again', async () => {
    const [id, bytes] = [newRequestId(), input(1)];
    const first = await alice.call('classify', id, bytes);
    expect(await alice.call('classify', id, bytes)).toEqual(first);
    await contribute(gate, testModel('second'));
    expect(await alice.call('classify', id, bytes)).toEqual(first);
    expect(gate.computers.computed).toHaveLength(1);
    expect(await alice.call('classify', id, input(2))).toEqual(refused('request-reused'));
  });

  test('is told where the model changed under a request that has no answer yet', async () => {
    const [id, bytes] = [newRequestId(), input(INPUTS.crash)];
    await alice.call('classify', id, bytes);
    await contribute(gate, testModel('second'));
    expect(await alice.call('classify', id, bytes)).toEqual(refused('changed'));
    expect(await left(alice)).toBe(2);
    expect(await alice.call('classify', newRequestId(), input(1))).toMatchObject({ t: 'answer' });
  });

  test('keeps its tickets where the same model is contributed again', async () => {
    const [id, bytes] = [newRequestId(), input(1)];
    const first = await alice.call('classify', id, bytes);
    await contribute(gate, testModel('first'));
    expect(await alice.call('classify', id, bytes)).toEqual(first);
  });

  test('spends nothing of another party', async () => {
    for (const first of [1, 2, 3]) await alice.call('classify', newRequestId(), input(first));
    const bob = await gate.peer('bob');
    expect(await left(bob)).toBe(2);
    expect(await bob.call('classify', newRequestId(), input(1))).toMatchObject({ t: 'answer' });
  });
});

describe('what does not get an answer', () => {
  /** Refusals inside the jails: a call is spent. The same request may be asked again; where no other answer can come, it is kept. */
  test.each([
    ['unreadable', 'input-invalid', 'kept'],
    ['unfitting', 'output-invalid', 'kept'],
    ['crash', 'compute-failed', 'computed again'],
    ['hang', 'compute-timeout', 'computed again'],
    ['surprise', 'compute-failed', 'computed again'],
    ['broken', 'output-invalid', 'kept'],
  ] as const)('%s: %s, and it costs a call; asked again it is %s', async (kind, code, again) => {
    const [id, bytes] = [newRequestId(), input(INPUTS[kind])];
    expect(await alice.call('classify', id, bytes)).toEqual(refused(code));
    expect(await left(alice)).toBe(2);
    expect(await alice.call('classify', id, bytes)).toEqual(refused(code));
    expect(await left(alice)).toBe(2);
    expect(gate.computers.computed).toHaveLength(again === 'kept' ? 1 : 2);
    expect(await alice.call('classify', newRequestId(), input(1))).toEqual(answered('malignant'));
  });

  test.each([
    ['crash', 'compute-failed'],
    ['hang', 'compute-timeout'],
  ] as const)(
    '%s: computed again for free so often and no more, or each stop would be a bit of what a jail knows',
    async (kind, code) => {
      const [id, bytes] = [newRequestId(), input(INPUTS[kind])];
      const seen: unknown[] = [];
      for (let tries = 0; tries < MAX_COMPUTATIONS + 3; tries += 1) seen.push(await alice.call('classify', id, bytes));
      const last = {
        t: 'refused',
        refused: 'compute-failed',
        detail: `computed ${MAX_COMPUTATIONS} times; this enclave computes it no more`,
      };
      expect(seen.slice(0, MAX_COMPUTATIONS)).toEqual(Array.from({ length: MAX_COMPUTATIONS }, () => refused(code)));
      expect(seen.slice(MAX_COMPUTATIONS)).toEqual([last, last, last]);
      expect(gate.computers.computed).toHaveLength(MAX_COMPUTATIONS);
      expect(await left(alice)).toBe(2);
    },
  );

  test('words of a jail that has seen weights never reach the caller', async () => {
    const answer = await alice.call('classify', newRequestId(), input(INPUTS.crash));
    expect(answer).toEqual({ t: 'refused', refused: 'compute-failed' });
  });

  test.each([
    ['an empty input', 0, 'input-invalid'],
    ['one byte more than the policy allows', 600_001, 'input-too-large'],
    ['ten times as much', 6_000_000, 'input-too-large'],
  ] as const)('%s costs a call too', async (_, length, code) => {
    const [id, bytes] = [newRequestId(), new Uint8Array(length).fill(1)];
    expect(await alice.call('classify', id, bytes)).toEqual(refused(code));
    expect(await alice.call('classify', id, bytes)).toEqual(refused(code));
    expect(await left(alice)).toBe(2);
    expect(gate.computers.computed).toEqual([]);
  });

  test('exactly what the policy allows arrives whole, over several chunks', async () => {
    const bytes = input(1, 600_000);
    expect(bytes.length).toBeGreaterThan(2 * LIMITS.chunkBytes);
    expect(await alice.call('classify', newRequestId(), bytes)).toEqual(answered('malignant'));
    expect(gate.computers.computed.map(({ input }) => Buffer.compare(input, bytes))).toEqual([0]);
  });

  test.each(['detect', 'constructor', 'tostring'])('a function %s does not exist', async (name) => {
    expect(await alice.call(name, newRequestId(), input(1))).toEqual(refused('unknown-function'));
    expect(await left(alice)).toBe(3);
  });

  test('a party without calls may not call', async () => {
    await gate.stop();
    const { classify } = POLICY.functions;
    if (classify === undefined) throw new Error('unreachable');
    gate = await startGate({ policy: { ...POLICY, functions: { classify: { ...classify, calls: { bob: 2 } } } } });
    await contribute(gate, testModel('first'));
    alice = await gate.peer('alice');
    expect(await alice.call('classify', newRequestId(), input(1))).toEqual(refused('not-permitted'));
  });

  test('without a model nothing is spent', async () => {
    await gate.stop();
    gate = await startGate();
    alice = await gate.peer('alice');
    expect(await alice.call('classify', newRequestId(), input(1))).toEqual(refused('no-model'));
    expect(await left(alice)).toBe(3);
  });

  test('after the last day every call is refused, by the clock of the NSM', async () => {
    const until = Date.parse(`${POLICY.until}T00:00:00Z`) + 86_400_000;
    alice.close();
    gate.advance(until - 1_000 - Date.parse('2026-11-21T12:00:00Z'));
    alice = await gate.peer('alice');
    expect(await alice.call('classify', newRequestId(), input(1))).toMatchObject({ t: 'answer' });
    gate.advance(1_000);
    expect(await alice.call('classify', newRequestId(), input(1))).toEqual(refused('expired'));
    expect(await left(alice)).toBe(2);
  });

  test('a session older than an hour is over', async () => {
    gate.advance(LIMITS.sessionMs - 1);
    expect(await alice.call('classify', newRequestId(), input(1))).toMatchObject({ t: 'answer' });
    gate.advance(1);
    expect(await alice.call('classify', newRequestId(), input(1))).toEqual(refused('session-expired'));
    expect(await alice.ask({ t: 'status' })).toEqual(refused('session-expired'));
    expect(await left(await gate.peer('alice'))).toBe(2);
  });
});

describe('one call in flight for each party', () => {
  test('a second one is busy, another party’s is not, and the next one after it is served', async () => {
    const held = alice.call('classify', newRequestId(), input(INPUTS.held));
    const second = await gate.peer('alice');
    const bob = await gate.peer('bob');
    await expect.poll(() => gate.computers.computed.length).toBe(1);
    expect(await second.call('classify', newRequestId(), input(1))).toEqual(refused('busy'));
    expect(await bob.call('classify', newRequestId(), input(1))).toMatchObject({ t: 'answer' });
    gate.computers.release();
    expect(await held).toMatchObject({ t: 'answer' });
    expect(await second.call('classify', newRequestId(), input(1))).toMatchObject({ t: 'answer' });
    expect(await left(second)).toBe(1);
  });

  test('a call whose caller is gone ends, and its answer is found again', async () => {
    const [id, bytes] = [newRequestId(), input(INPUTS.held)];
    void alice.call('classify', id, bytes);
    await expect.poll(() => gate.computers.computed.length).toBe(1);
    alice.close();
    gate.computers.release();
    const again = await gate.peer('alice');
    await expect.poll(async () => again.call('classify', id, bytes)).toMatchObject({ t: 'answer' });
    expect(gate.computers.computed).toHaveLength(1);
    expect(await left(again)).toBe(2);
  });

  test('an upload that stops midway frees the party’s slot with its connection', async () => {
    await alice.say({ t: 'call', function: 'classify', requestId: newRequestId(), inputBytes: 100, paddedBytes: 100 });
    const second = await gate.peer('alice');
    await expect.poll(async () => second.call('classify', newRequestId(), input(1))).toEqual(refused('busy'));
    alice.close();
    await expect.poll(async () => second.call('classify', newRequestId(), input(1))).toMatchObject({ t: 'answer' });
  });
});

test('a computer that takes the wrong turn is one refused call; the gate lives on', async () => {
  const bob = await gate.peer('bob');
  for (const kind of ['crash', 'surprise'] as const) {
    expect(await alice.call('classify', newRequestId(), input(INPUTS[kind]))).toMatchObject({ t: 'refused' });
    expect(await bob.call('classify', newRequestId(), input(1))).toMatchObject({ t: 'answer' });
  }
  expect(gate.lines.some(({ accord }) => accord === 'fault')).toBe(false);
});

test('every outcome of a call has one size on the wire', async () => {
  const before = alice.sizes.length;
  for (const first of [INPUTS.plain, INPUTS.unreadable, INPUTS.crash, INPUTS.plain]) {
    await alice.call('classify', newRequestId(), input(first));
  }
  await alice.call('classify', newRequestId(), new Uint8Array(700_000));
  await alice.call('classify', newRequestId(), new Uint8Array(0));
  await alice.call('detect', newRequestId(), input(1));
  const sizes = new Set(alice.sizes.slice(before));
  expect(sizes.size).toBe(1);
  // 1 KiB, the tag of AES-GCM, and the map around it.
  const [size = 0] = sizes;
  expect(size - (1024 + 16)).toBeLessThan(32);
});
