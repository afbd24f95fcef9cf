/** An hour is as long as a party's word holds: renewed, lapsed, withdrawn. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Timers } from '../../../enclave/deadline.ts';
import type { KmsDecrypt } from '../../../enclave/kms/client.ts';
import type { TestGate } from '../harness.ts';
import { KEY_ARNS, newRequestId } from '../harness.ts';
import type { Peer } from '../peer.ts';
import { realTimers } from '../real-timers.ts';
import { kmsRefused, kmsUnavailable } from '../scripted-kms.ts';
import type { Surroundings } from './sealed.ts';
import { ROLE, THRESHOLD, surroundings } from './sealed.ts';

/** A busy machine takes its time. */
const soon = (get: () => unknown) => expect.poll(get, { timeout: 15_000 });

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

let around: Surroundings;
beforeEach(async () => {
  around = await surroundings();
});
afterEach(() => around.stop());

/** What waits for a minute or longer waits for the test; everything else for as long as it says. */
function minuteHand(): { readonly timers: Timers; readonly strike: () => void } {
  const waiting = new Set<() => void>();
  return {
    timers: (milliseconds, run) => {
      if (milliseconds !== MINUTE) return realTimers(milliseconds, run);
      waiting.add(run);
      return () => void waiting.delete(run);
    },
    strike() {
      const due = [...waiting];
      waiting.clear();
      for (const run of due) run();
    },
  };
}

interface Held {
  readonly gate: TestGate;
  /** So much time of the NSM passes, and the enclave looks at it. */
  readonly pass: (milliseconds: number) => void;
}

async function held(options: Parameters<Surroundings['start']>[0] = {}): Promise<Held> {
  const hand = minuteHand();
  const gate = await around.start({ timers: hand.timers, ...options });
  return {
    gate,
    pass(milliseconds) {
      gate.advance(milliseconds);
      hand.strike();
    },
  };
}

const stateOf = (gate: TestGate): string => gate.keyed.gate.opening.status().state;
const opened = (gate: TestGate): Promise<unknown> => soon(() => stateOf(gate)).toBe('open');
const count = async (peer: Peer): Promise<unknown> => {
  const answer = await peer.call('count', newRequestId(), new Uint8Array(1));
  return answer !== 'closed' && answer.t === 'answer' ? JSON.parse(answer.output).count : answer;
};
const ofState = ({ context }: KmsDecrypt): boolean => context['accord:purpose'] === 'state';
const asked = (): readonly string[] =>
  around.kms.requests.filter(ofState).map(({ context, credentials }) => `${context['accord:party']} ${credentials.accessKeyId}`); // prettier-ignore
/** KMS refuses what is asked for Bob's wrapped key. */
const withdraw = (error: Error, also: (request: KmsDecrypt) => boolean = () => true): void => {
  around.kms.script = async (request, reply) => {
    if (ofState(request) && request.keyArn === KEY_ARNS.bob && also(request)) throw error;
    return reply();
  };
};

test('is renewed before the hour is over, with the sessions’ credentials', async () => {
  const { gate, pass } = await held();
  const alice = await gate.peer('alice');
  await gate.peer('bob');
  await opened(gate);
  pass(50 * MINUTE);
  expect(asked()).toEqual([]);
  pass(6 * MINUTE);
  await soon(() => asked().toSorted()).toEqual(['alice AKIDEXAMPLE', 'bob AKIDEXAMPLE']);
  pass(30 * MINUTE);
  await opened(gate);
  // The session itself has lived its hour.
  expect(await count(alice)).toMatchObject({ refused: 'session-expired' });
});

test('is renewed with the host’s role where nobody is there, with credentials asked for anew', async () => {
  const { gate, pass } = await held({ credentials: { ...ROLE, expiresAt: ROLE.expiresAt - 23 * HOUR } });
  await opened(gate);
  gate.host.credentials = { ...ROLE, accessKeyId: 'AKIDLATER' };
  pass(61 * MINUTE);
  await soon(() => asked().toSorted()).toEqual(['alice AKIDLATER', 'bob AKIDLATER']);
  await opened(gate);
  expect(await count(await gate.peer('alice'))).toBe(1);
});

describe('lapses', () => {
  test('where nobody lends credentials, until the parties are there again', async () => {
    const { gate, pass } = await held();
    const first = [await gate.peer('alice'), await gate.peer('bob')];
    await opened(gate);
    for (const peer of first) peer.close();
    pass(61 * MINUTE);
    await soon(() => stateOf(gate)).toBe('lapsed');
    expect(gate.lines).toContainEqual({ accord: 'lapsed', parties: ['alice', 'bob'] });
    const alice = await gate.peer('alice');
    expect(await count(alice)).toEqual({
      t: 'refused',
      refused: 'lease-lapsed',
      detail: 'it waits for a session of bob',
    });
    expect(gate.ends).toEqual([]);
    await gate.peer('bob');
    await opened(gate);
    expect(await count(alice)).toBe(1);
  });

  test('where KMS does not answer in time, and goes on when it does', async () => {
    const { gate, pass } = await held({ credentials: ROLE });
    await opened(gate);
    withdraw(kmsUnavailable());
    pass(56 * MINUTE);
    await soon(() => asked()).toContain('bob AKIDROLE');
    await opened(gate);
    pass(5 * MINUTE);
    await soon(() => stateOf(gate)).toBe('lapsed');
    around.kms.script = (_, reply) => reply();
    pass(MINUTE);
    await opened(gate);
    expect(gate.ends).toEqual([]);
  });

  test.each(['ExpiredTokenException', 'UnrecognizedClientException', 'InvalidSignatureException'])(
    'and is not withdrawn, where the credentials are no good: %s',
    async (name) => {
      const { gate, pass } = await held({ credentials: ROLE });
      await opened(gate);
      withdraw(kmsRefused(name));
      pass(61 * MINUTE);
      await soon(() => stateOf(gate)).toBe('lapsed');
      expect(gate.ends).toEqual([]);
    },
  );

  test('a call is not answered in the minute before the enclave looks', async () => {
    const { gate } = await held();
    const [alice, bob] = [await gate.peer('alice'), await gate.peer('bob')];
    await opened(gate);
    bob.close();
    gate.advance(59 * MINUTE);
    expect(await count(alice)).toBe(1);
    const later = await gate.peer('alice');
    gate.advance(2 * MINUTE);
    expect(await count(later)).toMatchObject({ refused: 'lease-lapsed' });
  });
});

describe('a party withdraws its key: the enclave ends', () => {
  test.each(['AccessDeniedException', 'DisabledException', 'KMSInvalidStateException'])('%s', async (name) => {
    const { gate, pass } = await held();
    const alice = await gate.peer('alice');
    await gate.peer('bob');
    await opened(gate);
    withdraw(kmsRefused(name));
    pass(56 * MINUTE);
    await soon(() => gate.ends.map(({ code, kind }) => [code, kind])).toEqual([['lease/withdrawn', 'refused']]);
    expect(gate.lines).toContainEqual({ accord: 'withdrawn', party: 'bob' });
    // Whatever the end takes: nothing is served meanwhile.
    expect(await count(alice)).toMatchObject({ refused: 'state-refused' });
    expect(stateOf(gate)).toBe('refused');
  });

  test('as the host’s role finds, too, where it was permitted before', async () => {
    const { gate, pass } = await held({ credentials: ROLE });
    await opened(gate);
    withdraw(kmsRefused());
    pass(56 * MINUTE);
    await soon(() => gate.ends.map(({ code }) => code)).toEqual(['lease/withdrawn']);
  });

  test('which a role that was never permitted cannot say, unless the key itself is disabled', async () => {
    const { gate, pass } = await held();
    const peers = [await gate.peer('alice'), await gate.peer('bob')];
    await opened(gate);
    for (const peer of peers) peer.close();
    gate.host.credentials = ROLE;
    around.kms.script = (request, reply) =>
      request.credentials.accessKeyId === ROLE.accessKeyId ? Promise.reject(kmsRefused()) : reply();
    pass(56 * MINUTE);
    await soon(() => asked().toSorted()).toEqual(['alice AKIDROLE', 'bob AKIDROLE']);
    expect(gate.ends).toEqual([]);
    withdraw(kmsRefused('DisabledException'));
    pass(MINUTE);
    await soon(() => gate.ends.map(({ code }) => code)).toEqual(['lease/withdrawn']);
  });

  test('also one of those that a threshold could do without', async () => {
    around = await surroundings(THRESHOLD);
    const { gate, pass } = await held({ credentials: ROLE });
    await opened(gate);
    withdraw(kmsRefused());
    pass(56 * MINUTE);
    await soon(() => gate.ends.map(({ code }) => code)).toEqual(['lease/withdrawn']);
  });
});

test('a threshold goes on as long as enough of its parties are there', async () => {
  around = await surroundings(THRESHOLD);
  const { gate, pass } = await held();
  const [alice, bob, charlie] = await Promise.all(
    (['alice', 'bob', 'charlie'] as const).map((party) => gate.peer(party)),
  );
  await opened(gate);
  bob?.close();
  pass(56 * MINUTE);
  // Bob's too where the enclave has not yet seen him leave.
  await soon(() => new Set(asked().map((request) => request.split(' ')[0])).size).toBeGreaterThanOrEqual(2);
  pass(10 * MINUTE);
  await opened(gate);
  charlie?.close();
  alice?.close();
  // As long as their leaving is not noticed, their sessions' credentials renew it.
  await soon(() => {
    pass(HOUR);
    return stateOf(gate);
  }).toBe('lapsed');
});
