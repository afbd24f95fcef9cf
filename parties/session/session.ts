/**
 * A party's session with a verified enclave:
 *
 *     hello -> welcome -> verify -> open -> authenticate -> call | contribute | status, as often as wanted
 *
 * One KMS request of the party's opens it; calls in it cost none. One request is under way at a time. The first fault
 * ends the session: its keys are erased and the connection is closed. Nothing is lost by that: a call that was sent keeps
 * its request id, and asking again under it is free.
 */
import type { RandomSource } from '../../enclave/crypto/random.ts';
import { unpadAnswer } from '../../enclave/protocol/answer.ts';
import type { Answer } from '../../enclave/protocol/answer.ts';
import { sessionContext } from '../../enclave/protocol/context.ts';
import type { EncryptionContext } from '../../enclave/protocol/context.ts';
import { SESSION_ID_BYTES, inputChunks } from '../../enclave/protocol/request.ts';
import type { Call, EnclaveCredentials, Request } from '../../enclave/protocol/request.ts';
import { CHALLENGE_BYTES, EXPORT_LABELS } from '../../enclave/protocol/session.ts';
import { bucketOf } from '../../policies/buckets.ts';
import { Failure } from '../../policies/failure.ts';
import type { PolicyDigest } from '../../policies/model.ts';
import type { ChainCache, VerifiedAttestation } from '../attestation/verify.ts';
import type { FrameChannel } from './channel.ts';
import { greet, openChannel, openReply, sealRequest, verifyGreeting } from './handshake.ts';
import type { EnclaveExpectation, HandshakeCode, VerifiedChannel } from './handshake.ts';
import { withPatience } from './patience.ts';
import type { PatienceCode } from './patience.ts';
import { Refused } from './refusal.ts';
import type { Circumstances } from './refusal.ts';

export type PartySessionCode =
  | HandshakeCode
  | PatienceCode
  | 'session/other-party' // the enclave took us for somebody else
  | 'session/over'; // an earlier request of this session failed

export interface SessionTimeouts {
  /** Milliseconds, each. Connection to welcome. */
  readonly greetMs: number;
  /** The party's KMS and STS, then the enclave's KMS. */
  readonly authenticateMs: number;
  /** From the last chunk to the answer, the time that the policy gives it not counted: the enclave computes at most 30 s. */
  readonly answerMs: number;
  /** One frame to be taken by the relay. */
  readonly sendMs: number;
  /** The enclave fetches, opens and loads the model. */
  readonly contributeMs: number;
}

export const SESSION_TIMEOUTS: SessionTimeouts = {
  greetMs: 20_000,
  authenticateMs: 60_000,
  answerMs: 90_000,
  sendMs: 30_000,
  contributeMs: 900_000,
};

export interface SessionOptions {
  readonly channel: FrameChannel;
  readonly party: string;
  readonly keyArn: string;
  readonly policyDigest: PolicyDigest;
  readonly expectation: EnclaveExpectation;
  /** The party's own KMS: encrypts the challenge under its key. Asked once a session. */
  readonly encryptChallenge: (
    challenge: Uint8Array,
    context: EncryptionContext,
    signal: AbortSignal,
  ) => Promise<Uint8Array>;
  /** Short-lived ones for the enclave, limited to the party's key. Asked once a session. */
  readonly credentials: (signal: AbortSignal) => Promise<EnclaveCredentials>;
  readonly random: RandomSource;
  readonly now: () => Date;
  /** How a refusal is told: what it is that the session is opened for. */
  readonly circumstances?: Circumstances;
  readonly chains?: ChainCache;
  readonly timeouts?: Partial<SessionTimeouts>;
  readonly signal?: AbortSignal;
  /** Told before each step that may take a while. */
  readonly onProgress?: (step: string) => void;
}

type AnswerTo<T extends Answer['t']> = Extract<Answer, { readonly t: T | 'refused' }>;

/** What of a function's policy shows on the wire. */
export interface CallTerms {
  /** The input is padded to the smallest of these that holds it; one that none holds is sent as it is, and refused. */
  readonly input: { readonly buckets: readonly number[] };
  /** Milliseconds from the request's last byte to the answer. */
  readonly release: { readonly afterMs: number };
}

export interface Session {
  readonly attestation: VerifiedAttestation;
  /**
   * `requestId` has 32 bytes. `input` is copied chunk by chunk as it is sent; leave it alone until this resolves. `terms`:
   * what the policy says of the function.
   */
  call(functionName: string, requestId: Uint8Array, input: Uint8Array, terms: CallTerms): Promise<AnswerTo<'answer'>>;
  /**
   * After the envelope was stored with the orchestrator. `sha256` has 32 bytes, `bytes` is its length; `testData` where its
   * encryption context marks it as such. Default no.
   */
  contribute(
    functionName: string,
    sha256: Uint8Array,
    bytes: number,
    testData?: boolean,
  ): Promise<AnswerTo<'contributed'>>;
  status(): Promise<AnswerTo<'status'>>;
  close(): Promise<void>;
}

/** Throws `Failure` of `attestation/…`, `session/…`, `aws/…`, `enclave/…`; the connection is then closed. */
export async function openSession(options: SessionOptions): Promise<Session> {
  const { channel, random, now, chains, signal, onProgress = () => {} } = options;
  const timeouts: SessionTimeouts = { ...SESSION_TIMEOUTS, ...options.timeouts };
  try {
    const { attestation, verified } = await withPatience(
      'reaching the enclave',
      timeouts.greetMs,
      signal,
      async (limit) => {
        const greeting = await greet(channel, random, limit);
        const attestation = await verifyGreeting(greeting, options.expectation, now(), chains);
        return { attestation, verified: await openChannel(attestation, greeting, random) };
      },
    );
    onProgress('authenticating with KMS');
    await withPatience('authenticating', timeouts.authenticateMs, signal, (limit) =>
      authenticate(options, verified, limit),
    );
    return sessionOver(channel, verified, attestation, timeouts, signal);
  } catch (error) {
    await channel.close();
    throw error;
  }
}

/** Shows that we may use our key: our own KMS encrypts a secret that only this channel's two ends know. */
async function authenticate(options: SessionOptions, verified: VerifiedChannel, signal: AbortSignal): Promise<void> {
  const { channel, party, keyArn, policyDigest, random } = options;
  const sessionId = new Uint8Array(await random(SESSION_ID_BYTES));
  const challenge = await verified.channel.export(EXPORT_LABELS.challenge, CHALLENGE_BYTES);
  const context = sessionContext({ policyDigest, party, sessionId });
  const [ciphertext, credentials] = await Promise.all([
    options.encryptChallenge(challenge, context, signal),
    options.credentials(signal),
  ]);
  challenge.fill(0);
  const request: Request = { t: 'authenticate', keyArn, sessionId, ciphertext, credentials };
  await channel.send(await sealRequest(verified, request, true), signal);
  const answer = unpadAnswer(await openReply(verified, await channel.receive(signal)));
  if (answer.t === 'refused') throw new Refused(refusalOf(answer), options.circumstances);
  if (answer.t !== 'authenticated') throw outOfPlace(answer);
  if (answer.party === party) return;
  throw new Failure<PartySessionCode>(
    'refused',
    'session/other-party',
    `the enclave took this session for ${answer.party}'s`,
    {
      hint: `the policy gives this key to ${answer.party}; make the home of the right party`,
    },
  );
}

function sessionOver(
  channel: FrameChannel,
  verified: VerifiedChannel,
  attestation: VerifiedAttestation,
  timeouts: SessionTimeouts,
  signal: AbortSignal | undefined,
): Session {
  let over = false;
  let previous: Promise<unknown> = Promise.resolve();
  const close = async (): Promise<void> => {
    over = true;
    verified.channel.erase();
    await channel.close();
  };

  const exchange = async <T extends Answer['t']>(
    requests: Iterable<Request>,
    wanted: T,
    answerMs: number,
  ): Promise<AnswerTo<T>> => {
    if (over) {
      throw new Failure<PartySessionCode>('environment', 'session/over', 'this session is over', {
        hint: 'open a new one; the same call in it is free',
      });
    }
    try {
      for (const request of requests) {
        await withPatience('sending to the enclave', timeouts.sendMs, signal, async (limit) =>
          channel.send(await sealRequest(verified, request, false), limit),
        );
      }
      const body = await withPatience('waiting for the answer', answerMs, signal, (limit) => channel.receive(limit));
      const answer = unpadAnswer(await openReply(verified, body));
      if (!isOneOf(answer, wanted)) throw outOfPlace(answer);
      return answer;
    } catch (error) {
      await close();
      throw error;
    }
  };
  /** One request at a time: the answer to one is not taken for another's. */
  const inOrder = <T>(run: () => Promise<T>): Promise<T> => {
    const result = previous.then(run);
    previous = result.catch(() => {});
    return result;
  };

  return {
    attestation,
    call: (name, requestId, input, { input: { buckets }, release: { afterMs } }) => {
      const paddedBytes = bucketOf(buckets, input.length) ?? input.length;
      const call: Call = { t: 'call', function: name, requestId: new Uint8Array(requestId), inputBytes: input.length, paddedBytes }; // prettier-ignore
      return inOrder(() => exchange(callRequests(call, input), 'answer', timeouts.answerMs + afterMs));
    },
    contribute: (name, digest, bytes, testData = false) => {
      const envelopeSha256 = new Uint8Array(digest);
      const request: Request = { t: 'contribute', function: name, envelopeSha256, bytes, testData };
      return inOrder(() => exchange([request], 'contributed', timeouts.contributeMs));
    },
    status: () => inOrder(() => exchange([{ t: 'status' }], 'status', timeouts.answerMs)),
    close,
  };
}

function* callRequests(call: Call, input: Uint8Array): Generator<Request, void, undefined> {
  yield call;
  yield* inputChunks(input, call.paddedBytes);
}

function isOneOf<T extends Answer['t']>(answer: Answer, wanted: T): answer is AnswerTo<T> {
  return answer.t === wanted || answer.t === 'refused';
}

function refusalOf({ refused, detail }: Extract<Answer, { readonly t: 'refused' }>): Refused['refusal'] {
  return detail === undefined ? { refused } : { refused, detail };
}

function outOfPlace({ t }: Answer): Failure<PartySessionCode> {
  return new Failure('refused', 'session/out-of-place', `the enclave answered with ${t} to something else`, {
    hint: 'this enclave does not keep to the protocol of this version',
  });
}
