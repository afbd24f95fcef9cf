/** Against HMAC and HKDF of Node, put together from the words of `tag.ts` alone. */
import { createHmac } from 'node:crypto';
import { expect, test } from 'vitest';
import { createTagger, kinship } from '../../../enclave/claims/tag.ts';

const fill = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);
const hmac = (key: Uint8Array, ...parts: readonly Uint8Array[]): Buffer =>
  createHmac('sha256', key).update(Buffer.concat(parts)).digest();
/** HKDF-Expand (RFC 5869) with SHA-384, of which one block is more than a key. */
const derived = (stateKey: Uint8Array, purpose: string): Buffer =>
  createHmac('sha384', stateKey)
    .update(`accord/v1/tickets/${purpose}`)
    .update(Uint8Array.of(1))
    .digest()
    .subarray(0, 32);

const STATE_KEY = fill(1);
const NAME = 'tickets/d/classify/alice';
const CALL = { requestId: fill(2), inputDigest: fill(3), readsDigest: fill(4) };

test('a tag is two HMACs under keys of their own, bound to place and request; lots follow from it', async () => {
  const tagger = await createTagger(STATE_KEY);
  const tag = await tagger.tag(NAME, CALL);
  const place = Buffer.concat([Uint8Array.of(0, NAME.length), Buffer.from(NAME), CALL.requestId]);
  const half = (purpose: string, digest: Uint8Array): Buffer =>
    hmac(derived(STATE_KEY, purpose), place, digest).subarray(0, 16);
  expect(Buffer.from(tag.first)).toEqual(hmac(derived(STATE_KEY, 'request'), place));
  expect(Buffer.from(tag.second)).toEqual(
    Buffer.concat([half('input', CALL.inputDigest), half('reads', CALL.readsDigest)]),
  );
  expect(Buffer.from(await tagger.draw(tag))).toEqual(hmac(derived(STATE_KEY, 'draw'), tag.first));
});

test('who asks is told apart by request, input and what else is read', async () => {
  const tagger = await createTagger(STATE_KEY);
  const mine = await tagger.tag(NAME, CALL);
  const of = async (change: Partial<typeof CALL>, name = NAME): Promise<string> =>
    kinship(mine, await tagger.tag(name, { ...CALL, ...change }));
  expect(await of({})).toBe('same');
  expect(await of({ requestId: fill(9) })).toBe('other-request');
  expect(await of({}, `${NAME}2`)).toBe('other-request');
  expect(await of({ inputDigest: fill(9) })).toBe('other-input');
  expect(await of({ readsDigest: fill(9) })).toBe('other-context');
  expect(await of({ inputDigest: fill(9), readsDigest: fill(9) })).toBe('other-input');
  expect(kinship(mine, { ...mine, kind: 'version' })).toBe('other-request');
});
