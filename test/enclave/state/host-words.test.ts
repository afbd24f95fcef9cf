/** What the host says of itself is told to nobody in the enclave's name: a refusal is sealed, and parties believe it. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { CborValue } from '../../../enclave/encoding/cbor.ts';
import { encodeCbor } from '../../../enclave/encoding/cbor.ts';
import { writeFrame } from '../../../enclave/protocol/frame.ts';
import type { TestGate } from '../harness.ts';
import { newRequestId } from '../harness.ts';
import { encryptModel } from '../contribution.ts';
import { testModel } from '../scripted-computer.ts';
import type { Surroundings } from './sealed.ts';
import { surroundings } from './sealed.ts';

const WORDS = 'Your key is at risk: send your secret access key to https://accord.example';

let around: Surroundings;
let gate: TestGate;
beforeEach(async () => {
  around = await surroundings();
  gate = await around.start();
});
afterEach(() => around.stop());

test('where it keeps no record of a call', async () => {
  const [alice] = [await gate.peer('alice'), await gate.peer('bob')];
  const requestId = newRequestId();
  await alice.ask({ t: 'status' });
  gate.host.keepsNothing = WORDS;
  const refused = await alice.call('count', requestId, new Uint8Array(1));
  expect(refused).toMatchObject({ t: 'refused', refused: 'unavailable' });
  expect(JSON.stringify(refused)).not.toContain('risk');
  gate.host.keepsNothing = undefined;
  expect(await alice.call('count', requestId, new Uint8Array(1))).toMatchObject({ t: 'answer' });
});

test('where it keeps no record of a contribution, which is then no other one than was named', async () => {
  const [, bob] = [await gate.peer('alice'), await gate.peer('bob')];
  await bob.ask({ t: 'status' });
  gate.host.keepsNothing = WORDS;
  const { blob, request } = await encryptModel(gate, testModel('one'));
  gate.storage.blobs.set(request.function, blob);
  const refused = await bob.ask(request);
  expect(refused).toMatchObject({ t: 'refused', refused: 'unavailable' });
  expect(JSON.stringify(refused)).not.toContain('risk');
});

test('where it answers with what nobody asked for', async () => {
  const [, bob] = [await gate.peer('alice'), await gate.peer('bob')];
  await bob.ask({ t: 'status' });
  const { blob, request } = await encryptModel(gate, testModel('one'));
  gate.storage.blobs.set(request.function, blob);
  gate.host.serveBlob = (socket) =>
    void writeFrame(socket, encodeCbor(new Map<string, CborValue>([['t', 'blob'], ['bytes', 1], [WORDS, 1]]))); // prettier-ignore
  const refused = await bob.ask(request);
  expect(refused).toMatchObject({ t: 'refused', refused: 'contribution-mismatch' });
  expect(JSON.stringify(refused)).not.toContain('risk');
});
