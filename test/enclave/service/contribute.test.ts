/** Handing a model over: only its owner, only for this image, only the one that was named. */
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { concat } from '../../../enclave/encoding/bytes.ts';
import { encodeCbor } from '../../../enclave/encoding/cbor.ts';
import { toHex } from '../../../enclave/encoding/hex.ts';
import { modelFailure } from '../../../enclave/functions/model-refusal.ts';
import { modelContext } from '../../../enclave/protocol/context.ts';
import { writeFrame } from '../../../enclave/protocol/frame.ts';
import type { Answer } from '../../../enclave/protocol/answer.ts';
import { policyDigest } from '../../../policies/digest.ts';
import type { Contribution } from '../contribution.ts';
import { contribute, contributeRequest, encryptModel } from '../contribution.ts';
import type { TestGate } from '../harness.ts';
import { KEY_ARNS, newRequestId, POLICY, startGate } from '../harness.ts';
import type { Peer } from '../peer.ts';
import { INPUTS, testModel } from '../scripted-computer.ts';
import { kmsRefused, kmsUnavailable } from '../scripted-kms.ts';

let gate: TestGate;
let bob: Peer;
beforeEach(async () => {
  gate = await startGate();
  bob = await gate.peer('bob');
});
afterEach(() => gate.stop());

const MODEL = testModel('first');
const offer = ({ blob, request }: Contribution, peer: Peer = bob): Promise<Answer | 'closed'> => {
  gate.host.blobs.set('classify', blob);
  return peer.ask(request);
};
const placed = (): string | undefined => gate.keyed.gate.models.sha256('classify');

describe('the owner', () => {
  test('hands a model over and learns its hash', async () => {
    const answer = await offer(await encryptModel(gate, MODEL));
    expect(answer).toMatchObject({ t: 'contributed' });
    if (answer === 'closed' || answer.t !== 'contributed') throw new Error('unreachable');
    expect(toHex(answer.modelSha256)).toBe(placed());
    expect(gate.kms.requests.at(-1)).toMatchObject({
      keyArn: KEY_ARNS.bob,
      context: modelContext({ policyDigest: gate.policyDigest, party: 'bob', function: 'classify' }),
    });
  });

  test('replaces it: calls in flight end with the old one, which is closed after the last of them', async () => {
    await contribute(gate, MODEL);
    const old = placed();
    const alice = await gate.peer('alice');
    const held = alice.call('classify', newRequestId(), Uint8Array.of(INPUTS.held));
    await expect.poll(() => gate.computers.computed.length).toBe(1);
    await contribute(gate, testModel('second'));
    expect(placed()).not.toBe(old);
    expect(gate.computers.closed).toEqual([]);
    const other = await gate.peer('bob');
    await other.call('classify', newRequestId(), Uint8Array.of(1));
    gate.computers.release();
    expect(await held).toMatchObject({ t: 'answer' });
    expect(gate.computers.computed.map(({ model }) => model)).toEqual([old, placed()]);
    expect(gate.computers.closed).toEqual([old]);
  });

  test('may try again after a refusal, and the model in place stays', async () => {
    await contribute(gate, MODEL);
    const before = placed();
    gate.computers.refuse = modelFailure('model/custom-operator', 'an operator of com.example');
    expect(await offer(await encryptModel(gate, testModel('bad')))).toMatchObject({ refused: 'model-refused' });
    expect(placed()).toBe(before);
    gate.computers.refuse = undefined;
    expect(await offer(await encryptModel(gate, testModel('good')))).toMatchObject({ t: 'contributed' });
    expect(placed()).not.toBe(before);
  });
});

test('nobody but the owner', async () => {
  const alice = await gate.peer('alice');
  const before = gate.kms.requests.length;
  expect(await offer(await encryptModel(gate, MODEL), alice)).toMatchObject({ refused: 'not-permitted' });
  expect(gate.kms.requests).toHaveLength(before);
});

describe('what the host stored', () => {
  const TAMPERINGS: Readonly<Record<string, (blob: Uint8Array) => Uint8Array>> = {
    flipLastByte: (blob) => blob.map((byte, i) => (i === blob.length - 1 ? byte ^ 1 : byte)),
    flipHeaderByte: (blob) => blob.map((byte, i) => (i === 40 ? byte ^ 1 : byte)),
    cut: (blob) => blob.subarray(0, -1),
    extend: (blob) => concat(blob, Uint8Array.of(0)),
    random: (blob) => randomBytes(blob.length),
  };
  test.each(Object.entries(TAMPERINGS))('%s is not what was named', async (_, tamper) => {
    const { blob, request } = await encryptModel(gate, MODEL);
    expect(await offer({ blob: tamper(blob), request })).toMatchObject({ refused: 'contribution-mismatch' });
    expect(placed()).toBeUndefined();
  });

  test.each(Object.entries(TAMPERINGS))(
    '%s is no envelope of the owner, even where its hash is named',
    async (_, tamper) => {
      const { blob } = await encryptModel(gate, MODEL);
      const changed = tamper(blob);
      const answer = await offer({ blob: changed, request: contributeRequest(changed) });
      expect(answer).toMatchObject({
        t: 'refused',
        refused: expect.stringMatching(/^(contribution-mismatch|kms-refused)$/),
      });
      expect(placed()).toBeUndefined();
    },
  );

  test('an older contribution of the same owner is not taken for a newer one', async () => {
    const older = await encryptModel(gate, testModel('older'));
    const newer = await encryptModel(gate, testModel('newer'));
    expect(older.blob.length).toBe(newer.blob.length);
    expect(await offer({ blob: older.blob, request: newer.request })).toMatchObject({
      refused: 'contribution-mismatch',
    });
  });

  test('nothing', async () => {
    const { request } = await encryptModel(gate, MODEL);
    expect(await bob.ask(request)).toMatchObject({ refused: 'contribution-mismatch' });
  });

  const HOSTS: Readonly<Record<string, NonNullable<TestGate['host']['serveBlob']>>> = {
    'hangs up': (socket) => socket.destroy(),
    'answers with something else': (socket) => void writeFrame(socket, encodeCbor(new Map([['t', 'launch']]))),
    'announces another length': (socket, blob) =>
      void writeFrame(
        socket,
        encodeCbor(
          new Map<string, string | number>([
            ['t', 'blob'],
            ['bytes', 7],
          ]),
        ),
      ).then(() => socket.write(blob ?? '')),
    'announces more than any contribution has': (socket) =>
      void writeFrame(
        socket,
        encodeCbor(
          new Map<string, string | number>([
            ['t', 'blob'],
            ['bytes', 2 ** 40],
          ]),
        ),
      ),
    'stops in the middle': (socket, blob = new Uint8Array(0)) =>
      void writeFrame(
        socket,
        encodeCbor(
          new Map<string, string | number>([
            ['t', 'blob'],
            ['bytes', blob.length],
          ]),
        ),
      ).then(() => socket.end(blob.subarray(0, 100))),
  };
  test.each(Object.entries(HOSTS))('a host that %s is one refused contribution', async (what, serve) => {
    gate.host.serveBlob = serve;
    // What broke off may come whole another time.
    const refused = what === 'hangs up' || what === 'stops in the middle' ? 'unavailable' : 'contribution-mismatch';
    expect(await offer(await encryptModel(gate, MODEL))).toMatchObject({ refused });
    gate.host.serveBlob = undefined;
    expect(await offer(await encryptModel(gate, MODEL))).toMatchObject({ t: 'contributed' });
  });
});

describe('a ciphertext made for something else', () => {
  const context = (): Readonly<Record<string, string>> =>
    modelContext({ policyDigest: gate.policyDigest, party: 'bob', function: 'classify' });

  const CONTEXTS: Readonly<Record<string, () => Promise<Readonly<Record<string, string>>>>> = {
    'another policy': async () => ({ ...context(), 'accord:policy': await policyDigest('{}') }),
    'another party': async () => ({ ...context(), 'accord:party': 'charlie' }),
    'another purpose': async () => ({ ...context(), 'accord:purpose': 'input' }),
    'another function': async () => ({ ...context(), 'accord:function': 'detect' }),
    'more than that': async () => ({ ...context(), more: 'x' }),
    'less than that': async () => ({ 'accord:policy': gate.policyDigest }),
  };
  test.each(Object.entries(CONTEXTS))('%s: refused before KMS is asked', async (_, make) => {
    const before = gate.kms.requests.length;
    const offered = await encryptModel(gate, MODEL, { context: await make() });
    expect(await offer(offered)).toMatchObject({ refused: 'contribution-mismatch' });
    expect(gate.kms.requests).toHaveLength(before);
  });

  test.each(Object.entries(CONTEXTS))('%s, with a header that says otherwise: KMS refuses', async (_, make) => {
    const offered = await encryptModel(gate, MODEL, { context: await make(), header: { context: context() } });
    expect(await offer(offered)).toMatchObject({ refused: 'kms-refused' });
  });

  test('another key: refused before KMS is asked', async () => {
    const before = gate.kms.requests.length;
    const offered = await encryptModel(gate, MODEL, { header: { keyArn: KEY_ARNS.alice } });
    expect(await offer(offered)).toMatchObject({ refused: 'contribution-mismatch' });
    expect(gate.kms.requests).toHaveLength(before);
  });
});

describe('KMS', () => {
  test.each([
    ['refuses', 'kms-refused', kmsRefused],
    ['is not there', 'kms-unavailable', kmsUnavailable],
  ] as const)('%s: %s, and the session goes on', async (_, code, failure) => {
    gate.kms.script = () => Promise.reject(failure());
    expect(await offer(await encryptModel(gate, MODEL))).toMatchObject({ refused: code });
    gate.kms.script = (__, reply) => reply();
    expect(await offer(await encryptModel(gate, MODEL))).toMatchObject({ t: 'contributed' });
  });
});

describe('the model', () => {
  test.each([
    ['is no package', new TextEncoder().encode('not a package at all')],
    ['has no manifest', concat(Uint8Array.of(0, 0, 0, 2), new TextEncoder().encode('{}onnx'))],
  ])('%s: refused, with the reason', async (_, package_) => {
    const answer = await offer(await encryptModel(gate, package_));
    expect(answer).toMatchObject({ refused: 'model-refused', detail: expect.any(String) });
  });

  test('is not the one that the policy pins', async () => {
    await gate.stop();
    const { classify } = POLICY.functions;
    if (classify === undefined) throw new Error('unreachable');
    const pinned = { ...classify, model: { from: 'bob', sha256: 'ab'.repeat(32) } };
    gate = await startGate({ policy: { ...POLICY, functions: { classify: pinned } } });
    bob = await gate.peer('bob');
    expect(await offer(await encryptModel(gate, MODEL))).toMatchObject({ refused: 'contribution-mismatch' });
  });

  test('is not taken after the last day', async () => {
    bob.close();
    gate.advance(Date.parse('2027-07-01T00:00:00Z') - Date.parse('2026-11-21T12:00:00Z'));
    bob = await gate.peer('bob');
    expect(await offer(await encryptModel(gate, MODEL))).toMatchObject({ refused: 'expired' });
  });
});

describe('in debug mode', () => {
  beforeEach(async () => {
    await gate.stop();
    gate = await startGate({ pcrs: ['00', '00', '00'] });
    bob = await gate.peer('bob');
  });

  test('nothing without the mark is taken, before the host or KMS is asked', async () => {
    const before = gate.kms.requests.length;
    gate.host.serveBlob = () => expect.unreachable('the host was asked');
    expect(await bob.ask((await encryptModel(gate, MODEL)).request)).toMatchObject({
      refused: 'not-permitted',
      detail: expect.stringContaining('debug mode'),
    });
    expect(gate.kms.requests).toHaveLength(before);
    expect(placed()).toBeUndefined();
  });

  test('test data is taken, and can be called', async () => {
    expect(await offer(await encryptModel(gate, MODEL, { testData: true }))).toMatchObject({ t: 'contributed' });
    expect(gate.kms.requests.at(-1)?.context).toMatchObject({ 'accord:purpose': 'test-model' });
    const alice = await gate.peer('alice');
    expect(await alice.call('classify', newRequestId(), Uint8Array.of(1))).toMatchObject({ t: 'answer' });
    const status = await alice.ask({ t: 'status' });
    expect(status !== 'closed' && status.t === 'status' && JSON.parse(status.status)).toMatchObject({ debug: true });
  });

  test('a model is not passed off as test data: the mark is in what KMS binds, and in what the owner names', async () => {
    const before = gate.kms.requests.length;
    const real = await encryptModel(gate, MODEL);
    expect(await offer({ ...real, request: { ...real.request, testData: true } })).toMatchObject({
      refused: 'contribution-mismatch',
    });
    const context = modelContext({
      policyDigest: gate.policyDigest,
      party: 'bob',
      function: 'classify',
      testData: true,
    });
    const relabelled = await encryptModel(gate, MODEL, { header: { context } });
    expect(await offer({ ...relabelled, request: { ...relabelled.request, testData: true } })).toMatchObject({
      refused: 'kms-refused',
    });
    expect(gate.kms.requests).toHaveLength(before + 1);
    expect(placed()).toBeUndefined();
  });

  test('is what a zero PCR0 says, and nothing else', async () => {
    await gate.stop();
    gate = await startGate({ pcrs: ['aa', '00', '00'] });
    bob = await gate.peer('bob');
    expect(await offer(await encryptModel(gate, MODEL))).toMatchObject({ t: 'contributed' });
  });
});

test('outside of debug mode test data is not taken, so that no party calls a model that was meant for a trial', async () => {
  const before = gate.kms.requests.length;
  expect(await offer(await encryptModel(gate, MODEL, { testData: true }))).toMatchObject({
    refused: 'not-permitted',
    detail: 'this enclave does not run in debug mode: it takes no test data',
  });
  expect(gate.kms.requests).toHaveLength(before);
  expect(placed()).toBeUndefined();
});

test('one contribution of a party at a time', async () => {
  const { blob, request } = await encryptModel(gate, MODEL);
  gate.host.blobs.set('classify', blob);
  let go = (): void => {};
  const waiting = new Promise<void>((resolve) => (go = resolve));
  gate.kms.script = async (_, reply) => waiting.then(reply);
  const first = bob.ask(request);
  await expect.poll(() => gate.kms.requests.length).toBe(2);
  gate.kms.script = (_, reply) => reply();
  const other = await gate.peer('bob');
  expect(await other.ask(request)).toMatchObject({ refused: 'busy' });
  go();
  expect(await first).toMatchObject({ t: 'contributed' });
});

test('whatever becomes of it, the answer has one size', async () => {
  await offer(await encryptModel(gate, MODEL));
  await offer(await encryptModel(gate, new Uint8Array(10)));
  const alice = await gate.peer('alice');
  await offer(await encryptModel(gate, MODEL), alice);
  expect(new Set([...bob.sizes, ...alice.sizes]).size).toBe(1);
});
