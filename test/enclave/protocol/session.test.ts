import { describe, expect, test } from 'vitest';
import { expectSameBytes } from '../../same-bytes.ts';
import { concat } from '../../../enclave/encoding/bytes.ts';
import { EXPORT_LABELS, initiate, responder, sessionInfo } from '../../../enclave/protocol/session.ts';
import type { Responder, SealedChannel } from '../../../enclave/protocol/session.ts';

const random = (bytes: number): Uint8Array => crypto.getRandomValues(new Uint8Array(bytes));
const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const INFO = new Uint8Array(48).fill(5);

async function channels(): Promise<{ party: SealedChannel; enclave: SealedChannel; own: Responder }> {
  const own = await responder(random);
  const { enc, channel } = await initiate(own.publicKey, INFO, random);
  return { party: channel, enclave: await own.accept(enc, INFO), own };
}

const UNAUTHENTIC = { code: 'session/unauthentic', kind: 'refused' };
const POISONED = { code: 'session/poisoned', kind: 'refused' };
const ERASED = { code: 'session/erased', kind: 'refused' };

test('messages go both ways, in order, at any length', async () => {
  const { party, enclave } = await channels();
  for (const length of [0, 1, 1000, 262_144]) {
    const message = random(Math.min(length, 60_000));
    expectSameBytes(await enclave.open(await party.seal(message)), message);
    expectSameBytes(await party.open(await enclave.seal(message)), message);
  }
});

test('equal plaintexts never give equal ciphertexts, and a tag is all that is added', async () => {
  const { party, enclave } = await channels();
  const sealed = [
    await party.seal(text('same')),
    await party.seal(text('same')),
    await enclave.seal(text('same')),
    await enclave.seal(text('same')),
  ];
  expect(new Set(sealed.map((message) => message.join())).size).toBe(4);
  expect(sealed.map((message) => message.length)).toEqual([20, 20, 20, 20]);
});

test('many sealed at once still open in order', async () => {
  const { party, enclave } = await channels();
  const messages = Array.from({ length: 20 }, (_, i) => Uint8Array.of(i));
  for (const [from, to] of [[party, enclave] as const, [enclave, party] as const]) {
    const sealed = await Promise.all(messages.map((message) => from.seal(message)));
    expect(await Promise.all(sealed.map((message) => to.open(message)))).toEqual(messages);
  }
});

test('both sides export the same, another label gives another secret', async () => {
  const { party, enclave } = await channels();
  const challenge = await party.export(EXPORT_LABELS.challenge, 32);
  expect(await enclave.export(EXPORT_LABELS.challenge, 32)).toEqual(challenge);
  expect(await enclave.export(EXPORT_LABELS.answers, 32)).not.toEqual(challenge);
});

describe.each(['request', 'answer'] as const)('tampering with a %s', (direction) => {
  const ends = async (): Promise<{ from: SealedChannel; to: SealedChannel }> => {
    const { party, enclave } = await channels();
    return direction === 'request' ? { from: party, to: enclave } : { from: enclave, to: party };
  };

  const TAMPERINGS: Readonly<Record<string, (messages: readonly Uint8Array[]) => readonly Uint8Array[]>> = {
    replay: ([a, b]) => [a, a, b].filter((m) => m !== undefined),
    reorder: ([a, b, c]) => [b, a, c].filter((m) => m !== undefined),
    dropFirst: ([, b, c]) => [b, c].filter((m) => m !== undefined),
    dropMiddle: ([a, , c]) => [a, c].filter((m) => m !== undefined),
    cutTheTag: (messages) => messages.map((m) => m.subarray(0, -16)),
    cutOneByte: (messages) => messages.map((m) => m.subarray(0, -1)),
    extend: (messages) => messages.map((m) => concat(m, Uint8Array.of(0))),
    flipFirstByte: (messages) => messages.map((m) => m.map((byte, i) => (i === 0 ? byte ^ 1 : byte))),
    flipTagByte: (messages) => messages.map((m) => m.map((byte, i) => (i === m.length - 1 ? byte ^ 128 : byte))),
    empty: () => [new Uint8Array(0)],
  };

  test.each(Object.entries(TAMPERINGS))('%s: refused, and nothing after it is taken', async (_, tamper) => {
    const { from, to } = await ends();
    const honest = [await from.seal(text('a')), await from.seal(text('b')), await from.seal(text('c'))];
    const results = await Promise.allSettled(tamper(honest).map((message) => to.open(message)));
    const first = results.findIndex((result) => result.status === 'rejected');
    expect(first).toBeGreaterThanOrEqual(0);
    expect(results[first]).toMatchObject({ reason: UNAUTHENTIC });
    for (const later of results.slice(first + 1)) expect(later).toMatchObject({ reason: POISONED });
    // Poisoned in both directions, and for secrets too.
    await expect(to.seal(text('x'))).rejects.toMatchObject(POISONED);
    await expect(to.open(await from.seal(text('d')))).rejects.toMatchObject(POISONED);
    await expect(to.export('accord/v1/kms-challenge', 32)).rejects.toMatchObject(POISONED);
  });

  test('a message of the other direction, reflected', async () => {
    const { to } = await ends();
    await expect(to.open(await to.seal(text('mirror')))).rejects.toMatchObject(UNAUTHENTIC);
  });

  test('a message of another session', async () => {
    const { to } = await ends();
    const other = await ends();
    await expect(to.open(await other.from.seal(text('a')))).rejects.toMatchObject(UNAUTHENTIC);
  });
});

test('a forged message does not let a good one through that was under way', async () => {
  const { party, enclave } = await channels();
  const forged = (await enclave.seal(text('a'))).map((byte) => byte ^ 1);
  const good = await enclave.seal(text('b'));
  const [first, second] = await Promise.allSettled([party.open(forged), party.open(good)]);
  expect(first).toMatchObject({ reason: UNAUTHENTIC });
  expect(second).toMatchObject({ reason: POISONED });
});

describe('what binds a session', () => {
  test('hello and welcome, to the byte', async () => {
    const own = await responder(random);
    const { enc, channel } = await initiate(own.publicKey, await sessionInfo(text('hello'), text('welcome')), random);
    const enclave = await own.accept(enc, await sessionInfo(text('hello'), text('welcomf')));
    await expect(enclave.open(await channel.seal(text('a')))).rejects.toMatchObject(UNAUTHENTIC);
    expect(await enclave.open(await channel.seal(text('a'))).catch(() => 'no')).toBe('no');
  });

  test('a recording replayed to a new connection meets another key', async () => {
    const first = await responder(random);
    const { enc, channel } = await initiate(first.publicKey, INFO, random);
    const recorded = await channel.seal(text('authenticate'));
    const second = await responder(random);
    expect(second.publicKey).not.toEqual(first.publicKey);
    const enclave = await second.accept(enc, INFO);
    await expect(enclave.open(recorded)).rejects.toMatchObject(UNAUTHENTIC);
  });

  test('a key serves one connection', async () => {
    const own = await responder(random);
    const { enc } = await initiate(own.publicKey, INFO, random);
    await own.accept(enc, INFO);
    await expect(own.accept(enc, INFO)).rejects.toMatchObject({ code: 'session/used' });
  });
});

describe('erasing', () => {
  test('a responder: its key is gone, and so are its channel’s', async () => {
    const { party, enclave, own } = await channels();
    const message = await party.seal(text('late'));
    own.erase();
    await expect(enclave.open(message)).rejects.toMatchObject(ERASED);
    await expect(enclave.seal(text('x'))).rejects.toMatchObject(ERASED);
    await expect(enclave.export('x', 32)).rejects.toMatchObject(ERASED);
    await expect(own.accept(new Uint8Array(32).fill(9), INFO)).rejects.toMatchObject(ERASED);
  });

  test('before and while it accepts', async () => {
    const own = await responder(random);
    const { enc } = await initiate(own.publicKey, INFO, random);
    const accepting = own.accept(enc, INFO);
    own.erase();
    const enclave = await accepting;
    await expect(enclave.seal(text('x'))).rejects.toMatchObject(ERASED);
  });

  test('what was queued when the keys went is refused too', async () => {
    const { party, enclave } = await channels();
    const messages = [await party.seal(text('a')), await party.seal(text('b'))];
    const opening = messages.map((message) => enclave.open(message));
    enclave.erase();
    const results = await Promise.allSettled(opening);
    expect(results.at(-1)).toMatchObject({ status: 'rejected', reason: ERASED });
  });
});

test('what the caller changes afterwards changes nothing', async () => {
  const { party, enclave } = await channels();
  for (const [from, to] of [[party, enclave] as const, [enclave, party] as const]) {
    const message = text('as it was');
    const sealing = from.seal(message);
    message.fill(0);
    const sealed = await sealing;
    const opening = to.open(sealed);
    sealed.fill(0);
    expect(await opening).toEqual(text('as it was'));
  }
});
