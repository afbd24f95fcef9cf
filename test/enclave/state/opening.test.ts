/** How an enclave comes by its state: at first, after a restart, beside a copy, and what it does not take for it. */
import { afterEach, describe, expect, test } from 'vitest';
import type { TestGate } from '../harness.ts';
import { START } from '../harness.ts';
import type { Peer } from '../peer.ts';
import { kmsRefused, kmsUnavailable } from '../scripted-kms.ts';
import type { Surroundings } from './sealed.ts';
import { ROLE, SEALED, THRESHOLD, surroundings } from './sealed.ts';

const around: Surroundings[] = [];
const within = async (...policy: Parameters<typeof surroundings>): Promise<Surroundings> => {
  const made = await surroundings(...policy);
  around.push(made);
  return made;
};
afterEach(async () => {
  for (const one of around.splice(0)) await one.stop();
});

const opened = (gate: TestGate): Promise<unknown> =>
  expect.poll(() => gate.keyed.gate.opening.status(), { timeout: 5_000 }).toMatchObject({ state: 'open' });
const statusOf = (gate: TestGate): ReturnType<TestGate['keyed']['gate']['opening']['status']> =>
  gate.keyed.gate.opening.status();
const sessions = (gate: TestGate, ...parties: readonly ('alice' | 'bob' | 'charlie')[]): Promise<readonly Peer[]> =>
  Promise.all(parties.map((party) => gate.peer(party)));
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
    await expect.poll(() => statusOf(gate).waitingFor).toEqual(['bob']);
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
      await expect.poll(() => statusOf(gate).waitingFor).not.toContain(party);
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
    await expect.poll(() => kms.generates.length).toBe(2);
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
