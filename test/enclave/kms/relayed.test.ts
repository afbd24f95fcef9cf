/** The real client of KMS, through the real relay, against AWS in miniature with the parties' real key policies. */
import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodeCbor } from '../../../enclave/encoding/cbor.ts';
import { writeFrame } from '../../../enclave/protocol/frame.ts';
import { modelContext } from '../../../enclave/protocol/context.ts';
import { allowList } from '../../../orchestrator/relay/allow-list.ts';
import { createNotebook } from '../../../orchestrator/relay/observations.ts';
import { outboundService } from '../../../orchestrator/relay/outbound.ts';
import { toCanonicalPolicy } from '../../../policies/canonical.ts';
import { encryptModel } from '../contribution.ts';
import type { GateOptions, TestGate } from '../harness.ts';
import { KEY_ARNS, startGate } from '../harness.ts';
import type { Peer } from '../peer.ts';
import { testModel } from '../scripted-computer.ts';
import type { PartiesAws } from './parties-aws.ts';
import { startPartiesAws } from './parties-aws.ts';
import { kmsAsMain } from './as-main.ts';

const PCR0 = 'aa'.repeat(48);
let parties: PartiesAws;
let dials = 0;

beforeAll(async () => {
  parties = await startPartiesAws();
  await parties.pin(PCR0);
});
afterAll(() => parties.close());

async function relay(to: PartiesAws = parties): Promise<(connection: Socket) => void> {
  const service = outboundService({
    allow: allowList(await toCanonicalPolicy(parties.policy)),
    localAws: () => Promise.resolve({ host: '127.0.0.1', port: to.aws.port }),
    notebook: createNotebook(() => 0),
  });
  return (connection) => {
    dials += 1;
    service(connection);
  };
}

const start = async (options: GateOptions = {}): Promise<TestGate> =>
  startGate({
    policy: parties.policy,
    issuer: parties.aws.issuer,
    start: Date.now(),
    roots: [parties.aws.caDer],
    connectAws: kmsAsMain(),
    outbound: await relay(),
    ...options,
  });

const peerOf = async (gate: TestGate, party: 'alice' | 'bob', on: PartiesAws = parties): Promise<Peer> =>
  gate.peer(party, { encrypt: on.encrypt, credentials: await on.credentials(party) });

async function using<Result>(gate: TestGate, work: (gate: TestGate) => Promise<Result>): Promise<Result> {
  try {
    return await work(gate);
  } finally {
    await gate.stop();
  }
}

test('a session costs the enclave one KMS request, and the next one no new connection', async () => {
  await using(await start(), async (gate) => {
    const [before, dialled] = [parties.decrypts(), dials];
    expect((await peerOf(gate, 'alice')).first).toEqual({ t: 'authenticated', party: 'alice' });
    expect(parties.decrypts() - before).toBe(1);
    expect((await peerOf(gate, 'bob')).first).toEqual({ t: 'authenticated', party: 'bob' });
    expect(parties.decrypts() - before).toBe(2);
    expect(dials - dialled).toBe(1);
  });
});

test('a model whose data key only the enclave opens', async () => {
  await using(await start(), async (gate) => {
    const context = modelContext({ policyDigest: gate.policyDigest, party: 'bob', function: 'classify' });
    const { plaintext, ciphertext } = await parties.dataKey(KEY_ARNS.bob, context);
    await expect(parties.decrypt(KEY_ARNS.bob, ciphertext, context)).rejects.toMatchObject({
      name: 'AccessDeniedException',
    });
    const { blob, request } = await encryptModel(gate, testModel('m'), {
      header: { dataKey: ciphertext },
      dataKey: plaintext,
    });
    gate.host.blobs.set('classify', blob);
    expect(await (await peerOf(gate, 'bob')).ask(request)).toMatchObject({ t: 'contributed' });
  });
});

describe('KMS refuses', () => {
  test('another image', async () => {
    await using(await start({ pcrs: ['ab', 'bb', 'cc'] }), async (gate) => {
      expect((await peerOf(gate, 'alice')).first).toEqual({
        t: 'refused',
        refused: 'kms-refused',
        detail: 'AccessDeniedException',
      });
    });
  });

  test('another agreement in the same image', async () => {
    const policy = { ...parties.policy, until: '2027-12-31' };
    await using(await start({ policy }), async (gate) => {
      expect((await peerOf(gate, 'alice')).first).toMatchObject({ refused: 'kms-refused' });
    });
  });

  test('credentials that are for another key', async () => {
    await using(await start(), async (gate) => {
      const credentials = await parties.credentials('bob');
      const alice = await gate.peer('alice', { encrypt: parties.encrypt, credentials });
      expect(alice.first).toMatchObject({ refused: 'kms-refused' });
    });
  });

  test('credentials that are nobody’s', async () => {
    await using(await start(), async (gate) => {
      expect((await gate.peer('alice', { encrypt: parties.encrypt })).first).toMatchObject({ refused: 'kms-refused' });
    });
  });
});

describe('a host that comes between', () => {
  test('offers a root that the policy does not pin: the enclave does not start', async () => {
    const other = await startPartiesAws();
    await expect(start({ roots: [other.aws.caDer] })).rejects.toMatchObject({ code: 'tls/root-unknown' });
    await expect(start({ roots: [] })).rejects.toMatchObject({ code: 'tls/root-missing' });
    await other.close();
  });

  test('leads to a KMS of its own: nothing is sent there', async () => {
    const other = await startPartiesAws();
    await other.pin(PCR0);
    await using(await start({ outbound: await relay(other) }), async (gate) => {
      expect((await peerOf(gate, 'alice')).first).toMatchObject({ refused: 'kms-unavailable' });
      expect(other.decrypts()).toBe(0);
    });
    await other.close();
  });

  test('sets the machine’s clock: certificates are judged by the NSM’s', async () => {
    const start2030 = Date.parse('2030-01-01T00:00:00Z');
    await using(await start({ start: start2030 }), async (gate) => {
      expect((await peerOf(gate, 'alice')).first).toMatchObject({ refused: 'kms-unavailable' });
    });
  });

  const RELAYS: Readonly<Record<string, (connection: Socket) => void>> = {
    'hangs up at once': (connection) => connection.destroy(),
    'hangs up after the question': (connection) => connection.once('data', () => connection.destroy()),
    'answers with garbage': (connection) => connection.once('data', () => connection.write(new Uint8Array(64))),
    'refuses the dial': (connection) =>
      void writeFrame(connection, encodeCbor(new Map([['t', 'refused'], ['reason', 'not-allowed']]))), // prettier-ignore
  };
  test.each(Object.entries(RELAYS))('%s: KMS is unavailable, after a bounded number of attempts', async (_, handle) => {
    let attempts = 0;
    const outbound = (connection: Socket): void => {
      attempts += 1;
      handle(connection);
    };
    await using(await start({ outbound }), async (gate) => {
      expect((await peerOf(gate, 'alice')).first).toMatchObject({ refused: 'kms-unavailable' });
      expect(attempts).toBeGreaterThan(0);
      expect(attempts).toBeLessThanOrEqual(2);
    });
  });

  test('dies in the middle of a request: KMS is unavailable, and the next session finds it again', async () => {
    const honest = await relay();
    let dying = true;
    const outbound = (connection: Socket): void => {
      honest(connection);
      // More than a handshake, less than a request with its document: looking on must not take the bytes away.
      const watch = setInterval(() => {
        if (dying && connection.bytesRead > 2_000) connection.destroy();
      }, 1);
      connection.once('close', () => clearInterval(watch));
    };
    await using(await start({ outbound }), async (gate) => {
      expect((await peerOf(gate, 'alice')).first).toMatchObject({ refused: 'kms-unavailable' });
      dying = false;
      expect((await peerOf(gate, 'alice')).first).toEqual({ t: 'authenticated', party: 'alice' });
    });
  });
});

test('a machine whose clock is an hour wrong signs at the right time', async () => {
  const ahead = await startPartiesAws(() => Date.now() + 3_600_000);
  await ahead.pin(PCR0);
  const options = {
    policy: ahead.policy,
    issuer: ahead.aws.issuer,
    start: Date.now() + 3_600_000,
    roots: [ahead.aws.caDer],
    outbound: await relay(ahead),
  };
  await using(await start(options), async (gate) => {
    expect((await peerOf(gate, 'alice', ahead)).first).toMatchObject({ t: 'authenticated' });
  });
  await using(
    await start({ ...options, connectAws: kmsAsMain({ wallClock: () => Date.now() + 3_600_000 }) }),
    async (gate) => {
      // The other way round: were the offset not taken into account, the signature would be an hour old.
      expect((await peerOf(gate, 'alice', ahead)).first).toMatchObject({ t: 'refused' });
    },
  );
  await ahead.close();
});
