/** A slow, silent or greedy peer holds its own place and nothing else. Time passes by hand here. */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { encodeFrame, encodeOuter } from '../../../enclave/protocol/frame.ts';
import { LIMITS } from '../../../enclave/protocol/limits.ts';
import { contribute } from '../contribution.ts';
import type { GateOptions, TestGate } from '../harness.ts';
import type { HandTimers } from '../hand-timers.ts';
import { createHandTimers } from '../hand-timers.ts';
import { newRequestId, startGate } from '../harness.ts';
import type { Peer } from '../peer.ts';
import { greet, hungUp } from '../peer.ts';
import { testModel } from '../scripted-computer.ts';
import { createScriptedKms } from '../scripted-kms.ts';

let gate: TestGate;
let hand: HandTimers;
beforeEach(async () => {
  hand = createHandTimers();
  gate = await startGate({ timers: hand.timers });
});
afterEach(() => gate.stop());

/** Until so many timers wait: each connection has one from its first moment. */
const waiting = (count: number): Promise<void> => expect.poll(() => hand.pending()).toBeGreaterThanOrEqual(count);
const FRAME_MS = 30_000;

const served = async (peer: Peer): Promise<boolean> => {
  const answer = await peer.ask({ t: 'status' }).catch(() => 'closed' as const);
  return answer !== 'closed' && answer.t === 'status';
};

describe('a connection that says', () => {
  test('nothing is closed', async () => {
    const socket = await gate.connect();
    await waiting(1);
    hand.elapse(LIMITS.handshakeMs - 1);
    const alice = await gate.peer('alice');
    hand.elapse(1);
    await hungUp(socket);
    expect(await served(alice)).toBe(true);
  });

  test('hello and no more is closed', async () => {
    const socket = await gate.connect();
    await greet(socket);
    hand.elapse(LIMITS.handshakeMs);
    await hungUp(socket);
  });

  test('a little now and then has one deadline for all of it', async () => {
    const socket = await gate.connect();
    const hello = encodeFrame(encodeOuter({ t: 'hello', v: 1, nonce: randomBytes(32) }));
    await waiting(1);
    for (let i = 0; i < 30; i += 1) {
      socket.write(hello.subarray(i, i + 1));
      await new Promise((resolve) => setImmediate(resolve));
      expect(socket.destroyed).toBe(false);
      hand.elapse(LIMITS.handshakeMs / 30);
    }
    await hungUp(socket);
  });

  /** A gate, and a party of it that has said who it is and is not answered yet. */
  async function unanswered(
    options: GateOptions,
  ): Promise<{ readonly slow: TestGate; readonly alice: Promise<Peer | Error> }> {
    const slow = await startGate({ timers: hand.timers, ...options });
    let isWelcome = false;
    const alice = slow
      .peer('alice', {
        encrypt: (...challenge) => {
          isWelcome = true;
          return slow.kms.encrypt(...challenge);
        },
      })
      .catch((error: unknown) => (error instanceof Error ? error : new Error(String(error))));
    await expect.poll(() => isWelcome).toBe(true);
    return { slow, alice };
  }

  test('who it is while this boot’s key for KMS is still being made waits for that, however long', async () => {
    let made = (): void => {};
    const late = new Promise<void>((resolve) => (made = resolve));
    const { slow, alice } = await unanswered({
      world: (world) => ({ ...world, makeRecipientKey: () => late.then(world.makeRecipientKey) }),
    });
    try {
      await expect.poll(() => hand.pending()).toBe(0);
      hand.elapse(10 * LIMITS.handshakeMs);
      made();
      const peer = await alice;
      expect(!(peer instanceof Error) && (await served(peer))).toBe(true);
    } finally {
      await slow.stop();
    }
  });

  test('who it is while that key is being made is closed where the gate stops', async () => {
    const { slow, alice } = await unanswered({
      world: (world) => ({ ...world, makeRecipientKey: () => new Promise(() => {}) }),
    });
    await expect.poll(() => hand.pending()).toBe(0);
    await slow.stop();
    expect(await alice).toBeInstanceOf(Error);
  });

  test('who it is while KMS does not answer is closed', async () => {
    const kms = createScriptedKms();
    let isAsked = false;
    kms.decrypt = (_, signal) =>
      new Promise((_resolve, reject) => {
        isAsked = true;
        signal.addEventListener('abort', () => reject(signal.reason));
      });
    const { slow, alice } = await unanswered({ kms });
    try {
      await expect.poll(() => isAsked).toBe(true);
      hand.elapse(LIMITS.handshakeMs);
      expect(await alice).toBeInstanceOf(Error);
    } finally {
      await slow.stop();
    }
  });

  test('that an input follows, and sends none, is closed, and its party’s slot is free', async () => {
    await contribute(gate, testModel('m'));
    const alice = await gate.peer('alice');
    await expect.poll(() => hand.pending()).toBe(1);
    await alice.say({
      t: 'call',
      function: 'classify',
      requestId: newRequestId(),
      inputBytes: 1000,
      paddedBytes: 1000,
    });
    // The session's own, the request's and the frame's.
    await waiting(3);
    hand.elapse(FRAME_MS);
    expect(await alice.hear()).toBe('closed');
    const again = await gate.peer('alice');
    expect(await again.call('classify', newRequestId(), Uint8Array.of(1))).toMatchObject({ t: 'answer' });
  });

  test('much and reads nothing is closed', async () => {
    const alice = await gate.peer('alice');
    alice.socket.pause();
    let said = 0;
    // Each answer has 4 KiB: the buffers between are full before long.
    const saying = (async () => {
      for (; said < 100_000; said += 1) await alice.say({ t: 'status' });
    })().catch(() => {});
    let before = -1;
    await expect
      .poll(() => before === (before = said) && alice.socket.writableNeedDrain, { interval: 200, timeout: 30_000 })
      .toBe(true);
    hand.elapse(FRAME_MS);
    let over = false;
    void saying.then(() => (over = true));
    // A goodbye that is not taken either, and then the end.
    await expect.poll(() => (hand.elapse(2_000), over)).toBe(true);
    expect(await served(await gate.peer('alice'))).toBe(true);
  });
});

describe('all places taken', () => {
  const crowd = async (count: number): Promise<readonly Socket[]> =>
    Promise.all(Array.from({ length: count }, () => gate.connect()));

  test('by peers that did not say who they are: the oldest gives way, no session does', async () => {
    const bob = await gate.peer('bob');
    const silent = await crowd(LIMITS.connections);
    const alice = await gate.peer('alice');
    expect(await served(alice)).toBe(true);
    expect(await served(bob)).toBe(true);
    for (const socket of silent) socket.destroy();
  });

  test('by one party: its own oldest sessions give way, the other party’s do not', async () => {
    const bob = await gate.peer('bob');
    // 512 places, half of them shared out between two parties.
    const sessions: Peer[] = [];
    for (let i = 0; i < 130; i += 1) sessions.push(await gate.peer('alice'));
    expect(await served(bob)).toBe(true);
    const alive = await Promise.all(sessions.map(served));
    expect(alive.filter(Boolean)).toHaveLength(128);
    expect(alive.slice(0, 2)).toEqual([false, false]);
    expect(alive.at(-1)).toBe(true);
  }, 120_000);
});

test('what breaks one connection is nobody else’s matter', async () => {
  const alice = await gate.peer('alice');
  for (let i = 0; i < 20; i += 1) {
    const socket = await gate.connect();
    socket.write(randomBytes(50));
    socket.destroy();
  }
  expect(await served(alice)).toBe(true);
  expect(gate.lines.filter(({ accord }) => accord === 'fault')).toEqual([]);
});
