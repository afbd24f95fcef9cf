/**
 * One connection, which is one session of one party (docs/protocol.md numbers the messages).
 *
 *     party                                    enclave
 *     hello {nonce}                  ->        makes a key pair for this connection alone
 *                                    <-        welcome {attestation}: that key, the nonce, the policy
 *     open {enc, sealed authenticate} ->       KMS opens the challenge, attested
 *                                    <-        sealed {authenticated}, or an answer of the same size
 *     sealed {...}                   ->  <-    sealed {...}                                            repeatedly
 *
 * Until it is authenticated a peer gets little: small frames, a deadline for its words and one for KMS (between them it waits
 * for this boot's key), and one look for every failure (an answer of the size of a success; random bytes where there is no
 * channel to seal it in). A recording that is played again meets another key pair, so its first sealed message does not open.
 */
import type { Duplex } from 'node:stream';
import { Failure } from '../policies/failure.ts';
import { controllerForMany, deadline, orAborted, within } from './deadline.ts';
import type { Gate } from './gate.ts';
import { receive } from './pipeline/frame.ts';
import type { Received } from './pipeline/frame.ts';
import { asks, openSealed, outOfPlace } from './pipeline/open.ts';
import type { OpenedRequest } from './pipeline/open.ts';
import { openSession } from './pipeline/authenticate.ts';
import { answer } from './pipeline/pipeline.ts';
import type { Line } from './pipeline/pipeline.ts';
import { orRefusal } from './pipeline/refused.ts';
import { release } from './pipeline/release.ts';
import { seal } from './pipeline/seal.ts';
import type { Session } from './pipeline/authenticate.ts';
import { PLAIN_PAD_BYTES, padPlain } from './protocol/answer.ts';
import { decodeOuter, encodeOuter, frameReader, writeFrame, writeNow } from './protocol/frame.ts';
import { LIMITS } from './protocol/limits.ts';
import type { Authenticate } from './protocol/request.ts';
import type { Responder, SealedChannel } from './protocol/session.ts';
import { responder, sessionInfo } from './protocol/session.ts';

/** 24 KiB: an `open` with the longest ARN, challenge and session token has less than 16 KiB. */
const HANDSHAKE_FRAME_BYTES = 24_576;
/** AES-GCM's tag. */
const SEAL_BYTES = 16;
/** How long a frame of a call under way may take to arrive, and an answer to be taken. */
const FRAME_MS = 30_000;
/** How long a request may take from its first frame to its answer. A contribution takes longest: it ends in a loaded model. */
const REQUEST_MS = 900_000;
const GOODBYE_MS = 2_000;

export interface ConnectionEvents {
  /** The connection is a session now: it belongs to this party. */
  authenticated(party: string): void;
}

/** Serves until the party is done, the session is over, something is wrong with the peer, or `signal` is aborted. */
export async function serveConnection(
  gate: Gate,
  stream: Duplex,
  events: ConnectionEvents,
  signal: AbortSignal,
): Promise<void> {
  let keys: Responder | undefined;
  // What a party's credentials may be used for ends with its connection.
  const lent = controllerForMany();
  // Not before a hello is there: whoever opens connections and says nothing costs no key.
  const makeKeys = async (): Promise<Responder> => (keys = await responder(gate.random));
  try {
    const session = await shakeHands(gate, stream, makeKeys, signal);
    if (session === undefined) return;
    events.authenticated(session.party);
    gate.opening.arrived(session.party, session.keyArn, session.credentials, lent.signal);
    await serveSession(gate, stream, session, signal);
  } catch (error) {
    // Whatever a peer did wrong, or the host to the connection, ends the connection and nothing else.
    if (!(error instanceof Failure) && !signal.aborted) throw error;
    await sayGoodbye(gate, stream);
  } finally {
    lent.abort(new Error('the session is over'));
    keys?.erase();
    await hangUp(gate, stream);
  }
}

/** Undefined where the peer was refused, and has been told, or is gone. */
async function shakeHands(
  gate: Gate,
  stream: Duplex,
  makeKeys: () => Promise<Responder>,
  signal: AbortSignal,
): Promise<Session | undefined> {
  const bounded = <T>(what: string, work: (limit: AbortSignal) => Promise<T>): Promise<T> =>
    within(gate.timers, LIMITS.handshakeMs, what, work, signal);
  const first = await bounded('opening a session', (limit) => greet(gate, stream, makeKeys, limit));
  if (first === undefined) return undefined;
  // Made once after boot. What it takes is not the peer's doing, and not of its time.
  await orAborted(gate.recipientKeyMade, signal);
  return bounded('authenticating', (limit) => introduce(gate, stream, first, limit));
}

/** From hello to the first sealed message. */
async function greet(
  gate: Gate,
  stream: Duplex,
  makeKeys: () => Promise<Responder>,
  signal: AbortSignal,
): Promise<First | undefined> {
  const reader = frameReader(stream, HANDSHAKE_FRAME_BYTES);
  const hello = await reader.readFrame(signal);
  if (hello === undefined) return undefined;
  const greeting = decodeOuter(hello);
  if (greeting.t !== 'hello') throw outOfPlace(`a ${greeting.t} message instead of hello`);
  const keys = await makeKeys();
  const attestation = await gate.issuer.forConnection(keys.publicKey, greeting.nonce);
  const welcome = encodeOuter({ t: 'welcome', attestation });
  await writeFrame(stream, welcome, signal);

  const body = await reader.readFrame(signal);
  if (body === undefined) return undefined;
  const opened = await openFirst(keys, hello, welcome, body);
  if (opened === undefined) await writeFrame(stream, await unreadable(gate), signal);
  return opened;
}

/** Who it is, by the party's own KMS. */
async function introduce(
  gate: Gate,
  stream: Duplex,
  { channel, request }: First,
  signal: AbortSignal,
): Promise<Session | undefined> {
  const outcome = await orRefusal(() => openSession(gate, channel, request, signal));
  const first = padPlain(
    'refused' in outcome ? { t: 'refused', ...outcome } : { t: 'authenticated', party: outcome.party },
  );
  await writeFrame(stream, release(await seal(channel, first)).body, signal);
  return 'refused' in outcome ? undefined : outcome;
}

interface First {
  readonly channel: SealedChannel;
  readonly request: OpenedRequest<Authenticate>;
}

/** The channel and its first message; undefined for everything that is not an `authenticate` sealed to this connection. */
async function openFirst(
  keys: Responder,
  hello: Uint8Array,
  welcome: Uint8Array,
  body: Uint8Array,
): Promise<First | undefined> {
  try {
    const message = decodeOuter(body);
    if (message.t !== 'open') return undefined;
    const channel = await keys.accept(message.enc, await sessionInfo(hello, welcome));
    const opened = await openSealed(channel, message.ct);
    return asks(opened, 'authenticate') ? { channel, request: opened } : undefined;
  } catch (error) {
    if (error instanceof Failure) return undefined;
    throw error;
  }
}

/** What a refusal looks like to everybody but the peer that it is sealed to. */
async function unreadable(gate: Gate): Promise<Uint8Array> {
  return encodeOuter({ t: 'sealed', ct: await gate.random(PLAIN_PAD_BYTES + SEAL_BYTES) });
}

async function serveSession(gate: Gate, stream: Duplex, session: Session, signal: AbortSignal): Promise<void> {
  const left = Math.max(0, session.expiresAt - (await gate.issuer.clock.now()));
  // Answers "session-expired" to a request that comes a little late, then ends it.
  const life = deadline(gate.timers, left + FRAME_MS, 'a session', signal);
  const reader = frameReader(stream);
  const now = (): number => gate.schedule.now();
  let taken: ((signal: AbortSignal) => Promise<void>) | undefined;
  const line: Line = {
    next: (): Promise<Received | undefined> =>
      within(gate.timers, FRAME_MS, 'the rest of an input', (limit) => receive(reader, now, limit), life.signal),
    write: (frame) => void (taken = writeNow(stream, frame)),
  };
  try {
    for (;;) {
      const frame = await receive(reader, now, life.signal);
      if (frame === undefined) return;
      const request = within(
        gate.timers,
        REQUEST_MS,
        'a request',
        (limit) => answer(gate, session, frame, line, limit),
        signal,
      );
      // A call goes on without its connection, and nobody waits for it here.
      request.catch(() => {});
      if ((await orAborted(request, signal)) === 'done') return;
      await within(gate.timers, FRAME_MS, 'taking an answer', async (limit) => taken?.(limit), signal);
    }
  } finally {
    life.cancel();
  }
}

async function sayGoodbye(gate: Gate, stream: Duplex): Promise<void> {
  try {
    const closed = encodeOuter({ t: 'closed' });
    await within(gate.timers, GOODBYE_MS, 'saying goodbye', (limit) => writeFrame(stream, closed, limit));
  } catch {
    // A peer that is gone, or does not read, is not told.
  }
}

/** Over vsock there is no half-close: what was written is flushed, then everything is closed. */
async function hangUp(gate: Gate, stream: Duplex): Promise<void> {
  if (stream.destroyed) return;
  await new Promise<void>((resolve) => {
    const stop = gate.timers(GOODBYE_MS, resolve);
    stream.once('close', resolve);
    stream.end(() => (stop(), resolve()));
  });
  stream.destroy();
}
