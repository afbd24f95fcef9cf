/**
 * An enclave in memory that keeps to the protocol, and a relay that does not: every frame on its way can be changed,
 * held back, repeated or cut off, and what the document says can be changed before it is signed.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RandomSource } from '../../../enclave/crypto/random.ts';
import { padPlain, padAnswer } from '../../../enclave/protocol/answer.ts';
import type { Answer } from '../../../enclave/protocol/answer.ts';
import { decodeOuter, encodeOuter } from '../../../enclave/protocol/frame.ts';
import type { Authenticate, Call, Request } from '../../../enclave/protocol/request.ts';
import { chunkOrder, decodeRequest } from '../../../enclave/protocol/request.ts';
import type { ChunkOrder } from '../../../enclave/protocol/request.ts';
import type { SealedChannel } from '../../../enclave/protocol/session.ts';
import { CHALLENGE_BYTES, EXPORT_LABELS, responder, sessionInfo } from '../../../enclave/protocol/session.ts';
import { encodeUserData } from '../../../enclave/protocol/user-data.ts';
import { concat } from '../../../enclave/encoding/bytes.ts';
import { fromHex } from '../../../enclave/encoding/hex.ts';
import type { AttestationIssuer, Claims } from '../../../orchestrator/local/attestation-issuer.ts';
import { createAttestationIssuer } from '../../../orchestrator/local/attestation-issuer.ts';
import { localRoot } from '../../../parties/attestation/verify.ts';
import type { Pins } from '../../../parties/home.ts';
import type { FrameChannel } from '../../../parties/session/channel.ts';
import type { EnclaveExpectation } from '../../../parties/session/handshake.ts';
import type { SessionOptions } from '../../../parties/session/session.ts';
import { Failure } from '../../../policies/failure.ts';
import { policyDigest } from '../../../policies/digest.ts';
import type { PolicyDigest } from '../../../policies/model.ts';

export const random: RandomSource = (bytes) => crypto.getRandomValues(new Uint8Array(bytes));
export const DIGEST: PolicyDigest = await policyDigest('{"a":"policy"}');
export const OTHER_DIGEST: PolicyDigest = await policyDigest('{"another":"policy"}');
export const KEY_ARN = 'arn:aws:kms:eu-west-1:111122223333:key/a11ce000-0000-4000-8000-000000000001';
export const CREDENTIALS = { accessKeyId: 'ASIA', secretAccessKey: 'secret', sessionToken: 'token' };
const [PCR0, PCR1, PCR2] = ['a0', 'a1', 'a2'].map((byte) => byte.repeat(48));
export const PCRS: Pins['pcrs'] = { PCR0: PCR0 ?? '', PCR1: PCR1 ?? '', PCR2: PCR2 ?? '' };

/** The frames that go one way, numbered from 0; what is given back goes on instead. `cut` ends the connection. */
export type Relay = (body: Uint8Array, index: number) => readonly Uint8Array[] | 'cut' | 'hold';

export interface Script {
  /** Changes what the document says before it is signed. */
  readonly claims?: (claims: Claims) => Claims;
  /** Changes the document after it was signed. */
  readonly document?: (bytes: Uint8Array) => Uint8Array;
  readonly toEnclave?: Relay;
  readonly toParty?: Relay;
  /** What to answer; undefined: nothing, ever. Default: sensible. */
  readonly answer?: (request: Request, input: Uint8Array | undefined) => Answer | undefined;
  readonly issuer?: AttestationIssuer;
}

export interface ScriptedEnclave {
  readonly channel: FrameChannel;
  /** Every request that was opened, in order. */
  readonly requests: readonly Request[];
  /** Inputs that were put together. */
  readonly inputs: readonly Uint8Array[];
  /** Bodies that the party sent, as they left it. */
  readonly sent: readonly Uint8Array[];
  /** Bodies that the enclave sent, as they left it. */
  readonly replied: readonly Uint8Array[];
  /** Whether the party closed its end. */
  closed(): boolean;
}

let issuing: Promise<AttestationIssuer> | undefined;
let folder: string | undefined;

/** One root for all tests of a file. */
export function testIssuer(): Promise<AttestationIssuer> {
  issuing ??= mkdtemp(join(tmpdir(), 'accord-issuer-')).then((path) => createAttestationIssuer((folder = path)));
  return issuing;
}

export async function dropIssuer(): Promise<void> {
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  issuing = undefined;
}

export async function expectation(): Promise<EnclaveExpectation> {
  const { rootSha256 } = await testIssuer();
  return {
    roots: [localRoot(rootSha256)],
    pcrs: { 0: PCRS.PCR0, 1: PCRS.PCR1, 2: PCRS.PCR2 },
    policyDigest: DIGEST,
    maxAgeMs: 60_000,
    allowDebug: false,
  };
}

/** What the party's own KMS was asked, and the answers that only it could give. */
export interface TestKms {
  readonly contexts: Readonly<Record<string, string>>[];
  readonly encryptChallenge: SessionOptions['encryptChallenge'];
}

const MASK = 0x5a;

export function testKms(): TestKms {
  const contexts: Readonly<Record<string, string>>[] = [];
  return {
    contexts,
    encryptChallenge: async (challenge, context) => {
      contexts.push(context);
      return challenge.map((byte) => byte ^ MASK);
    },
  };
}

export async function options(
  enclave: ScriptedEnclave,
  changes: Partial<SessionOptions> = {},
): Promise<SessionOptions> {
  return {
    channel: enclave.channel,
    party: 'alice',
    keyArn: KEY_ARN,
    policyDigest: DIGEST,
    expectation: await expectation(),
    encryptChallenge: testKms().encryptChallenge,
    credentials: async () => CREDENTIALS,
    random,
    now: () => new Date(),
    timeouts: { greetMs: 3_000, authenticateMs: 3_000, answerMs: 3_000, sendMs: 3_000, contributeMs: 3_000 },
    ...changes,
  };
}

export const cutFailure = (): Failure => new Failure('environment', 'coordinator/cut', 'the line was cut');

export function scriptEnclave(script: Script = {}): ScriptedEnclave {
  const requests: Request[] = [];
  const inputs: Uint8Array[] = [];
  const sent: Uint8Array[] = [];
  const replied: Uint8Array[] = [];
  const towardsEnclave = queue();
  const towardsParty = queue();
  let closed = false;
  const pass = (relay: Relay | undefined, body: Uint8Array, index: number, to: Queue): void => {
    const outcome = relay?.(body, index) ?? [body];
    if (outcome === 'hold') return;
    if (outcome === 'cut') {
      towardsEnclave.end();
      towardsParty.end();
      return;
    }
    for (const passed of outcome) to.push(passed);
  };
  const reply = (body: Uint8Array): void => {
    replied.push(body);
    pass(script.toParty, body, replied.length - 1, towardsParty);
  };
  void serve(script, { next: () => towardsEnclave.next(), reply, requests, inputs }).catch(() => towardsParty.end());
  return {
    requests,
    inputs,
    sent,
    replied,
    closed: () => closed,
    channel: {
      async send(body) {
        if (closed || towardsEnclave.ended()) throw cutFailure();
        sent.push(new Uint8Array(body));
        pass(script.toEnclave, new Uint8Array(body), sent.length - 1, towardsEnclave);
      },
      receive: (signal) => towardsParty.next(signal),
      async close() {
        closed = true;
        towardsEnclave.end();
        towardsParty.end();
      },
    },
  };
}

interface Line {
  readonly next: () => Promise<Uint8Array>;
  readonly reply: (body: Uint8Array) => void;
  readonly requests: Request[];
  readonly inputs: Uint8Array[];
}

async function serve(script: Script, line: Line): Promise<void> {
  const { next, reply, requests, inputs } = line;
  const keys = await responder(random);
  const hello = await next();
  const greeting = decodeOuter(hello);
  if (greeting.t !== 'hello') throw new Error('no hello');
  const welcome = encodeOuter({ t: 'welcome', attestation: await document(script, keys.publicKey, greeting.nonce) });
  reply(welcome);
  const first = decodeOuter(await next());
  if (first.t !== 'open') throw new Error('no open');
  const channel = await keys.accept(first.enc, await sessionInfo(hello, welcome));
  const answers = answering(script, channel);
  let request = decodeRequest(await channel.open(first.ct));
  let input: { readonly call: Call; readonly order: ChunkOrder; readonly parts: Uint8Array[] } | undefined;
  for (;;) {
    requests.push(request);
    let whole: Uint8Array | undefined;
    if (request.t === 'call') input = { call: request, order: chunkOrder(request.paddedBytes), parts: [] };
    if (request.t === 'chunk' && input !== undefined) {
      input.parts.push(request.data);
      if (input.order.add(request)) whole = concat(...input.parts).subarray(0, input.call.inputBytes);
    }
    if (whole !== undefined) inputs.push(whole);
    const asked = whole !== undefined && input !== undefined ? input.call : request;
    if (request.t !== 'call' && (request.t !== 'chunk' || whole !== undefined)) {
      const sealed = await answers(asked, whole);
      if (sealed !== undefined) reply(sealed);
    }
    const message = decodeOuter(await next());
    if (message.t !== 'sealed') throw new Error('no sealed');
    request = decodeRequest(await channel.open(message.ct));
  }
}

async function document(script: Script, publicKey: Uint8Array, nonce: Uint8Array): Promise<Uint8Array> {
  const issuer = script.issuer ?? (await testIssuer());
  const claims: Claims = {
    moduleId: 'i-0123456789abcdef0-enc0123456789abcdef',
    pcrs: new Map([PCRS.PCR0, PCRS.PCR1, PCRS.PCR2].map((hex, index) => [index, fromHex(hex)])),
    publicKey,
    nonce,
    userData: encodeUserData(DIGEST),
  };
  const signed = await issuer.sign(script.claims?.(claims) ?? claims);
  return script.document?.(signed) ?? signed;
}

function answering(
  script: Script,
  channel: SealedChannel,
): (request: Request, input: Uint8Array | undefined) => Promise<Uint8Array | undefined> {
  return async (request, input) => {
    const scripted = script.answer === undefined ? await sensible(request, channel) : script.answer(request, input);
    if (scripted === undefined) return undefined;
    const padded = scripted.t === 'answer' ? padAnswer(scripted, 1024) : padPlain(scripted);
    return encodeOuter({ t: 'sealed', ct: await channel.seal(padded) });
  };
}

/** Alice is whoever shows the challenge, masked as her KMS masks it. */
async function sensible(request: Request, channel: SealedChannel): Promise<Answer> {
  switch (request.t) {
    case 'authenticate':
      return (await showsChallenge(request, channel))
        ? { t: 'authenticated', party: 'alice' }
        : { t: 'refused', refused: 'kms-refused' };
    case 'call':
      return { t: 'answer', output: '{"labels":[]}' };
    case 'contribute':
      return { t: 'contributed', modelSha256: new Uint8Array(32).fill(1) };
    case 'status':
      return { t: 'status', status: '{"functions":{}}' };
    case 'chunk':
      return { t: 'refused', refused: 'input-invalid', detail: 'a chunk by itself' };
  }
}

async function showsChallenge({ ciphertext }: Authenticate, channel: SealedChannel): Promise<boolean> {
  const challenge = await channel.export(EXPORT_LABELS.challenge, CHALLENGE_BYTES);
  return (
    Buffer.compare(
      ciphertext,
      challenge.map((byte) => byte ^ MASK),
    ) === 0
  );
}

interface Queue {
  push(body: Uint8Array): void;
  next(signal?: AbortSignal): Promise<Uint8Array>;
  end(): void;
  ended(): boolean;
}

function queue(): Queue {
  const held: Uint8Array[] = [];
  const waiting: { resolve: (body: Uint8Array) => void; reject: (error: unknown) => void }[] = [];
  let over = false;
  return {
    push(body) {
      const waiter = waiting.shift();
      if (waiter === undefined) held.push(body);
      else waiter.resolve(body);
    },
    next(signal) {
      return new Promise((resolve, reject) => {
        const body = held.shift();
        if (body !== undefined) resolve(body);
        else if (over) reject(cutFailure());
        else {
          waiting.push({ resolve, reject });
          signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
        }
      });
    },
    end() {
      over = true;
      for (const waiter of waiting.splice(0)) waiter.reject(cutFailure());
    },
    ended: () => over,
  };
}
