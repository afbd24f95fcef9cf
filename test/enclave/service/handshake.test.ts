/** Opening a session: who gets one, and that those who do not learn and cost as little as can be. */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { concat } from '../../../enclave/encoding/bytes.ts';
import { PLAIN_PAD_BYTES } from '../../../enclave/protocol/answer.ts';
import type { OuterMessage } from '../../../enclave/protocol/frame.ts';
import { decodeOuter, encodeFrame, encodeOuter, frameReader, writeFrame } from '../../../enclave/protocol/frame.ts';
import type { Request } from '../../../enclave/protocol/request.ts';
import { encodeRequest } from '../../../enclave/protocol/request.ts';
import { initiate } from '../../../enclave/protocol/session.ts';
import { decodeUserData } from '../../../enclave/protocol/user-data.ts';
import { localRootOf, notChecked, parseAttestation, verifyAttestation } from '../../../parties/attestation/verify.ts';
import type { TestGate } from '../harness.ts';
import { KEY_ARNS, START, startGate } from '../harness.ts';
import { greet, hungUp } from '../peer.ts';
import { kmsRefused, kmsUnavailable } from '../scripted-kms.ts';

let gate: TestGate;
beforeEach(async () => {
  gate = await startGate();
});
afterEach(() => gate.stop());

/** Everything that still comes in, frame by frame, to the end. */
async function rest(socket: Socket): Promise<readonly Uint8Array[]> {
  const reader = frameReader(socket);
  const bodies: Uint8Array[] = [];
  for (;;) {
    const body = await reader.readFrame().catch(() => undefined);
    if (body === undefined) return bodies;
    bodies.push(body);
  }
}

describe('the welcome', () => {
  test('is a document that verifies: this nonce, this policy, a key of its own', async () => {
    const socket = await gate.connect();
    const nonce = randomBytes(32);
    const { document } = await greet(socket, nonce);
    const root = await localRootOf(gate.root);
    await verifyAttestation(document, {
      roots: [root],
      at: new Date(START),
      pcrs: { 0: 'aa'.repeat(48), 1: notChecked('a test'), 2: notChecked('a test') },
      nonce,
      policyDigest: gate.policyDigest,
      maxAgeMs: 10_000,
      allowDebug: false,
    });
    expect(document.publicKey).toHaveLength(32);
    expect(decodeUserData(document.userData ?? new Uint8Array(0)).policyDigest).toBe(gate.policyDigest);
    socket.destroy();
  });

  test('has another key for every connection', async () => {
    const keys = new Set<string>();
    for (let i = 0; i < 3; i += 1) {
      const socket = await gate.connect();
      keys.add(Buffer.from((await greet(socket)).document.publicKey ?? []).toString('hex'));
      socket.destroy();
    }
    expect(keys.size).toBe(3);
  });
});

describe('a party', () => {
  test('is authenticated by one request to its KMS, with its own credentials and its session’s context', async () => {
    const alice = await gate.peer('alice');
    expect(alice.first).toEqual({ t: 'authenticated', party: 'alice' });
    expect(gate.kms.requests).toHaveLength(1);
    expect(gate.kms.requests[0]).toMatchObject({
      keyArn: KEY_ARNS.alice,
      credentials: { accessKeyId: 'AKIDEXAMPLE' },
      context: {
        'accord:policy': gate.policyDigest,
        'accord:party': 'alice',
        'accord:purpose': 'session',
        'accord:session': expect.stringMatching(/^[0-9a-f]{32}$/),
      },
    });
    await alice.ask({ t: 'status' });
    expect(gate.kms.requests).toHaveLength(1);
  });

  test('KMS is shown the boot’s RSA key, and the same document for a minute', async () => {
    await gate.peer('alice');
    await gate.peer('bob');
    const [first, second] = gate.kms.requests.map(({ attestation }) => attestation);
    expect(second).toEqual(first);
    const document = parseAttestation(first ?? new Uint8Array(0));
    expect(document.publicKey?.length).toBeGreaterThan(256);
    expect(document.nonce).toBeUndefined();
    gate.advance(61_000);
    await gate.peer('alice');
    expect(gate.kms.requests[2]?.attestation).not.toEqual(first);
  });
});

const REFUSALS: Readonly<Record<string, { readonly open: () => ReturnType<TestGate['peer']>; readonly code: string }>> =
  {
    'a key of nobody': {
      code: 'not-permitted',
      open: () => gate.peer('charlie'),
    },
    'an alias instead of the ARN': {
      code: 'not-permitted',
      open: () => gate.peer('alice', { tamper: (request) => ({ ...request, keyArn: 'alias/alice' }) }),
    },
    'another party’s key with one’s own challenge': {
      code: 'kms-refused',
      open: () => gate.peer('alice', { tamper: (request) => ({ ...request, keyArn: KEY_ARNS.bob }) }),
    },
    'a challenge of another session': {
      code: 'kms-refused',
      open: () => gate.peer('alice', { challenge: () => randomBytes(32) }),
    },
    'a challenge that was cut': {
      code: 'kms-refused',
      open: () => gate.peer('alice', { challenge: (challenge) => challenge.subarray(0, 31) }),
    },
    'a challenge encrypted for another purpose': {
      code: 'kms-refused',
      open: () =>
        gate.peer('alice', {
          encrypt: (arn, plaintext, context) =>
            gate.kms.encrypt(arn, plaintext, { ...context, 'accord:purpose': 'input' }),
        }),
    },
    'a challenge encrypted for another policy': {
      code: 'kms-refused',
      open: () =>
        gate.peer('alice', {
          encrypt: (arn, plaintext, context) =>
            gate.kms.encrypt(arn, plaintext, { ...context, 'accord:policy': 'ab'.repeat(48) }),
        }),
    },
    'another session’s id': {
      code: 'kms-refused',
      open: () => gate.peer('alice', { tamper: (request) => ({ ...request, sessionId: randomBytes(16) }) }),
    },
    'a KMS that refuses': {
      code: 'kms-refused',
      open: () => {
        gate.kms.script = () => Promise.reject(kmsRefused());
        return gate.peer('alice');
      },
    },
    'a KMS that is not there': {
      code: 'kms-unavailable',
      open: () => {
        gate.kms.script = () => Promise.reject(kmsUnavailable());
        return gate.peer('alice');
      },
    },
    'a KMS that used another key': {
      code: 'kms-refused',
      open: () => {
        gate.kms.script = async (_, reply) => ({ ...(await reply()), keyArn: KEY_ARNS.bob });
        return gate.peer('alice');
      },
    },
    'a KMS that used another algorithm': {
      code: 'kms-refused',
      open: () => {
        gate.kms.script = async (_, reply) => ({ ...(await reply()), algorithm: 'RSAES_OAEP_SHA_256' });
        return gate.peer('alice');
      },
    },
    'an envelope that is none': {
      code: 'kms-refused',
      open: () => {
        gate.kms.script = async (_, reply) => ({ ...(await reply()), envelope: randomBytes(493) });
        return gate.peer('alice');
      },
    },
  };

describe('nobody gets a session with', () => {
  test.each(Object.entries(REFUSALS))('%s', async (_, { open, code }) => {
    const peer = await open();
    expect(peer.first).toMatchObject({ t: 'refused', refused: code });
    expect(await peer.hear()).toBe('closed');
  });

  const FIRST_REQUESTS: Readonly<Record<string, Request>> = {
    status: { t: 'status' },
    call: { t: 'call', function: 'classify', requestId: randomBytes(32), inputBytes: 1, paddedBytes: 1 },
    contribute: { t: 'contribute', function: 'classify', envelopeSha256: randomBytes(32), bytes: 1, testData: false },
    chunk: { t: 'chunk', position: 0, last: true, data: new Uint8Array(0) },
  };
  test.each(Object.entries(FIRST_REQUESTS))('a %s before it has said who it is', async (_, request) => {
    await expect(gate.peer('alice', { tamper: () => request })).rejects.toThrow();
    expect(gate.kms.requests).toEqual([]);
  });
});

test('every failure from `open` on is one frame of one size, which is that of a success', async () => {
  const success = (await gate.peer('alice')).sizes;
  expect(success).toHaveLength(1);
  for (const { open } of Object.values(REFUSALS)) expect((await open()).sizes).toEqual(success);

  const unopened: Readonly<Record<string, (message: Extract<OuterMessage, { t: 'open' }>) => OuterMessage>> = {
    garbage: (message) => ({ ...message, ct: randomBytes(message.ct.length) }),
    'another key': (message) => ({ ...message, enc: randomBytes(32) }),
    'an unusable key': (message) => ({ ...message, enc: new Uint8Array(32) }),
    'a sealed message': ({ ct }) => ({ t: 'sealed', ct }),
    'hello again': () => ({ t: 'hello', v: 1, nonce: randomBytes(32) }),
  };
  for (const [name, tamper] of Object.entries(unopened)) {
    const socket = await gate.connect();
    const { document, info } = await greet(socket);
    const { enc, channel } = await initiate(document.publicKey ?? new Uint8Array(0), info, randomBytes);
    await writeFrame(
      socket,
      encodeOuter(tamper({ t: 'open', enc, ct: await channel.seal(encodeRequest({ t: 'status' })) })),
    );
    const frames = await rest(socket);
    expect(
      frames.map((body) => body.length),
      name,
    ).toEqual(success);
    const answer = decodeOuter(frames[0] ?? new Uint8Array(0));
    if (answer.t !== 'sealed') throw new Error('not sealed');
    expect(answer.ct, name).toHaveLength(PLAIN_PAD_BYTES + 16);
    await expect(channel.open(answer.ct), name).rejects.toMatchObject({ code: 'session/unauthentic' });
  }
});

describe('a recording', () => {
  test('played again to the same boot fails at its first sealed frame', async () => {
    const alice = await gate.peer('alice');
    await alice.ask({ t: 'status' });
    alice.close();
    const before = gate.kms.requests.length;
    const socket = await gate.connect();
    for (const frame of alice.sent) socket.write(frame);
    const [welcome, answer, ...more] = await rest(socket);
    expect(decodeOuter(welcome ?? new Uint8Array(0)).t).toBe('welcome');
    expect(decodeOuter(answer ?? new Uint8Array(0)).t).toBe('sealed');
    expect(more).toEqual([]);
    // Nothing of it was opened: KMS was not asked.
    expect(gate.kms.requests).toHaveLength(before);
  });

  test.each([1, 2])('of message %i played again inside a session ends it', async (index) => {
    const alice = await gate.peer('alice');
    await alice.ask({ t: 'status' });
    alice.socket.write(alice.sent[index] ?? new Uint8Array(0));
    expect(await alice.hear()).toBe('closed');
    await hungUp(alice.socket);
  });
});

describe('frames that are none', () => {
  const BAD: Readonly<Record<string, Uint8Array>> = {
    'of no bytes': Uint8Array.of(0, 0, 0, 0),
    'of four gigabytes': Uint8Array.of(255, 255, 255, 255),
    'longer than a handshake needs': encodeFrame(new Uint8Array(100_000)),
    'of random bytes': encodeFrame(randomBytes(100)),
    'of another version': encodeFrame(
      concat(
        Uint8Array.of(0xa3, 0x61, 0x74),
        Uint8Array.of(0x65),
        new TextEncoder().encode('hello'),
        Uint8Array.of(0x61, 0x76, 2),
      ),
    ),
    'that do not begin with hello': encodeFrame(encodeOuter({ t: 'sealed', ct: randomBytes(40) })),
    'that answer what was not asked': encodeFrame(encodeOuter({ t: 'welcome', attestation: randomBytes(40) })),
  };
  test.each(Object.entries(BAD))('%s: the connection is closed, with one word', async (_, bytes) => {
    const socket = await gate.connect();
    socket.write(bytes);
    const frames = await rest(socket);
    expect(frames.map((body) => decodeOuter(body))).toEqual([{ t: 'closed' }]);
    expect((await gate.peer('alice')).first).toMatchObject({ t: 'authenticated' });
  });

  test('cut anywhere in the handshake, the connection ends and nothing else does', async () => {
    const alice = await gate.peer('alice');
    const all = concat(...alice.sent);
    alice.close();
    for (let length = 0; length < all.length; length += 37) {
      const socket = await gate.connect();
      socket.end(all.subarray(0, length));
      await hungUp(socket);
    }
    expect((await gate.peer('alice')).first).toMatchObject({ t: 'authenticated' });
    expect(gate.lines.filter(({ accord }) => accord === 'fault')).toEqual([]);
  });

  test('a handshake that arrives byte by byte is one all the same', async () => {
    const socket = await gate.connect();
    for (const byte of encodeFrame(encodeOuter({ t: 'hello', v: 1, nonce: randomBytes(32) }))) {
      socket.write(Uint8Array.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const welcome = await frameReader(socket).readFrame();
    expect(decodeOuter(welcome ?? new Uint8Array(0)).t).toBe('welcome');
    socket.destroy();
  });
});

describe('inside a session', () => {
  const ENDS: Readonly<Record<string, Request>> = {
    'authenticating twice': {
      t: 'authenticate',
      keyArn: KEY_ARNS.alice,
      sessionId: randomBytes(16),
      ciphertext: randomBytes(10),
      credentials: { accessKeyId: 'a', secretAccessKey: 'b', sessionToken: 'c' },
    },
    'a chunk without a call': { t: 'chunk', position: 0, last: true, data: new Uint8Array(0) },
  };
  test.each(Object.entries(ENDS))('%s ends it', async (_, request) => {
    const alice = await gate.peer('alice');
    expect(await alice.ask(request)).toBe('closed');
    await hungUp(alice.socket);
  });

  const CHUNKS: Readonly<Record<string, readonly Request[]>> = {
    'the second chunk first': [{ t: 'chunk', position: 262_144, last: true, data: randomBytes(37_856) }],
    'a chunk that is cut': [{ t: 'chunk', position: 0, last: false, data: randomBytes(262_143) }],
    'a last chunk too early': [{ t: 'chunk', position: 0, last: true, data: randomBytes(262_144) }],
    'more than was announced': [
      { t: 'chunk', position: 0, last: false, data: randomBytes(262_144) },
      { t: 'chunk', position: 262_144, last: true, data: randomBytes(37_857) },
    ],
    'another request in the middle': [{ t: 'status' }],
  };
  test.each(Object.entries(CHUNKS))('%s ends it and spends nothing', async (_, requests) => {
    const alice = await gate.peer('alice');
    await alice.say({
      t: 'call',
      function: 'classify',
      requestId: randomBytes(32),
      inputBytes: 300_000,
      paddedBytes: 300_000,
    });
    for (const request of requests) await alice.say(request);
    expect(await alice.hear()).toBe('closed');
    const answer = await (await gate.peer('alice')).ask({ t: 'status' });
    if (answer === 'closed' || answer.t !== 'status') throw new Error('no status');
    expect(JSON.parse(answer.status).functions.classify.calls.left).toBe(3);
  });

  test('a frame that is too long ends it before its bytes are read', async () => {
    const alice = await gate.peer('alice');
    alice.socket.write(Uint8Array.of(0, 5, 0, 1));
    expect(await alice.hear()).toBe('closed');
  });

  test('the party may say that it is done', async () => {
    const alice = await gate.peer('alice');
    await writeFrame(alice.socket, encodeOuter({ t: 'closed' }));
    await hungUp(alice.socket);
  });
});
