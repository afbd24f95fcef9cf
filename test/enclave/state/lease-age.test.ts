/** The hour counts from KMS's last word, not from the moment at which the state happened to be opened. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Peer } from '../peer.ts';
import { KEY_ARNS, newRequestId } from '../harness.ts';
import { kmsRefused } from '../scripted-kms.ts';
import type { Surroundings } from './sealed.ts';
import { surroundings } from './sealed.ts';

const HOUR = 3_600_000;
const soon = (get: () => unknown) => expect.poll(get, { timeout: 15_000 });

let around: Surroundings;
beforeEach(async () => {
  around = await surroundings();
});
afterEach(() => around.stop());

const count = async (peer: Peer): Promise<unknown> => {
  const answer = await peer.call('count', newRequestId(), new Uint8Array(1));
  return answer !== 'closed' && answer.t === 'answer' ? JSON.parse(answer.output).count : answer;
};

test.each(['first', 'later'])(
  'a party that withdrew before the others came, at the %s boot, is not counted in',
  async (boot) => {
    if (boot === 'later') {
      const before = await around.start();
      const [alice] = [await before.peer('alice'), await before.peer('bob')];
      expect(await count(alice)).toBe(1);
      await around.stop();
    }
    const gate = await around.start();
    const bob = await gate.peer('bob');
    await soon(() => gate.keyed.gate.opening.status().waitingFor).toEqual(['alice']);
    bob.close();
    around.kms.script = async (request, reply) => {
      if (request.keyArn === KEY_ARNS.bob) throw kmsRefused('DisabledException');
      return reply();
    };
    gate.advance(24 * HOUR);
    const alice = await gate.peer('alice');
    expect(await count(alice)).toMatchObject({ refused: 'lease-lapsed' });
    expect(gate.keyed.gate.opening.status()).toMatchObject({ state: 'lapsed', waitingFor: ['bob'] });
  },
);
