/** The party's session against the real gate: its service, pipeline and NSM, over a real socket. */
import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { frameReader, writeFrame } from '../../../enclave/protocol/frame.ts';
import { localRootOf } from '../../../parties/attestation/verify.ts';
import type { FrameChannel } from '../../../parties/session/channel.ts';
import { fetchLiveDocument } from '../../../parties/session/live-attestation.ts';
import { openSession } from '../../../parties/session/session.ts';
import type { CallTerms, Session, SessionOptions } from '../../../parties/session/session.ts';
import { parseAttestation, verifyAttestation } from '../../../parties/attestation/verify.ts';
import { KEY_ARNS, START, newRequestId, startGate } from '../../enclave/harness.ts';
import type { TestGate } from '../../enclave/harness.ts';
import { CREDENTIALS, cutFailure, random } from './scripted-enclave.ts';

let gate: TestGate;
const terms: CallTerms = { input: { buckets: [4_096, 300_000, 600_000] }, release: { afterMs: 0 } };
beforeAll(async () => {
  gate = await startGate();
});
afterAll(() => gate.stop());

function overSocket(socket: Socket): FrameChannel {
  const reader = frameReader(socket);
  return {
    send: (body, signal) => writeFrame(socket, body, signal),
    async receive(signal) {
      const body = await reader.readFrame(signal);
      if (body === undefined) throw cutFailure();
      return body;
    },
    async close() {
      socket.destroy();
    },
  };
}

/** Notes the length of every body: outwards as it is, inwards negative. */
function counting(channel: FrameChannel, wire: number[]): FrameChannel {
  return {
    ...channel,
    async send(body, signal) {
      wire.push(body.length);
      await channel.send(body, signal);
    },
    async receive(signal) {
      const body = await channel.receive(signal);
      wire.push(-body.length);
      return body;
    },
  };
}

async function sessionOf(party: 'alice' | 'bob', changes: Partial<SessionOptions> = {}): Promise<Session> {
  const keyArn = KEY_ARNS[party];
  return openSession({
    channel: overSocket(await gate.connect()),
    party,
    keyArn,
    policyDigest: gate.policyDigest,
    expectation: await expected(),
    encryptChallenge: async (challenge, context) => gate.kms.encrypt(keyArn, challenge, context),
    credentials: async () => CREDENTIALS,
    random,
    now: () => new Date(START),
    timeouts: { greetMs: 10_000, authenticateMs: 10_000, answerMs: 10_000 },
    ...changes,
  });
}

async function expected(): Promise<SessionOptions['expectation']> {
  const pcrs = { 0: 'aa'.repeat(48), 1: 'bb'.repeat(48), 2: 'cc'.repeat(48) };
  const roots = [await localRootOf(gate.root)];
  return { roots, pcrs, policyDigest: gate.policyDigest, maxAgeMs: 60_000, skewMs: 60_000, allowDebug: false };
}

describe('against the real gate', () => {
  test('opens with one KMS request on each side', async () => {
    const before = gate.kms.requests.length;
    const session = await sessionOf('alice');
    expect(session.attestation.document.moduleId).not.toBe('');
    const status = await session.status();
    expect(status.t === 'status' && JSON.parse(status.status)).toMatchObject({ party: 'alice' });
    await session.close();
    expect(gate.kms.requests.length - before).toBe(1);
  });

  test('a call without a model is refused, in the session, and the session goes on', async () => {
    const session = await sessionOf('alice');
    const answer = await session.call('classify', new Uint8Array(32).fill(1), new Uint8Array(400_000), terms);
    expect(answer).toMatchObject({ t: 'refused', refused: 'no-model' });
    expect(await session.call('classify', new Uint8Array(32).fill(1), new Uint8Array(700_000), terms)).toMatchObject({
      t: 'refused',
    });
    expect(await session.status()).toMatchObject({ t: 'status' });
    await session.close();
  });

  test('on the wire, every input of one bucket and every name of a function looks the same, both ways', async () => {
    const wires: (readonly number[])[] = [];
    const calls = [
      ['classify', 300_001],
      ['classify', 600_000],
      ['f', 300_001],
      ['a'.repeat(63), 450_000],
    ] as const;
    for (const [name, bytes] of calls) {
      const wire: number[] = [];
      const session = await sessionOf('alice', { channel: counting(overSocket(await gate.connect()), wire) });
      const before = wire.length;
      expect(await session.call(name, newRequestId(), new Uint8Array(bytes).fill(1), terms)).toMatchObject({ t: 'refused' }); // prettier-ignore
      wires.push(wire.slice(before));
      await session.close();
    }
    // The call, three chunks, the answer.
    expect(wires[0]).toHaveLength(5);
    expect(wires).toEqual(calls.map(() => wires[0]));
  });

  test('a KMS that was never asked: refused', async () => {
    const forged = sessionOf('alice', { encryptChallenge: async (challenge) => new Uint8Array(challenge.length + 40) });
    await expect(forged).rejects.toMatchObject({ code: 'enclave/kms-refused', kind: 'refused' });
  });

  test('another party’s ciphertext under one’s own name: refused', async () => {
    const stolen = sessionOf('alice', {
      encryptChallenge: async (challenge, context) => gate.kms.encrypt(KEY_ARNS.bob, challenge, context),
    });
    await expect(stolen).rejects.toMatchObject({ code: 'enclave/kms-refused' });
  });

  test('a key that is in no policy: refused', async () => {
    const stranger = sessionOf('alice', { keyArn: KEY_ARNS.charlie });
    await expect(stranger).rejects.toMatchObject({ code: 'enclave/not-permitted' });
  });

  test('attests alone, without any KMS', async () => {
    const before = gate.kms.requests.length;
    const { bytes, expectation } = await fetchLiveDocument({
      channel: overSocket(await gate.connect()),
      expectation: await expected(),
      random,
      now: () => new Date(START),
    });
    const verified = await verifyAttestation(parseAttestation(bytes), expectation);
    expect(verified.notChecked).toEqual([]);
    expect(verified.root.kind).toBe('local');
    expect(gate.kms.requests.length).toBe(before);
  });
});
