/** What a test asks of gates whose state is sealed, and of those that speak to them. */
import { afterEach, expect } from 'vitest';
import type { OpeningStatus } from '../../../enclave/state/opening.ts';
import type { TestGate } from '../harness.ts';
import { newRequestId } from '../harness.ts';
import type { Peer } from '../peer.ts';
import type { PartyName, Surroundings } from './sealed.ts';
import { surroundings } from './sealed.ts';

/** A busy machine takes its time. */
export const soon = (get: () => unknown): ReturnType<typeof expect.poll> => expect.poll(get, { timeout: 15_000 });

const around: Surroundings[] = [];
/** Surroundings that end with the test. */
export const within = async (...policy: Parameters<typeof surroundings>): Promise<Surroundings> => {
  const made = await surroundings(...policy);
  around.push(made);
  return made;
};
afterEach(async () => {
  for (const one of around.splice(0)) await one.stop();
});

export const opened = (gate: TestGate): Promise<unknown> => soon(() => statusOf(gate)).toMatchObject({ state: 'open' });
export const statusOf = (gate: TestGate): OpeningStatus => gate.keyed.gate.opening.status();
export const sessions = (gate: TestGate, ...parties: readonly PartyName[]): Promise<readonly Peer[]> =>
  Promise.all(parties.map((party) => gate.peer(party)));
/** Codes of what did not open, in the order in which they were told. */
export const codesOf = (gate: TestGate): readonly string[] =>
  gate.lines.flatMap((line) => (line.accord === 'unopened' ? [line.code] : []));
/** Makes one call: what it counted, or the refusal. */
export const count = async (peer: Peer | undefined): Promise<unknown> => {
  const answer = await peer?.call('count', newRequestId(), new Uint8Array(1));
  return answer !== undefined && answer !== 'closed' && answer.t === 'answer'
    ? JSON.parse(answer.output).count
    : answer;
};
