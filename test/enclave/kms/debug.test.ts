/**
 * The whole path to an enclave in debug mode: attest, contribute, call, with the parties' own code and AWS in miniature.
 * A key whose policy pins an image never opens to it; a key for trials does, and serves for nothing else.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { modelContext } from '../../../enclave/protocol/context.ts';
import { frameReader, writeFrame } from '../../../enclave/protocol/frame.ts';
import { allowList } from '../../../orchestrator/relay/allow-list.ts';
import { createNotebook } from '../../../orchestrator/relay/observations.ts';
import { outboundService } from '../../../orchestrator/relay/outbound.ts';
import { localRootOf } from '../../../parties/attestation/verify.ts';
import { contributeModel, prepareModel } from '../../../parties/contribute/contribute.ts';
import type { Contribution } from '../../../parties/contribute/contribute.ts';
import type { Home } from '../../../parties/home.ts';
import type { FrameChannel } from '../../../parties/session/channel.ts';
import { pinnedExpectation } from '../../../parties/session/expectation.ts';
import { openSession } from '../../../parties/session/session.ts';
import type { CallTerms, Session } from '../../../parties/session/session.ts';
import { parseCanonicalPolicy, toCanonicalPolicy } from '../../../policies/canonical.ts';
import { KEY_ARNS, newRequestId, startGate } from '../harness.ts';
import type { TestGate } from '../harness.ts';
import { MANIFEST } from '../scripted-computer.ts';
import type { PartiesAws } from './parties-aws.ts';
import { startPartiesAws } from './parties-aws.ts';
import { kmsAsMain } from './as-main.ts';

const PINNED = { PCR0: 'aa'.repeat(48), PCR1: 'bb'.repeat(48), PCR2: 'cc'.repeat(48) };
const DEBUG = ['00', '00', '00'];

let parties: PartiesAws;
let gate: TestGate;
let folder: string;
beforeAll(async () => {
  parties = await startPartiesAws();
  await parties.forTrials();
  folder = await mkdtemp(join(tmpdir(), 'debug-'));
});
afterAll(async () => {
  await parties.close();
  await rm(folder, { recursive: true });
});

const start = async (pcrs: readonly string[]): Promise<TestGate> =>
  startGate({
    pcrs,
    policy: parties.policy,
    issuer: parties.aws.issuer,
    start: Date.now(),
    roots: [parties.aws.caDer],
    connectAws: kmsAsMain(),
    outbound: outboundService({
      allow: allowList(await toCanonicalPolicy(parties.policy)),
      localAws: () => Promise.resolve({ host: '127.0.0.1', port: parties.aws.port }),
      notebook: createNotebook(() => 0),
    }),
  });
beforeEach(async () => {
  gate = await start(DEBUG);
});
afterEach(() => gate.stop());

type Party = 'alice' | 'bob';

async function homeOf(party: Party): Promise<Home> {
  return {
    path: folder,
    config: {
      party,
      orchestrator: 'http://localhost',
      collaboration: 'c',
      keyArn: KEY_ARNS[party],
      enclaveRoleArn: 'arn:aws:iam::111122223333:role/accord-enclave',
    },
    pins: { policyDigest: gate.policyDigest, pcrs: PINNED, root: await localRootOf(gate.root) },
    policy: parseCanonicalPolicy(gate.policyText),
  };
}

async function channel(): Promise<FrameChannel> {
  const socket = await gate.connect();
  const reader = frameReader(socket);
  return {
    send: (body, signal) => writeFrame(socket, body, signal),
    async receive(signal) {
      const body = await reader.readFrame(signal);
      if (body === undefined) throw new Error('the enclave hung up');
      return body;
    },
    async close() {
      socket.destroy();
    },
  };
}

const TERMS: CallTerms = { input: { buckets: [4_096] }, release: { afterMs: 0 } };
const random = (bytes: number): Uint8Array => crypto.getRandomValues(new Uint8Array(bytes));

async function session(party: Party, allowDebug: boolean): Promise<Session> {
  const keyArn = KEY_ARNS[party];
  return openSession({
    channel: await channel(),
    party,
    keyArn,
    policyDigest: gate.policyDigest,
    expectation: pinnedExpectation(await homeOf(party), allowDebug),
    encryptChallenge: (challenge, context) => parties.encrypt(keyArn, challenge, context),
    credentials: () => parties.credentials(party),
    random,
    now: () => new Date(),
  });
}

async function contribute(testData: boolean): Promise<Contribution> {
  const policy = gate.policy.functions['classify'];
  if (policy === undefined || policy.uses === 'counter') throw new Error('unreachable');
  return contributeModel({
    home: await homeOf('bob'),
    functionName: 'classify',
    ...prepareModel(JSON.stringify(MANIFEST), new TextEncoder().encode('weights'), policy),
    coordinator: {
      async contribute(_, name, { content, bytes }) {
        const stored = new Uint8Array(await buffer(content));
        gate.host.blobs.set(name, stored);
        const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', stored));
        return { function: name, bytes, sha256: Buffer.from(digest).toString('hex') };
      },
    },
    dataKeys: { generate: (keyArn, context) => parties.dataKey(keyArn, context) },
    testData,
    openSession: () => session('bob', testData),
    random,
    onProgress: () => {},
  });
}

test('attest, contribute and call, with what is test data and keys that are for trials', async () => {
  await contribute(true);
  const alice = await session('alice', true);
  expect(alice.attestation).toMatchObject({
    debug: true,
    notChecked: ['PCR0', 'PCR1', 'PCR2'].map((what) => ({ what, why: expect.stringContaining('debug mode') })),
  });
  expect(await alice.call('classify', newRequestId(), Uint8Array.of(1), TERMS)).toMatchObject({ t: 'answer' });
  await alice.close();
});

test('who does not allow debug mode sends it nothing', async () => {
  const before = parties.decrypts();
  await expect(session('alice', false)).rejects.toMatchObject({
    code: 'attestation/debug',
    hint: expect.stringContaining('--test-data'),
  });
  await expect(session('bob', false)).rejects.toMatchObject({ code: 'attestation/debug' });
  expect(parties.decrypts()).toBe(before);
});

test('who allows it still has to be shown the pinned image, where there is one', async () => {
  await gate.stop();
  gate = await start(['ab', 'bb', 'cc']);
  await expect(session('alice', true)).rejects.toMatchObject({ code: 'attestation/pcr-mismatch' });
  await gate.stop();
  gate = await start(['aa', 'bb', 'cc']);
  const alice = await session('alice', true);
  expect(alice.attestation).toMatchObject({ debug: false, notChecked: [] });
  await alice.close();
});

test('a key for trials gives no data key for what is not marked, and opens nothing else', async () => {
  const context = modelContext({ policyDigest: gate.policyDigest, party: 'bob', function: 'classify' });
  const marked = modelContext({ policyDigest: gate.policyDigest, party: 'bob', function: 'classify', testData: true });
  await expect(contribute(false)).rejects.toMatchObject({ name: 'AccessDeniedException' });
  await expect(parties.dataKey(KEY_ARNS.bob, context)).rejects.toMatchObject({ name: 'AccessDeniedException' });
  await expect(parties.dataKey(KEY_ARNS.bob, marked)).resolves.toMatchObject({ plaintext: expect.any(Uint8Array) });
  await expect(parties.encrypt(KEY_ARNS.bob, new Uint8Array(32), marked)).rejects.toMatchObject({
    name: 'AccessDeniedException',
  });
});

test('a production enclave takes no test data', async () => {
  await gate.stop();
  gate = await start(['aa', 'bb', 'cc']);
  await expect(contribute(true)).rejects.toMatchObject({ refusal: { refused: 'not-permitted' } });
});

test('a key whose policy pins an image opens to no enclave in debug mode, and gives no data key for test data', async () => {
  await parties.pin(PINNED.PCR0);
  await expect(contribute(true)).rejects.toMatchObject({ name: 'AccessDeniedException' });
  await expect(session('alice', true)).rejects.toMatchObject({ code: 'enclave/kms-refused' });
});
