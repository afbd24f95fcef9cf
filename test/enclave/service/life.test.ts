/** From boot to stop: what an enclave believes of what it is told, and what it says aloud. */
import { createHash } from 'node:crypto';
import { Duplex } from 'node:stream';
import { describe, expect, test } from 'vitest';
import type { Nsm } from '../../../enclave/attest/nsm.ts';
import { encodeCbor } from '../../../enclave/encoding/cbor.ts';
import type { World } from '../../../enclave/service.ts';
import { boot } from '../../../enclave/service.ts';
import { openTransport } from '../../../enclave/transport.ts';
import { Failure } from '../../../policies/failure.ts';
import { contribute } from '../contribution.ts';
import { KEY_ARNS, newRequestId, POLICY, startGate } from '../harness.ts';
import { realSchedule, realTimers } from '../real-timers.ts';
import { hungUp } from '../peer.ts';
import { plainInput, testModel } from '../scripted-computer.ts';

const failure = async (starting: Promise<{ stop(): Promise<void> }>): Promise<unknown> => {
  try {
    const gate = await starting;
    await gate.stop();
    return 'it started';
  } catch (error) {
    return error instanceof Failure ? error.code : error;
  }
};

describe('what it says aloud', () => {
  test('is three lines in its life, with nothing secret', async () => {
    const gate = await startGate();
    await contribute(gate, testModel('m'));
    const alice = await gate.peer('alice');
    await alice.call('classify', newRequestId(), plainInput());
    expect(gate.lines).toEqual([
      {
        accord: 'booted',
        policyDigest: gate.policyDigest,
        pcr0: 'aa'.repeat(48),
        debug: false,
        time: '2026-11-21T12:00:00.000Z',
      },
      { accord: 'keyed', parties: 2 },
      {
        accord: 'serving',
        port: 5000,
        confinement: { user: true, namespaces: true, seccomp: true, limits: true, cgroup: true },
      },
    ]);
    await gate.stop();
  });

  test('tells of debug mode', async () => {
    const gate = await startGate({ pcrs: ['00', '00', '00'] });
    expect(gate.lines[0]).toMatchObject({ accord: 'booted', debug: true });
    const alice = await gate.peer('alice');
    const answer = await alice.ask({ t: 'status' });
    if (answer === 'closed' || answer.t !== 'status') throw new Error('no status');
    expect(JSON.parse(answer.status)).toMatchObject({ debug: true });
    await gate.stop();
  });
});

describe('a policy that is not in its canonical bytes is none', () => {
  const nsm: Nsm = {
    attest: () => Promise.reject(new Error('not asked')),
    random: () => Promise.reject(new Error('not asked')),
    describePcr: () => Promise.reject(new Error('not asked')),
  };
  const nothing = (): never => {
    throw new Error('not asked');
  };
  const world: World = {
    nsm,
    vsock: { listen: nothing, dial: nothing },
    random: nothing,
    monotonic: () => 0,
    timers: realTimers,
    schedule: realSchedule(),
    makeRecipientKey: nothing,
    connectAws: nothing,
    startComputer: nothing,
    confinement: nothing,
    report: nothing,
    end: nothing,
  };
  test.each([
    ['white space', (text: string) => `${text} `],
    [
      'another order of keys',
      (text: string) => text.replace('{"anchors":"none",', '{').replace(/}$/, ',"anchors":"none"}'),
    ],
    ['a key twice', (text: string) => text.replace('{"anchors":"none",', '{"anchors":"none","anchors":"none",')],
    ['an unknown key', (text: string) => text.replace('{"anchors"', '{"aaa":1,"anchors"')],
    ['YAML', () => 'apiVersion: accord/v1\n'],
    ['nothing', () => ''],
    ['half of it', (text: string) => text.slice(0, text.length / 2)],
  ])('%s', async (_, tamper) => {
    const gate = await startGate();
    await gate.stop();
    await expect(boot(world, tamper(gate.policyText))).rejects.toMatchObject({ kind: 'malformed' });
  });
});

describe('key ARNs from the host', () => {
  const SAMPLES: Readonly<Record<string, readonly [readonly string[], string]>> = {
    'one is missing': [[KEY_ARNS.alice], 'launch/key-missing'],
    'one is of nobody': [[KEY_ARNS.alice, KEY_ARNS.bob, KEY_ARNS.charlie], 'launch/key-unknown'],
    'one is exchanged': [[KEY_ARNS.alice, KEY_ARNS.charlie], 'launch/key-unknown'],
    'one is of another Region': [
      [KEY_ARNS.alice, KEY_ARNS.bob.replace('eu-west-1', 'eu-west-2')],
      'launch/key-unknown',
    ],
    'one is no ARN': [[KEY_ARNS.alice, 'alias/bob'], 'launch/key-unknown'],
  };
  test.each(Object.entries(SAMPLES))('%s: it does not start', async (_, [keyArns, code]) => {
    expect(await failure(startGate({ keyArns }))).toBe(code);
  });

  test('the same one twice does no harm', async () => {
    expect(await failure(startGate({ keyArns: [KEY_ARNS.alice, KEY_ARNS.bob, KEY_ARNS.alice] }))).toBe('it started');
  });
});

test('a host that comes late is waited for', async () => {
  let attempts = 0;
  const gate = await startGate({
    world: (world) => ({
      ...world,
      vsock: {
        ...world.vsock,
        dial: (port, signal) => {
          attempts += 1;
          return attempts < 4
            ? Promise.reject(new Failure('environment', 'vsock/unreachable', 'not yet'))
            : world.vsock.dial(port, signal);
        },
      },
    }),
  });
  expect(attempts).toBe(4);
  await gate.stop();
});

test('a host that hangs up is asked again, one that answers something else is not', async () => {
  /** A connection that says so much as soon as it is asked, and ends. */
  const saying = (words: Uint8Array): Duplex => {
    let isSaid = false;
    return new Duplex({
      read: () => {},
      write(_chunk, _encoding, done) {
        if (!isSaid) {
          this.push(words);
          this.push(null);
        }
        isSaid = true;
        done();
      },
    });
  };
  const asked = async (words: Uint8Array): Promise<readonly [attempts: number, outcome: unknown]> => {
    let attempts = 0;
    const dial = (): Promise<Duplex> => {
      attempts += 1;
      return Promise.resolve(saying(words));
    };
    const outcome = await failure(
      startGate({
        timers: (milliseconds, run) => realTimers(milliseconds / 100, run),
        world: (world) => ({ ...world, vsock: { ...world.vsock, dial } }),
      }),
    );
    return [attempts, outcome];
  };
  expect(await asked(new Uint8Array(0))).toEqual([15, 'host/silent']);
  const other = encodeCbor(new Map([['t', 'absent']]));
  expect(await asked(Uint8Array.of(0, 0, 0, other.length, ...other))).toEqual([1, 'host/malformed']);
});

test('a host that never comes is not waited for without end', async () => {
  const never = Promise.resolve().then(() =>
    startGate({
      timers: (milliseconds, run) => realTimers(milliseconds / 100, run),
      world: (world) => ({
        ...world,
        vsock: {
          ...world.vsock,
          // As over vsock: a connection to nobody hangs.
          dial: (_, signal) =>
            new Promise((__, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true })),
        },
      }),
    }),
  );
  expect(await failure(never)).toBe('deadline/passed');
});

describe('randomness', () => {
  test('every draw mixes the module’s with the kernel’s', async () => {
    let fromModule = 0;
    let fromKernel = 0;
    const gate = await startGate({
      world: (world) => ({
        ...world,
        nsm: { ...world.nsm, random: (bytes) => ((fromModule += 1), world.nsm.random(bytes)) },
        random: (bytes) => ((fromKernel += 1), world.random(bytes)),
      }),
    });
    expect([fromModule, fromKernel]).toEqual([1, 1]);
    await gate.peer('alice');
    expect(fromModule).toBeGreaterThan(1);
    expect(fromKernel).toBe(fromModule);
    await gate.stop();
  });

  test('one constant source does not make two boots alike', async () => {
    const keys = new Set<string>();
    for (const constant of ['kernel', 'module'] as const) {
      for (let i = 0; i < 2; i += 1) {
        const gate = await startGate({
          world: (world) => ({
            ...world,
            nsm: {
              ...world.nsm,
              random: (n) => (constant === 'module' ? Promise.resolve(new Uint8Array(n)) : world.nsm.random(n)),
            },
            random: (n) => (constant === 'kernel' ? new Uint8Array(n) : world.random(n)),
          }),
        });
        const alice = await gate.peer('alice');
        keys.add(
          createHash('sha256')
            .update(alice.document.publicKey ?? '')
            .digest('hex'),
        );
        await gate.stop();
      }
    }
    expect(keys.size).toBe(4);
  });
});

test('stopping ends connections and computers, and takes no more', async () => {
  const gate = await startGate();
  await contribute(gate, testModel('m'));
  const alice = await gate.peer('alice');
  const silent = await gate.connect();
  await gate.stop();
  await hungUp(alice.socket);
  await hungUp(silent);
  expect(gate.computers.closed).toHaveLength(1);
  await expect(gate.connect()).rejects.toThrow();
});

test('two enclaves of one image do not open each other’s recordings', async () => {
  const [one, two] = [await startGate(), await startGate()];
  const alice = await one.peer('alice');
  const socket = await two.connect();
  for (const frame of alice.sent) socket.write(frame);
  await hungUp(socket);
  expect(two.kms.requests).toEqual([]);
  await one.stop();
  await two.stop();
});

describe('the measured transport line', () => {
  test('nitro is the device, and without it nothing: no socket of the folder stands in', async () => {
    await expect(openTransport('nitro\n', 'run', realTimers)).rejects.toMatchObject({ code: 'nsm/absent' });
  });
  test.each(['', 'local', 'local\r\n', 'local\nnitro\n', ' local\n', 'LOCAL\n', 'unix\n'])(
    '%j is unknown',
    async (line) => {
      await expect(openTransport(line, 'run', realTimers)).rejects.toMatchObject({ code: 'transport/unknown' });
    },
  );
});

test('status tells a party of its own calls, and of those made with its model', async () => {
  const gate = await startGate();
  await contribute(gate, testModel('m'));
  const [alice, bob] = [await gate.peer('alice'), await gate.peer('bob')];
  await alice.call('classify', newRequestId(), plainInput());
  const statusOf = async (peer: typeof alice): Promise<string> => {
    const answer = await peer.ask({ t: 'status' });
    if (answer === 'closed' || answer.t !== 'status') throw new Error('no status');
    return answer.status;
  };
  const ofAlice = await statusOf(alice);
  expect(await bob.call('classify', newRequestId(), plainInput())).toMatchObject({ t: 'answer' });
  expect(await statusOf(alice)).toBe(ofAlice);
  await alice.call('classify', newRequestId(), plainInput());
  // The owner of the model is told who called it, and how often.
  expect(JSON.parse(await statusOf(bob)).functions).toEqual({
    classify: {
      uses: 'image-classification',
      model: { from: 'bob', sha256: gate.keyed.gate.models.sha256('classify') },
      calls: { quota: 2, used: 1, left: 1 },
      callers: { alice: { quota: 3, used: 2, left: 1 } },
    },
  });
  expect(JSON.parse(await statusOf(alice))).toMatchObject({
    collaboration: POLICY.collaboration,
    policyDigest: gate.policyDigest,
    party: 'alice',
    time: '2026-11-21T12:00:00.000Z',
    until: POLICY.until,
    functions: { classify: { calls: { quota: 3, used: 2, left: 1 }, callers: null } },
    state: { state: 'none', waitingFor: [] },
    anchors: { stores: [], quorum: 0, reports: [], meaning: expect.stringContaining('restarting') },
    weakenings: expect.arrayContaining([expect.objectContaining({ code: 'local-trust' })]),
  });
  await gate.stop();
});
