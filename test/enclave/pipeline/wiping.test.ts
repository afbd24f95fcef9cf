/** Nothing of an input stays in the gate, whatever becomes of its call. */
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { LIMITS } from '../../../enclave/protocol/limits.ts';
import { inputChunks } from '../../../enclave/protocol/request.ts';
import { contribute } from '../contribution.ts';
import type { TestGate } from '../harness.ts';
import { newRequestId, startGate } from '../harness.ts';
import type { Peer } from '../peer.ts';
import { INPUTS, testModel } from '../scripted-computer.ts';

/** The data of every chunk as the gate decoded it. */
const decoded = vi.hoisted(() => [] as Uint8Array[]);

vi.mock(import('../../../enclave/protocol/request.ts'), async (load) => {
  const original = await load();
  return {
    ...original,
    decodeRequest: (plaintext) => {
      const request = original.decodeRequest(plaintext);
      if (request.t === 'chunk') decoded.push(request.data);
      return request;
    },
  };
});

const LENGTH = LIMITS.chunkBytes + 5;
const input = (first: number): Uint8Array => {
  const bytes = new Uint8Array(randomBytes(LENGTH));
  bytes[0] = first;
  return bytes;
};

let gate: TestGate;
let alice: Peer;

beforeEach(async () => {
  gate = await startGate();
  await contribute(gate, testModel('first'));
  alice = await gate.peer('alice');
  decoded.length = 0;
});
afterEach(() => gate.stop());

const leftOver = (): readonly number[] =>
  decoded.map((data) => data.reduce((sum, byte) => sum + (byte === 0 ? 0 : 1), 0));

async function expectWiped(chunks: number): Promise<void> {
  expect(decoded).toHaveLength(chunks);
  await expect.poll(leftOver).toEqual(Array.from({ length: chunks }, () => 0));
}

test.each(['plain', 'crash', 'unreadable', 'surprise'] as const)('a call that was computed: %s', async (kind) => {
  await alice.call('classify', newRequestId(), input(INPUTS[kind]));
  await expectWiped(2);
});

test('a call that is answered from memory, and one under an id that was used', async () => {
  const [id, bytes] = [newRequestId(), input(INPUTS.plain)];
  const first = await alice.call('classify', id, bytes);
  expect(await alice.call('classify', id, bytes)).toEqual(first);
  await alice.call('classify', id, input(INPUTS.plain));
  await expectWiped(6);
});

test('a call for which none is left', async () => {
  for (let call = 0; call < 4; call += 1) await alice.call('classify', newRequestId(), input(INPUTS.plain));
  await expectWiped(8);
});

test('a call of a function that there is not', async () => {
  await alice.call('absent', newRequestId(), input(INPUTS.plain));
  await expectWiped(2);
});

test('an input that is larger than any function takes, and one that comes while another call is in flight', async () => {
  const large = new Uint8Array(600_001).fill(7);
  await alice.call('classify', newRequestId(), large);
  await expectWiped(Math.ceil(large.length / LIMITS.chunkBytes));
  decoded.length = 0;
  const other = await gate.peer('alice');
  const [one, two] = [alice, other].map((peer) => peer.call('classify', newRequestId(), input(INPUTS.plain)));
  const answers = await Promise.all([one, two]);
  expect(answers).toContainEqual(expect.objectContaining({ refused: 'busy' }));
  await expectWiped(4);
});

test('an upload that was broken off', async () => {
  const [first] = inputChunks(input(INPUTS.plain));
  if (first === undefined) throw new Error('no chunk');
  const requestId = newRequestId();
  await alice.say({ t: 'call', function: 'classify', requestId, inputBytes: LENGTH, paddedBytes: LENGTH });
  await alice.say(first);
  await expect.poll(() => decoded.length).toBe(1);
  alice.close();
  await expectWiped(1);
});
