/** Calls that are written down in two parties' anchors: when an answer may leave, and what is found again. */
import { createHash, randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ticketsName } from '../../../enclave/claims/tickets.ts';
import type { Answer } from '../../../enclave/protocol/answer.ts';
import type { Status } from '../../../enclave/pipeline/status.ts';
import type { RefusalCode } from '../../../enclave/protocol/refusal.ts';
import { contribute } from '../contribution.ts';
import type { TestGate } from '../harness.ts';
import { newRequestId } from '../harness.ts';
import type { Peer } from '../peer.ts';
import { INPUTS, testModel } from '../scripted-computer.ts';
import type { Surroundings } from '../state/sealed.ts';
import { ROLE, surroundings } from '../state/sealed.ts';
import type { Door } from './door.ts';
import { createDoor } from './door.ts';

let around: Surroundings;
let first: Door;
let second: Door;
let gate: TestGate;
let alice: Peer;

const opened = (of: TestGate): Promise<unknown> =>
  expect.poll(() => of.keyed.gate.opening.status(), { timeout: 5_000 }).toMatchObject({ state: 'open' });
/** Another enclave of the same image: a restart, or a copy. */
const another = async (): Promise<TestGate> => {
  const started = await around.start({ credentials: ROLE });
  await opened(started);
  return started;
};
const input = (kind: number): Uint8Array => Uint8Array.of(kind, ...randomBytes(50));
const refused = (code: RefusalCode): unknown => expect.objectContaining({ t: 'refused', refused: code });
const answered = expect.objectContaining({ t: 'answer' });
const statusOf = async (peer: Peer): Promise<Status> => {
  const answer = await peer.ask({ t: 'status' });
  if (answer === 'closed' || answer.t !== 'status') throw new Error(JSON.stringify(answer));
  return JSON.parse(answer.status);
};
const left = async (peer: Peer): Promise<unknown> => (await statusOf(peer)).functions['classify']?.calls?.left;
/** What it has become by the next time that nothing is left to do. */
const soon = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 60));

beforeEach(async () => {
  around = await surroundings();
  first = createDoor('alice');
  second = createDoor('bob');
  around.anchors.set('alice', first.anchor);
  around.anchors.set('bob', second.anchor);
  gate = await another();
  await contribute(gate, testModel('first'));
  alice = await gate.peer('alice');
});
afterEach(() => around.stop());

describe('an answer', () => {
  test('is not computed before the first anchor holds the ticket', async () => {
    const go = first.holdUp();
    const call = alice.call('classify', newRequestId(), input(1));
    await soon();
    expect(gate.computers.computed).toEqual([]);
    expect(second.claimed).toBe(0);
    go();
    expect(await call).toEqual(answered);
  });

  test.each([
    ['plain', 'answer'],
    ['unreadable', 'refused'],
    ['crash', 'refused'],
  ] as const)('is computed meanwhile, and does not leave before the second holds it too: %s', async (kind, t) => {
    const go = second.holdUp();
    let heard = false;
    const call = alice.call('classify', newRequestId(), input(INPUTS[kind])).finally(() => (heard = true));
    await expect.poll(() => gate.computers.computed.length).toBe(1);
    await soon();
    expect(heard).toBe(false);
    go();
    expect(await call).toMatchObject({ t });
  });

  test('to an input that no jail sees waits as well', async () => {
    const go = second.holdUp();
    let heard = false;
    const call = alice.call('classify', newRequestId(), new Uint8Array(0)).finally(() => (heard = true));
    await expect.poll(() => first.claimed).toBe(1);
    await soon();
    expect(heard).toBe(false);
    go();
    expect(await call).toEqual(refused('input-invalid'));
    expect(gate.computers.computed).toEqual([]);
  });
});

describe('an anchor that is out of reach', () => {
  test('the first: refused, and nothing is spent', async () => {
    first.down = true;
    expect(await alice.call('classify', newRequestId(), input(1))).toEqual(refused('unavailable'));
    expect(gate.computers.computed).toEqual([]);
    expect((await statusOf(alice)).functions['classify']?.calls).toEqual({ quota: 3, used: null, left: null });
    first.down = false;
    expect(await left(alice)).toBe(3);
  });

  test('the second: refused, what was computed is given to nobody, and the same call finds its ticket again', async () => {
    const [id, bytes] = [newRequestId(), input(1)];
    second.down = true;
    for (let again = 0; again < 2; again += 1) {
      expect(await alice.call('classify', id, bytes)).toEqual(refused('unavailable'));
    }
    second.down = false;
    expect(await alice.call('classify', id, bytes)).toEqual(answered);
    expect(await left(alice)).toBe(2);
  });

  test('says whose it is, and every outcome has one size on the wire', async () => {
    const before = alice.sizes.length;
    expect(await alice.call('classify', newRequestId(), input(1))).toEqual(answered);
    second.down = true;
    const told = await alice.call('classify', newRequestId(), input(1));
    expect(told).toEqual({ t: 'refused', refused: 'unavailable', detail: "bob's anchor does not answer" });
    expect(new Set(alice.sizes.slice(before)).size).toBe(1);
  });
});

describe('a restart, and a copy', () => {
  test('spent stays spent, and an answer is found again for nothing', async () => {
    const calls = [1, 2, 3].map((kind) => ({ id: newRequestId(), bytes: input(kind) }));
    const answers: (Answer | 'closed')[] = [];
    for (const { id, bytes } of calls) answers.push(await alice.call('classify', id, bytes));
    await gate.stop();
    gate = await another();
    alice = await gate.peer('alice');
    expect(await left(alice)).toBe(0);
    expect(await alice.call('classify', newRequestId(), input(1))).toEqual(refused('quota-exceeded'));
    for (const [i, { id, bytes }] of calls.entries()) {
      expect(await alice.call('classify', id, bytes)).toEqual(answers[i]);
      expect(await alice.call('classify', id, input(9))).toEqual(refused('request-reused'));
    }
    expect(await left(alice)).toBe(0);
  });

  test('a call that was cut off by the end of its enclave is answered by the next', async () => {
    const [id, bytes] = [newRequestId(), input(1)];
    second.down = true;
    expect(await alice.call('classify', id, bytes)).toEqual(refused('unavailable'));
    await gate.stop();
    second.down = false;
    gate = await another();
    alice = await gate.peer('alice');
    expect(await left(alice)).toBe(2);
    expect(await alice.call('classify', id, bytes)).toEqual(answered);
    expect(await left(alice)).toBe(2);
  });

  test('two at once share one quota', async () => {
    const copy = await another();
    const there = await copy.peer('alice');
    const ids = Array.from({ length: 5 }, newRequestId);
    const told: (Answer | 'closed')[] = [];
    for (const [i, id] of ids.entries()) told.push(await (i % 2 === 0 ? alice : there).call('classify', id, input(1)));
    expect(told.filter((answer) => answer !== 'closed' && answer.t === 'answer')).toHaveLength(3);
    expect(told.slice(3)).toEqual([refused('quota-exceeded'), refused('quota-exceeded')]);
  });

  test('one call made at both costs one ticket, and has one answer', async () => {
    const there = await (await another()).peer('alice');
    const [id, bytes] = [newRequestId(), input(1)];
    const [here, elsewhere] = await Promise.all([alice, there].map((peer) => peer.call('classify', id, bytes)));
    expect(here).toEqual(answered);
    expect(elsewhere).toEqual(here);
    expect(await left(alice)).toBe(2);
  });

  test('two calls at once at both get a ticket each', async () => {
    const there = await (await another()).peer('alice');
    const told = await Promise.all([alice, there].map((peer) => peer.call('classify', newRequestId(), input(1))));
    expect(told).toEqual([answered, answered]);
    expect(await left(alice)).toBe(1);
  });
});

describe('what somebody else wrote into an anchor', () => {
  test('stops calls, is no spent call, and is told', async () => {
    const name = ticketsName(gate.policyDigest, { function: 'classify', party: 'alice' });
    await first.anchor.claim(name, 0, new Uint8Array(randomBytes(101)), new AbortController().signal);
    const told = await alice.call('classify', newRequestId(), input(1));
    expect(told).toEqual({ t: 'refused', refused: 'anchor-tampered', detail: "alice's anchor holds a foreign entry" });
    expect(gate.computers.computed).toEqual([]);
    const status = await statusOf(alice);
    expect(status.functions['classify']?.calls).toMatchObject({ used: 0 });
    expect(status.anchors.reports).toEqual([
      expect.stringContaining(`alice's anchor holds something that is no entry at ${name}/0`),
    ]);
  });
});

test('of very much that was found in anchors, status tells the first, and how much more there is', async () => {
  const tickets = gate.keyed.gate.opening.current()?.tickets;
  const reports = Array.from({ length: 100 }, (_, index) => `report ${index} ${'x'.repeat(4_000)}`);
  if (tickets === undefined) throw new Error('the state is not open');
  Object.defineProperty(tickets, 'reports', { get: () => reports });
  const { anchors } = await statusOf(alice);
  expect(anchors.reports).toHaveLength(33);
  expect(anchors.reports.at(-1)).toBe('and 68 more of the kind');
});

test('status names the anchors, their owners and the quorum', async () => {
  const { anchors, state } = await statusOf(alice);
  expect(anchors).toEqual({
    stores: [
      { owner: 'alice', kind: 's3' },
      { owner: 'bob', kind: 's3' },
    ],
    quorum: 2,
    meaning: expect.stringContaining('2 of 2'),
    reports: [],
  });
  expect(state).toEqual({ state: 'open', waitingFor: [] });
});

describe('what an owner reads in the own anchor', () => {
  test('is that a call was made, of which function and by whom, and nothing of what was asked or answered', async () => {
    const [id, bytes] = [newRequestId(), input(1)];
    const told = await alice.call('classify', id, bytes);
    const twice = await alice.call('classify', newRequestId(), bytes);
    await alice.call('count', newRequestId(), bytes);
    expect([told, twice]).toEqual([answered, answered]);
    const output = told !== 'closed' && told.t === 'answer' ? told.output : '';
    const { sha256 = '' } = (await statusOf(alice)).functions['classify']?.model ?? {};
    const digest = gate.policyDigest;
    const entries = [...first.written, ...second.written];
    expect(new Set(entries.map(({ name }) => name))).toEqual(
      new Set([
        `versions/${digest}/keys`,
        `versions/${digest}/contribution.classify`,
        `tickets/${digest}/classify/alice`,
        `tickets/${digest}/count/alice`,
        `versions/${digest}/function.count`,
      ]),
    );
    const secrets = [
      id,
      bytes,
      createHash('sha256').update(bytes).digest(),
      Buffer.from(output),
      Buffer.from(sha256 ?? '', 'hex'),
    ];
    for (const { entry } of entries) {
      expect(entry).toHaveLength(101);
      const hex = Buffer.from(entry).toString('hex');
      for (const secret of secrets) {
        expect(secret.length).toBeGreaterThan(8);
        for (let at = 0; at + 8 <= secret.length; at += 1)
          expect(hex).not.toContain(Buffer.from(secret.subarray(at, at + 8)).toString('hex'));
      }
    }
    // Two calls with one input have nothing in common but their kind.
    const tickets = first.written.filter(({ name }) => name === `tickets/${digest}/classify/alice`);
    const windows = tickets.map(({ entry }) => {
      const fields = Buffer.from(entry.subarray(5)).toString('hex');
      return Array.from({ length: fields.length / 2 - 3 }, (_, at) => fields.slice(2 * at, 2 * at + 8));
    });
    expect(windows).toHaveLength(2);
    expect(new Set(windows.flat()).size).toBe(windows.flat().length);
  });
});

describe('a function with state', () => {
  const count = async (peer: Peer, id: Uint8Array = newRequestId()): Promise<unknown> => {
    const answer = await peer.call('count', id, new Uint8Array(0));
    return answer !== 'closed' && answer.t === 'answer' ? JSON.parse(answer.output) : answer;
  };

  test('changes nothing before its ticket is held by all', async () => {
    const before = around.storage.records.size;
    second.down = true;
    const id = newRequestId();
    expect(await count(alice, id)).toEqual(refused('unavailable'));
    expect(around.storage.records.size).toBe(before);
    second.down = false;
    expect(await count(alice, id)).toMatchObject({ count: 1 });
    expect(around.storage.records.size).toBe(before + 1);
  });

  test('gives a retry the same answer, also after others were counted and after a restart', async () => {
    const id = newRequestId();
    const one = await count(alice, id);
    expect(one).toMatchObject({ count: 1 });
    expect(await count(alice)).toMatchObject({ count: 2 });
    await gate.stop();
    gate = await another();
    alice = await gate.peer('alice');
    expect(await count(alice, id)).toEqual(one);
    expect(await count(await gate.peer('bob'))).toMatchObject({ count: 3 });
  });

  test('at two copies at once, counts each call once', async () => {
    const there = await (await another()).peer('bob');
    const counted = await Promise.all([count(alice), count(there)]);
    expect(new Set(counted)).toEqual(new Set([1, 2].map((number) => expect.objectContaining({ count: number }))));
    expect(await count(alice)).toMatchObject({ count: 3 });
    expect(await count(there)).toMatchObject({ count: 4 });
  });

  test('does not answer from a record that the host rolled back', async () => {
    await count(alice);
    const old = new Map(around.storage.records);
    await count(alice);
    await gate.stop();
    around.storage.records.clear();
    for (const [name, record] of old) around.storage.records.set(name, record);
    gate = await another();
    alice = await gate.peer('alice');
    expect(await count(alice)).toEqual(refused('state-refused'));
  });
});
