/** The party's session against a scripted enclave and a hostile relay. Nothing here may hang, and nothing may leak. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { encodeOuter } from '../../../enclave/protocol/frame.ts';
import { LIMITS } from '../../../enclave/protocol/limits.ts';
import { REFUSALS } from '../../../enclave/protocol/refusal.ts';
import type { RefusalCode } from '../../../enclave/protocol/refusal.ts';
import { encodeUserData } from '../../../enclave/protocol/user-data.ts';
import type { Claims } from '../../../orchestrator/local/attestation-issuer.ts';
import { createAttestationIssuer } from '../../../orchestrator/local/attestation-issuer.ts';
import { Refused } from '../../../parties/session/refusal.ts';
import { openSession } from '../../../parties/session/session.ts';
import type { CallTerms, SessionOptions } from '../../../parties/session/session.ts';
import { EXIT_CODES, Failure } from '../../../policies/failure.ts';
import { expectSameBytes } from '../../same-bytes.ts';
import {
  CREDENTIALS,
  DIGEST,
  KEY_ARN,
  OTHER_DIGEST,
  dropIssuer,
  options,
  scriptEnclave,
  testKms,
} from './scripted-enclave.ts';
import type { Relay, Script, ScriptedEnclave } from './scripted-enclave.ts';

afterAll(dropIssuer);

const REQUEST_ID = new Uint8Array(32).fill(9);
const TERMS: CallTerms = { input: { buckets: [1_000, 300_000, 600_000] }, release: { afterMs: 0 } };
const codes = Object.keys(REFUSALS).filter((code): code is RefusalCode => Object.hasOwn(REFUSALS, code));

async function open(script: Script = {}, changes: Partial<SessionOptions> = {}) {
  const enclave = scriptEnclave(script);
  return { enclave, session: await openSession(await options(enclave, changes)) };
}

/** The failure that opening or `act` ends with; a session that should have failed and did not is one too. */
async function failureOf(
  script: Script,
  changes: Partial<SessionOptions> = {},
): Promise<{ readonly failure: Failure; readonly enclave: ScriptedEnclave }> {
  const enclave = scriptEnclave(script);
  try {
    const session = await openSession(await options(enclave, changes));
    await session.call('classify', REQUEST_ID, new Uint8Array(300_000), TERMS);
  } catch (failure) {
    if (!(failure instanceof Failure)) throw failure;
    return { failure, enclave };
  }
  throw new Error('it should have failed');
}

describe('an honest session', () => {
  test('opens, calls, contributes, asks for the status, and closes', async () => {
    const { enclave, session } = await open();
    const input = new Uint8Array(600_000).map((_, i) => i % 250);
    expect(await session.call('classify', REQUEST_ID, input, TERMS)).toEqual({ t: 'answer', output: '{"labels":[]}' });
    expectSameBytes(enclave.inputs[0], input);
    expect(await session.contribute('classify', new Uint8Array(32), 77)).toMatchObject({ t: 'contributed' });
    expect(await session.status()).toMatchObject({ t: 'status' });
    await session.close();
    expect(enclave.closed()).toBe(true);
    expect(enclave.requests.map(({ t }) => t)).toEqual(['authenticate', 'call', 'chunk', 'chunk', 'chunk', 'contribute', 'status']); // prettier-ignore
  });

  test('costs one KMS request, bound to policy, party, purpose and a fresh session id', async () => {
    const kms = testKms();
    const { enclave, session } = await open({}, { encryptChallenge: kms.encryptChallenge });
    await session.call('classify', REQUEST_ID, new Uint8Array(10), TERMS);
    await session.call('classify', REQUEST_ID, new Uint8Array(10), TERMS);
    const [request] = enclave.requests;
    if (request?.t !== 'authenticate') throw new Error('no authenticate');
    expect(kms.contexts).toEqual([
      {
        'accord:policy': DIGEST,
        'accord:party': 'alice',
        'accord:purpose': 'session',
        'accord:session': Buffer.from(request.sessionId).toString('hex'),
      },
    ]);
    expect(request.credentials).toEqual(CREDENTIALS);
    expect(request.keyArn).toBe(KEY_ARN);
  });

  test('shows the relay nothing but sizes', async () => {
    const { enclave, session } = await open();
    const secret = new TextEncoder().encode('a secret input that must not be seen');
    await session.call('classify', REQUEST_ID, secret, TERMS);
    const wire = Buffer.concat([...enclave.sent, ...enclave.replied]);
    for (const text of ['a secret input', 'classify', 'labels', 'ASIA', 'token', KEY_ARN, 'alice']) {
      expect(wire.includes(text), text).toBe(false);
    }
    expect(wire.includes(Buffer.from(REQUEST_ID))).toBe(false);
  });

  test('an empty input is one empty chunk', async () => {
    const { enclave, session } = await open();
    await session.call('classify', REQUEST_ID, new Uint8Array(0), TERMS);
    expect(enclave.requests.slice(1)).toMatchObject([
      { t: 'call', inputBytes: 0 },
      { t: 'chunk', last: true },
    ]);
  });

  test('requests made at once are answered one after the other', async () => {
    const { session } = await open({
      answer: (request, input) => {
        if (request.t === 'authenticate') return { t: 'authenticated', party: 'alice' };
        return { t: 'answer', output: `${input?.length ?? -1}` };
      },
    });
    const answers = await Promise.all(
      [5, 300_000, 7].map((n) => session.call('classify', REQUEST_ID, new Uint8Array(n), TERMS)),
    );
    expect(answers.map((answer) => (answer.t === 'answer' ? answer.output : ''))).toEqual(['5', '300000', '7']);
  });
});

const without = (claims: Claims, key: keyof Claims): Claims => {
  const { moduleId, pcrs, ...rest } = claims;
  return { moduleId, pcrs, ...Object.fromEntries(Object.entries(rest).filter(([name]) => name !== key)) };
};

describe('nothing is sealed to an enclave that was not verified', () => {
  const changes: Readonly<Record<string, [Script, string]>> = {
    'another image (PCR0)': [{ claims: (c) => ({ ...c, pcrs: new Map(c.pcrs).set(0, new Uint8Array(48).fill(1)) }) }, 'attestation/pcr-mismatch'], // prettier-ignore
    'another kernel (PCR1)': [{ claims: (c) => ({ ...c, pcrs: new Map(c.pcrs).set(1, new Uint8Array(48).fill(1)) }) }, 'attestation/pcr-mismatch'], // prettier-ignore
    'another application (PCR2)': [{ claims: (c) => ({ ...c, pcrs: new Map(c.pcrs).set(2, new Uint8Array(48).fill(1)) }) }, 'attestation/pcr-mismatch'], // prettier-ignore
    'debug mode': [{ claims: (c) => ({ ...c, pcrs: new Map([0, 1, 2].map((i) => [i, new Uint8Array(48)])) }) }, 'attestation/debug'], // prettier-ignore
    'another policy': [{ claims: (c) => ({ ...c, userData: encodeUserData(OTHER_DIGEST) }) }, 'attestation/policy-mismatch'], // prettier-ignore
    'no policy at all': [{ claims: (c) => without(c, 'userData') }, 'attestation/user-data'],
    'a nonce that was not ours': [
      { claims: (c) => ({ ...c, nonce: new Uint8Array(32) }) },
      'attestation/nonce-mismatch',
    ],
    'no nonce': [{ claims: (c) => without(c, 'nonce') }, 'attestation/nonce-missing'],
    'a stale document': [{ claims: (c) => ({ ...c, timestamp: Date.now() - 120_000 }) }, 'attestation/stale'],
    'a document from the future': [{ claims: (c) => ({ ...c, timestamp: Date.now() + 120_000 }) }, 'attestation/from-the-future'], // prettier-ignore
    'no key': [{ claims: (c) => without(c, 'publicKey') }, 'session/no-key'],
    'a key of another kind': [{ claims: (c) => ({ ...c, publicKey: new Uint8Array(65).fill(4) }) }, 'session/no-key'],
    'a key of small order': [{ claims: (c) => ({ ...c, publicKey: new Uint8Array(32) }) }, 'hpke/bad-key'],
    'a signature with one bit flipped': [{ document: (d) => d.map((b, i) => (i === d.length - 1 ? b ^ 1 : b)) }, 'attestation/signature'], // prettier-ignore
    'a truncated document': [{ document: (d) => d.subarray(0, d.length - 1) }, 'attestation/truncated'],
    'a document with something after it': [
      { document: (d) => new Uint8Array([...d, 0]) },
      'attestation/trailing-bytes',
    ],
  };

  test.each(Object.entries(changes))('%s', async (_, [script, code]) => {
    const kms = testKms();
    const { failure, enclave } = await failureOf(script, { encryptChallenge: kms.encryptChallenge });
    expect(failure.code).toBe(code);
    expect(enclave.sent).toHaveLength(1); // the hello, and nothing else
    expect(kms.contexts).toEqual([]);
    expect(enclave.closed()).toBe(true);
  });

  test('a document under another root', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'accord-root-'));
    try {
      const issuer = await createAttestationIssuer(folder);
      const { failure, enclave } = await failureOf({ issuer });
      expect(failure).toMatchObject({ code: 'attestation/unknown-root', kind: 'refused' });
      expect(enclave.sent).toHaveLength(1);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test('a genuine document recorded earlier, played again', async () => {
    const earlier = scriptEnclave();
    await (await openSession(await options(earlier))).close();
    const recorded = earlier.replied[0] ?? new Uint8Array(0);
    const { failure, enclave } = await failureOf({ toParty: (body, index) => [index === 0 ? recorded : body] });
    expect(failure.code).toBe('attestation/nonce-mismatch');
    expect(enclave.sent).toHaveLength(1);
  });
});

describe('a relay that changes what passes', () => {
  const flip = (body: Uint8Array): Uint8Array => body.map((byte, i) => (i === body.length - 1 ? byte ^ 1 : byte));
  const at = (index: number, change: (body: Uint8Array) => ReturnType<Relay>): Relay => (body, i) => i === index ? change(body) : [body]; // prettier-ignore

  test('hello: another nonce reaches the enclave, so its document is not ours', async () => {
    const { failure } = await failureOf({ toEnclave: at(0, () => [encodeOuter({ t: 'hello', v: 1, nonce: new Uint8Array(32) })]) }); // prettier-ignore
    expect(failure.code).toBe('attestation/nonce-mismatch');
  });

  test.each([1, 2, 3])('answer %i flipped, cut by a byte, or replaced by the one before', async (index) => {
    const before: Uint8Array[] = [];
    const tamperings: Readonly<Record<string, (body: Uint8Array) => Uint8Array>> = {
      flip,
      cut: (body) => encodeOuter({ t: 'sealed', ct: body.subarray(20, -1) }),
      replay: (body) => before.at(-1) ?? body,
    };
    for (const [name, tamper] of Object.entries(tamperings)) {
      if (name === 'replay' && index === 1) continue; // what came before is the welcome
      before.length = 0;
      const enclave = scriptEnclave({
        toParty: (body, i) => {
          const out = i === index ? tamper(body) : body;
          before.push(body);
          return [out];
        },
      });
      const run = async (): Promise<void> => {
        const session = await openSession(await options(enclave));
        await session.status();
        await session.status();
      };
      await expect(run(), name).rejects.toMatchObject({ code: 'session/unauthentic', kind: 'refused' });
      expect(enclave.closed()).toBe(true);
    }
  });

  test('an answer that is held back: the request after it does not get it', async () => {
    const held: Uint8Array[] = [];
    const { session } = await open(
      {
        toEnclave: (body) => [body],
        toParty: (body, i) => {
          if (i !== 2) return [...held.splice(0), body].toReversed();
          held.push(body);
          return 'hold';
        },
      },
      { timeouts: { answerMs: 200 } },
    );
    await expect(session.status()).rejects.toMatchObject({ code: 'session/timeout' });
    await expect(session.status()).rejects.toMatchObject({ code: 'session/over' });
  });

  test('an answer twice: the second is not taken for another request’s', async () => {
    const { session } = await open({ toParty: (body, i) => (i === 2 ? [body, body] : [body]) });
    expect(await session.status()).toMatchObject({ t: 'status' });
    await expect(session.status()).rejects.toMatchObject({ code: 'session/unauthentic' });
    await expect(session.status()).rejects.toMatchObject({ code: 'session/over', kind: 'environment' });
  });

  test('a frame of the party’s own, reflected', async () => {
    const sent: Uint8Array[] = [];
    const { session } = await open({
      toEnclave: (body) => {
        sent.push(body);
        return [body];
      },
      toParty: (body, i) => (i === 2 ? [sent.at(-1) ?? body] : [body]),
    });
    await expect(session.status()).rejects.toMatchObject({ code: 'session/unauthentic' });
  });

  test.each([
    ['garbage', () => new Uint8Array([255, 1, 2])],
    ['nothing', () => new Uint8Array(0)],
    ['too much', () => new Uint8Array(LIMITS.frameBytes + 1)],
    ['a map with one more key', () => new Uint8Array([0xa2, 0x61, 0x74, 0x66, 0x63, 0x6c, 0x6f, 0x73, 0x65, 0x64, 0x61, 0x78, 0x01])], // prettier-ignore
  ] as const)('%s instead of a welcome, or of an answer', async (_, body) => {
    for (const index of [0, 1, 2]) {
      const { failure, enclave } = await failureOf({ toParty: at(index, () => [body()]) });
      expect(failure.kind, `frame ${index}`).toBe('malformed');
      expect(enclave.closed()).toBe(true);
    }
  });

  test.each([0, 1, 2])('messages out of place at %i', async (index) => {
    for (const message of [
      { t: 'hello', v: 1, nonce: new Uint8Array(32) },
      { t: 'open', enc: new Uint8Array(32), ct: new Uint8Array(40) },
    ] as const) {
      // prettier-ignore
      const { failure } = await failureOf({ toParty: at(index, () => [encodeOuter(message)]) });
      expect(failure).toMatchObject({ code: 'session/out-of-place', kind: 'refused' });
    }
  });

  test.each([0, 1, 2])('closed at %i is a cut, to be tried again', async (index) => {
    const { failure } = await failureOf({ toParty: at(index, () => [encodeOuter({ t: 'closed' })]) });
    expect(failure).toMatchObject({ code: 'session/closed', kind: 'environment' });
  });

  test('requests that the relay changes, drops or repeats are not answered', async () => {
    const changes: readonly ((body: Uint8Array) => readonly Uint8Array[])[] = [
      (body) => [flip(body)],
      (body) => [body, body],
      () => [],
    ];
    for (const change of changes) {
      const { failure } = await failureOf(
        { toEnclave: (body, i) => (i === 2 ? change(body) : [body]) },
        { timeouts: { answerMs: 300, sendMs: 300 } },
      );
      expect(failure.kind).toBe('environment');
    }
  });
});

describe('the line is cut', () => {
  // To the enclave: hello, open, call, chunk, chunk. From it: welcome, authenticated, answer.
  test.each([0, 1, 2, 3, 4])(
    'at message %i to the enclave: an environment failure, and nothing hangs',
    async (index) => {
      const { failure, enclave } = await failureOf({ toEnclave: (body, i) => (i === index ? 'cut' : [body]) });
      expect(EXIT_CODES[failure.kind]).toBe(40);
      expect(enclave.closed()).toBe(true);
    },
  );

  test.each([0, 1, 2])('at message %i from the enclave', async (index) => {
    const { failure, enclave } = await failureOf({ toParty: (body, i) => (i === index ? 'cut' : [body]) });
    expect(EXIT_CODES[failure.kind]).toBe(40);
    expect(enclave.closed()).toBe(true);
  });

  test.each([0, 1, 2])('silence instead of message %i from the enclave: time is limited', async (index) => {
    const timeouts = { greetMs: 200, authenticateMs: 200, answerMs: 200, sendMs: 200 };
    const { failure } = await failureOf({ toParty: (body, i) => (i === index ? 'hold' : [body]) }, { timeouts });
    expect(failure).toMatchObject({ code: 'session/timeout', kind: 'environment' });
    expect(failure.hint).toMatch(/again/);
  });

  test('a KMS or STS that never answers', async () => {
    const never = (): Promise<never> => new Promise(() => {});
    for (const change of [{ encryptChallenge: never }, { credentials: never }]) {
      const { failure } = await failureOf({}, { ...change, timeouts: { authenticateMs: 200 } });
      expect(failure).toMatchObject({ code: 'session/timeout' });
    }
  });

  test('a KMS that says no ends the session with its own words', async () => {
    const denied = new Failure('refused', 'aws/denied', 'no');
    const { failure, enclave } = await failureOf({}, { encryptChallenge: () => Promise.reject(denied) });
    expect(failure).toBe(denied);
    expect(enclave.sent).toHaveLength(1);
  });

  test.each([0, 1, 2])('Ctrl-C while waiting for message %i', async (index) => {
    const controller = new AbortController();
    const reason = new Error('interrupted');
    const enclave = scriptEnclave({
      toParty: (body, i) => {
        if (i !== index) return [body];
        setImmediate(() => controller.abort(reason));
        return 'hold';
      },
    });
    const run = async (): Promise<void> => {
      const session = await openSession(await options(enclave, { signal: controller.signal }));
      await session.status();
    };
    await expect(run()).rejects.toBe(reason);
    expect(enclave.closed()).toBe(true);
  });
});

describe('what the enclave says', () => {
  test.each(codes)('refused %s at authentication is thrown, with what to do', async (refused) => {
    const { failure } = await failureOf({ answer: () => ({ t: 'refused', refused, detail: 'so it is' }) });
    expect(failure).toBeInstanceOf(Refused);
    expect(failure.code).toBe(`enclave/${refused}`);
    expect([10, 40]).toContain(EXIT_CODES[failure.kind]);
    expect(failure.message).toContain(REFUSALS[refused]);
    expect(failure.message).toContain('so it is');
    expect(failure.hint).not.toBe('');
  });

  test('what may succeed later exits with 40, what the policy forbids with 10', () => {
    const exit = (refused: RefusalCode): number => EXIT_CODES[new Refused({ refused }).kind];
    expect(codes.filter((code) => exit(code) === 40).sort()).toEqual(
      [
        'busy',
        'compute-failed',
        'compute-timeout',
        'kms-unavailable',
        'lease-lapsed',
        'not-open',
        'session-expired',
        'unavailable',
      ].sort(),
    );
    expect(exit('quota-exceeded')).toBe(10);
    expect(exit('input-invalid')).toBe(10);
    for (const refused of ['no-model', 'kms-refused', 'not-permitted', 'expired', 'busy'] as const) {
      expect(new Refused({ refused }).hint).toContain('no call was spent');
    }
  });

  test('that an anchor keeps the state shut tells its owner what to do', () => {
    const hint = (detail: string): string | undefined => new Refused({ refused: 'not-open', detail }).hint;
    const waits = 'it waits for a session of alice, bob';
    expect(hint(waits)).toContain('have connected');
    expect(hint(`${waits}; anchor/unavailable (bob)`)).toContain('have connected');
    expect(hint(`${waits}; anchor-credential/absent (bob)`)).toContain('accord anchor contribute');
    expect(hint('it waits for a session of bob; anchor/full (bob)')).toContain('accord anchor lint');
  });

  test('that a copy waits for parties tells how to connect to that copy', () => {
    for (const refused of ['not-open', 'lease-lapsed'] as const) {
      const chosen = new Refused({ refused, detail: 'it waits for a session of bob' }, { copy: 2 }).hint;
      expect(chosen).toMatch(/connected to this copy, for example by `accord quota --copy 2`$/);
      const any = new Refused({ refused, detail: 'it waits for a session of bob' }).hint;
      expect(any).toMatch(/connected, for example by `accord quota`; where .* several copies, .* --copy N/);
      expect(`${chosen}${any}`).not.toContain('any command');
    }
  });

  test('what could not spend a call does not speak of one', () => {
    const { hint } = new Refused({ refused: 'kms-refused' }, { price: 'nothing' });
    expect(hint).toMatch(/^pin this image/);
  });

  test('a detail cannot move the terminal’s cursor', () => {
    const { message } = new Refused({ refused: 'input-invalid', detail: '\u001b[2J\r\nexit 0 \u202egnp' });
    // oxlint-disable-next-line no-control-regex -- the very thing that is looked for
    expect(message).not.toMatch(/[\u0000-\u001f\u202e]/);
  });

  test('a refused call leaves the session usable', async () => {
    const { session } = await open({
      answer: (request) =>
        request.t === 'authenticate'
          ? { t: 'authenticated', party: 'alice' }
          : request.t === 'status'
            ? { t: 'status', status: '{}' }
            : { t: 'refused', refused: 'quota-exceeded' },
    });
    expect(await session.call('classify', REQUEST_ID, new Uint8Array(3), TERMS)).toEqual({ t: 'refused', refused: 'quota-exceeded' }); // prettier-ignore
    expect(await session.status()).toMatchObject({ t: 'status' });
  });

  test('that we are somebody else', async () => {
    const { failure } = await failureOf({ answer: () => ({ t: 'authenticated', party: 'bob' }) });
    expect(failure).toMatchObject({ code: 'session/other-party', kind: 'refused' });
  });

  test('an answer to something else', async () => {
    const { failure } = await failureOf({
      answer: (request) => (request.t === 'authenticate' ? { t: 'authenticated', party: 'alice' } : { t: 'status', status: '{}' }), // prettier-ignore
    });
    expect(failure.code).toBe('session/out-of-place');
    const first = await failureOf({ answer: () => ({ t: 'status', status: '{}' }) });
    expect(first.failure.code).toBe('session/out-of-place');
  });

  test('authenticated by another party’s KMS, it refuses', async () => {
    const { failure } = await failureOf({}, { encryptChallenge: async (challenge) => challenge });
    expect(failure.code).toBe('enclave/kms-refused');
  });
});

test('every session has keys, nonce and session id of its own', async () => {
  const sessions = await Promise.all([open(), open()]);
  const firsts = sessions.map(({ enclave }) => enclave.sent.map((body) => Buffer.from(body).toString('hex')));
  expect(firsts[0]?.[0]).not.toBe(firsts[1]?.[0]);
  const ids = sessions.map(({ enclave }) => (enclave.requests[0]?.t === 'authenticate' ? enclave.requests[0].sessionId.join() : '')); // prettier-ignore
  expect(new Set(ids).size).toBe(2);
});
