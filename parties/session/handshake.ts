/**
 * From a connection to a sealed channel, in the only order that there is:
 *
 *     hello -> welcome -> verify -> open
 *
 * `openChannel` takes a `VerifiedAttestation`, and nothing else makes a `VerifiedChannel`: there is no way to seal a
 * request to an enclave that was not verified.
 */
import type { RandomSource } from '../../enclave/crypto/random.ts';
import { HPKE } from '../../enclave/crypto/hpke.ts';
import { NONCE_BYTES, PROTOCOL_VERSION, decodeOuter, encodeOuter } from '../../enclave/protocol/frame.ts';
import type { OuterMessage } from '../../enclave/protocol/frame.ts';
import { encodeRequest } from '../../enclave/protocol/request.ts';
import type { Request } from '../../enclave/protocol/request.ts';
import { initiate, sessionInfo } from '../../enclave/protocol/session.ts';
import type { SealedChannel } from '../../enclave/protocol/session.ts';
import { Failure } from '../../policies/failure.ts';
import { parseAttestation, verifyAttestation } from '../attestation/verify.ts';
import type { ChainCache, Expectation, VerifiedAttestation } from '../attestation/verify.ts';
import type { FrameChannel } from './channel.ts';

export type HandshakeCode =
  | 'session/out-of-place' // a message that may not stand there
  | 'session/closed' // the enclave ended the session
  | 'session/no-key'; // the document carries no X25519 key

/** What was said so far, unjudged. */
export interface Greeting {
  readonly nonce: Uint8Array;
  /** The attestation document as it came. */
  readonly document: Uint8Array;
  /** Binds the session to these two messages. */
  readonly info: Uint8Array;
}

/** Everything that a party expects but the nonce, which is the greeting's own. */
export type EnclaveExpectation = Omit<Expectation, 'nonce' | 'at'>;

export interface VerifiedChannel {
  readonly enc: Uint8Array;
  readonly channel: SealedChannel;
  readonly attestation: VerifiedAttestation;
  readonly __brand: 'VerifiedChannel';
}

/** Sends `hello` with a fresh nonce, reads `welcome`. */
export async function greet(channel: FrameChannel, random: RandomSource, signal: AbortSignal): Promise<Greeting> {
  const nonce = new Uint8Array(await random(NONCE_BYTES));
  const hello = encodeOuter({ t: 'hello', v: PROTOCOL_VERSION, nonce });
  await channel.send(hello, signal);
  const welcome = new Uint8Array(await channel.receive(signal));
  const message = decodeOuter(welcome);
  if (message.t !== 'welcome') throw unexpected(message, 'welcome');
  return { nonce, document: message.attestation, info: await sessionInfo(hello, welcome) };
}

/** Judges the document: now, for this nonce, against the pins. Throws `Failure<AttestationCode>`. */
export async function verifyGreeting(
  greeting: Greeting,
  expectation: EnclaveExpectation,
  now: Date,
  chains?: ChainCache,
): Promise<VerifiedAttestation> {
  const stated: Expectation = { ...expectation, nonce: greeting.nonce, at: now };
  return verifyAttestation(parseAttestation(greeting.document), stated, chains === undefined ? {} : { chains });
}

/** Keys for both directions, from the key that the document attests. */
export async function openChannel(
  attestation: VerifiedAttestation,
  greeting: Greeting,
  random: RandomSource,
): Promise<VerifiedChannel> {
  const { publicKey } = attestation.document;
  if (publicKey?.length !== HPKE.publicKeyBytes) {
    throw new Failure<HandshakeCode>('refused', 'session/no-key', 'the document carries no key for a session', {
      hint: 'this is no Accord enclave of this version',
    });
  }
  const opened = await initiate(publicKey, greeting.info, random);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the one place that makes this brand
  return { ...opened, attestation } as VerifiedChannel;
}

/** A request in a frame: the first one opens the session. */
export async function sealRequest(to: VerifiedChannel, request: Request, first: boolean): Promise<Uint8Array> {
  const ct = await to.channel.seal(encodeRequest(request));
  return encodeOuter(first ? { t: 'open', enc: to.enc, ct } : { t: 'sealed', ct });
}

/** The plaintext of the enclave's next message. */
export async function openReply(from: VerifiedChannel, body: Uint8Array): Promise<Uint8Array> {
  const message = decodeOuter(body);
  if (message.t !== 'sealed') throw unexpected(message, 'sealed');
  return from.channel.open(message.ct);
}

/** `closed` is not authenticated: a relay can say it too, and gains what cutting the line gains it. */
function unexpected({ t }: OuterMessage, wanted: OuterMessage['t']): Failure<HandshakeCode> {
  if (t === 'closed') {
    return new Failure('environment', 'session/closed', 'the session was closed from the other side', {
      hint: 'run the same command again; it costs nothing',
    });
  }
  return new Failure('refused', 'session/out-of-place', `a ${t} message came where ${wanted} was due`, {
    hint: 'whoever relays does not keep to the protocol; nothing was revealed',
  });
}
