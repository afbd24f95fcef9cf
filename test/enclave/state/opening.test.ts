/** How an enclave comes by its state: at first, after a restart, beside a copy. */
import { describe, expect, test } from 'vitest';
import { createMemoryAnchor } from '../../../enclave/claims/memory-anchor.ts';
import type { TestGate } from '../harness.ts';
import { START } from '../harness.ts';
import { realTimers } from '../real-timers.ts';
import { kmsRefused } from '../scripted-kms.ts';
import { ROLE, THRESHOLD } from './sealed.ts';
import { codesOf, count, opened, sessions, soon, statusOf, within } from './sealed-gates.ts';

const linesOf = (gate: TestGate): readonly unknown[] =>
  gate.lines.filter(({ accord }) => !['booted', 'keyed', 'serving'].includes(accord));
const purposes = (requests: readonly { readonly context: Readonly<Record<string, string>> }[]): readonly string[] =>
  requests.map(({ context }) => `${context['accord:purpose']} ${context['accord:party']}`).toSorted();

describe('a first boot', () => {
  test('makes the keys once all parties have come, and not before', async () => {
    const { start, kms, storage } = await within();
    const gate = await start();
    expect(statusOf(gate)).toEqual({ state: 'waiting', waitingFor: ['alice', 'bob'] });
    await sessions(gate, 'alice');
    await soon(() => statusOf(gate).waitingFor).toEqual(['bob']);
    expect(storage.records.size).toBe(0);
    await sessions(gate, 'bob');
    await opened(gate);
    expect(purposes(kms.generates)).toEqual(['state alice', 'state bob']);
    expect(linesOf(gate)).toEqual([{ accord: 'opened', state: 'made' }]);
    expect(storage.keySet).toBeDefined();
    expect(
      gate.places.map(({ store, account, credential }) => [store.owner, account, credential?.accessKeyId]),
    ).toEqual([
      ['alice', '111122223333', 'AKIDANCHOR'],
      ['bob', '444455556666', 'AKIDANCHOR'],
    ]);
  });

  test('needs nobody at once: sessions one after the other do', async () => {
    const { start } = await within();
    const gate = await start();
    for (const party of ['alice', 'bob'] as const) {
      const peer = await gate.peer(party);
      await soon(() => statusOf(gate).waitingFor).not.toContain(party);
      peer.close();
    }
    await opened(gate);
  });

  test('needs nobody where the host has a role that the keys permit', async () => {
    const { start, kms } = await within();
    const gate = await start({ credentials: ROLE });
    await opened(gate);
    expect(kms.generates.map(({ credentials }) => credentials.accessKeyId)).toEqual(['AKIDROLE', 'AKIDROLE']);
  });

  test('a role that no key permits, or that has expired, says nothing', async () => {
    const { start, kms } = await within();
    kms.script = (request, reply) =>
      request.credentials.accessKeyId === 'AKIDROLE' ? Promise.reject(kmsRefused()) : reply();
    kms.scriptGenerate = (request, reply) =>
      request.credentials.accessKeyId === 'AKIDROLE' ? Promise.reject(kmsRefused()) : reply();
    const gate = await start({ credentials: ROLE });
    await soon(() => kms.generates.length).toBe(2);
    expect(statusOf(gate)).toEqual({ state: 'waiting', waitingFor: ['alice', 'bob'] });
    expect(linesOf(gate)).toEqual([]);
    const late = await start({ credentials: { ...ROLE, expiresAt: START } });
    await sessions(late, 'alice', 'bob');
    await opened(late);
    expect(kms.generates.filter(({ credentials }) => credentials.accessKeyId === 'AKIDROLE')).toHaveLength(2);
  });

  test('of two at once makes one set: the slower takes the faster one’s', async () => {
    const { start, storage, kms } = await within();
    const gates = [await start(), await start()];
    await Promise.all(gates.map((gate) => sessions(gate, 'alice', 'bob')));
    for (const gate of gates) await opened(gate);
    const made = gates.flatMap(linesOf);
    expect(made).toContainEqual({ accord: 'opened', state: 'made' });
    expect(made.length).toBe(2);
    expect(kms.generates.length).toBeLessThanOrEqual(4);
    expect(storage.keySet).toBeDefined();
  });
});

describe('a restart', () => {
  test('opens the same state, with one Decrypt a party and no further key', async () => {
    const { start, stop, kms } = await within();
    const first = await start();
    const [alice] = await sessions(first, 'alice', 'bob');
    await opened(first);
    expect(await count(alice)).toBe(1);
    await stop();
    const made = kms.generates.length;
    const before = kms.requests.length;
    const second = await start();
    const [again] = await sessions(second, 'alice', 'bob');
    await opened(second);
    expect(kms.generates).toHaveLength(made);
    expect(purposes(kms.requests.slice(before))).toEqual(
      ['alice', 'bob'].flatMap((party) => [`anchor ${party}`, `session ${party}`, `state ${party}`]).toSorted(),
    );
    expect(linesOf(second)).toEqual([{ accord: 'opened', state: 'restored' }]);
    expect(await count(again)).toBe(2);
  });

  test('does not mind that the host has forgotten which set was the newest', async () => {
    const { start, stop, storage, kms } = await within();
    await opened(await start({ credentials: ROLE }));
    await stop();
    storage.keySet = undefined;
    const second = await start({ credentials: ROLE });
    await opened(second);
    expect(linesOf(second)).toEqual([{ accord: 'opened', state: 'restored' }]);
    expect(kms.generates.length).toBeLessThanOrEqual(4);
  });

  test('finishes a claim that was half made', async () => {
    const { start, stop, anchors, kms } = await within();
    const bob = createMemoryAnchor('bob');
    anchors.set('bob', { ...bob, claim: () => Promise.reject(new Error('away')) });
    const first = await start({ credentials: ROLE });
    await soon(() => codesOf(first)).toContain('claim/unavailable');
    await stop();
    anchors.set('bob', bob);
    const made = kms.generates.length;
    const second = await start({ credentials: ROLE });
    await opened(second);
    expect(linesOf(second)).toEqual([{ accord: 'opened', state: 'restored' }]);
    expect(kms.generates.length - made).toBeLessThanOrEqual(2);
    await stop();
    const third = await start({ credentials: ROLE });
    await opened(third);
  });
});

describe('a threshold', () => {
  test('needs all to be made, and any so many to be opened', async () => {
    const { start, stop } = await within(THRESHOLD);
    const first = await start();
    await sessions(first, 'alice', 'charlie');
    await soon(() => statusOf(first).waitingFor).toEqual(['bob']);
    const [bob] = await sessions(first, 'bob');
    await opened(first);
    expect(await count(bob)).toBe(1);
    await stop();
    for (const pair of [
      ['alice', 'bob'],
      ['alice', 'charlie'],
      ['bob', 'charlie'],
    ] as const) {
      const gate = await start();
      await sessions(gate, pair[0]);
      await soon(() => statusOf(gate).state).toBe('waiting');
      await sessions(gate, pair[1]);
      await opened(gate);
      await stop();
    }
  });
});

describe('a call that comes early', () => {
  test('waits for an opening under way, and no session does', async () => {
    const { start, kms } = await within();
    let go = (): void => {};
    const held = new Promise<void>((resolve) => (go = resolve));
    kms.scriptGenerate = async (_, reply) => (await held, reply());
    const gate = await start();
    const [alice] = await sessions(gate, 'alice', 'bob');
    expect(alice?.first).toEqual({ t: 'authenticated', party: 'alice' });
    const answer = count(alice);
    expect(await Promise.race([answer, new Promise((resolve) => setTimeout(resolve, 300, 'waiting'))])).toBe('waiting');
    go();
    expect(await answer).toBe(1);
  });

  test('but not without end', async () => {
    const { start, kms } = await within();
    kms.scriptGenerate = () => new Promise(() => {});
    const gate = await start({
      timers: (milliseconds, run) => realTimers(milliseconds === 20_000 ? 300 : milliseconds, run),
    });
    const [alice] = await sessions(gate, 'alice', 'bob');
    expect(await count(alice)).toMatchObject({ refused: 'not-open' });
  });
});
