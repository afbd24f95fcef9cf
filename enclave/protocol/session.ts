/**
 * The sealed channel between one party and one enclave: an HPKE context whose two directions have keys of their own.
 *
 *     hello, welcome                            the first two bodies, as they were on the wire
 *     info          = SHA-384(hello || welcome)
 *     shared_secret = DHKEM(X25519)             the welcome's attested public_key; `enc` is in `open`
 *     HPKE key schedule (RFC 9180, section 5.1, mode_base) over shared_secret and info gives
 *       key, base_nonce
 *         request i (party -> enclave) = AES-256-GCM(key, base_nonce XOR i)
 *       exporter_secret
 *         Export("accord/v1/answers", 44)       = answer_key[32] || answer_nonce[12]
 *         answer j (enclave -> party)  = AES-256-GCM(answer_key, answer_nonce XOR j)
 *         Export("accord/v1/kms-challenge", 32) = what the party's KMS must encrypt
 *
 * `i` and `j` count from 0 and are never sent: a message that is dropped, repeated, moved or cut does not open, and
 * after the first one that does not open nothing does (poisoned). `info` binds both keys to this nonce, this document
 * and this connection. The responder's key pair lives as long as its connection: whoever records the traffic and later
 * takes over the enclave finds no key for it, and a recording that is replayed meets another key.
 */
import { Failure } from '../../policies/failure.ts';
import { AEAD, importAeadKey, open as openAead, seal as sealAead } from '../crypto/aead.ts';
import type { AeadKey } from '../crypto/aead.ts';
import { sha384 } from '../crypto/digest.ts';
import { concat } from '../encoding/bytes.ts';
import { generateKeyPair, setupRecipient, setupSender } from '../crypto/hpke.ts';
import type { HpkeKeyPair, RecipientContext, SenderContext } from '../crypto/hpke.ts';
import type { RandomSource } from '../crypto/random.ts';

export type SessionCode =
  | 'session/unauthentic' // a message that is not the next one of this channel
  | 'session/poisoned' // an earlier message was not
  | 'session/erased' // the connection is over, its keys are gone
  | 'session/used' // a responder's key serves one connection
  | 'session/exhausted'; // 2^32 messages in one direction

export const EXPORT_LABELS = { answers: 'accord/v1/answers', challenge: 'accord/v1/kms-challenge' } as const;
export const CHALLENGE_BYTES = 32;
const MAX_MESSAGES = 4_294_967_296;

export interface SealedChannel {
  /** The next message to the other side. Copies the plaintext before it waits. */
  seal(plaintext: Uint8Array): Promise<Uint8Array>;
  /** The next message from the other side. Throws `session/unauthentic`, and from then on `session/poisoned`. */
  open(ciphertext: Uint8Array): Promise<Uint8Array>;
  /** A secret that both sides share under this label, independent of those under any other (RFC 9180, section 5.3). */
  export(label: string, length: number): Promise<Uint8Array>;
  /** Drops the keys. Everything fails afterwards with `session/erased`. */
  erase(): void;
}

export interface Responder {
  /** X25519, 32 bytes: the `public_key` of this connection's attestation document. */
  readonly publicKey: Uint8Array;
  /** Once. `info` as of `sessionInfo`. */
  accept(enc: Uint8Array, info: Uint8Array): Promise<SealedChannel>;
  /** Drops the private key and the channel's keys. Keys that OpenSSL holds are freed with their last reference. */
  erase(): void;
}

/** SHA-384 of the bodies of `hello` and `welcome` as they were sent. */
export function sessionInfo(hello: Uint8Array, welcome: Uint8Array): Promise<Uint8Array> {
  return sha384(hello, welcome);
}

/** The enclave's side: a key pair for one connection. */
export async function responder(random: RandomSource): Promise<Responder> {
  let keys: HpkeKeyPair | undefined = await generateKeyPair(random);
  const { publicKey } = keys;
  let channel: SealedChannel | undefined;
  let erased = false;
  return {
    publicKey,
    async accept(enc, info) {
      if (erased) throw failure('session/erased', 'the key of this connection is erased');
      if (keys === undefined) throw failure('session/used', 'the key of this connection was used already');
      const own = keys;
      keys = undefined;
      const context = await setupRecipient(own, enc, info);
      const made = await recipientChannel(context);
      if (erased) made.erase();
      channel = made;
      return made;
    },
    erase() {
      erased = true;
      keys = undefined;
      channel?.erase();
    },
  };
}

/**
 * The party's side: encapsulates to the public key of an attestation document. That the document was verified is for
 * the caller to make sure; `parties/session` does so by type.
 */
export async function initiate(
  publicKey: Uint8Array,
  info: Uint8Array,
  random: RandomSource,
): Promise<{ readonly enc: Uint8Array; readonly channel: SealedChannel }> {
  const { enc, context } = await setupSender(publicKey, info, random);
  return { enc, channel: await senderChannel(context) };
}

async function senderChannel(context: SenderContext): Promise<SealedChannel> {
  const answers = await answerDirection(context);
  return channelOf(context, (plaintext) => context.Seal(plaintext), answers.open);
}

async function recipientChannel(context: RecipientContext): Promise<SealedChannel> {
  const answers = await answerDirection(context);
  return channelOf(context, answers.seal, (ciphertext) => context.Open(ciphertext));
}

type Direction = (bytes: Uint8Array) => Promise<Uint8Array>;
type Exporter = Pick<SenderContext, 'Export'>;

/** HPKE itself goes one way only; RFC 9180, section 9.8, has the answers keyed by the exporter. */
async function answerDirection(context: Exporter): Promise<{ readonly seal: Direction; readonly open: Direction }> {
  const secret = await exported(context, EXPORT_LABELS.answers, AEAD.keyBytes + AEAD.nonceBytes);
  const key: AeadKey = await importAeadKey(secret.subarray(0, AEAD.keyBytes));
  const base = secret.slice(AEAD.keyBytes);
  secret.fill(0);
  let sequence = 0;
  const nothing = new Uint8Array(0);
  return {
    // The number is taken before anything is awaited: no two messages ever share a nonce.
    seal: (plaintext) => sealAead(key, nonceOf(base, sequence++), nothing, plaintext),
    open: (ciphertext) => openAead(key, nonceOf(base, sequence++), nothing, ciphertext),
  };
}

function channelOf(context: Exporter, seal: Direction, open: Direction): SealedChannel {
  type Live = { readonly context: Exporter; readonly seal: Direction; readonly open: Direction };
  let live: Live | undefined = { context, seal, open };
  let why: 'session/poisoned' | 'session/erased' = 'session/erased';
  let sealed = 0;
  let opened = 0;
  let previous: Promise<unknown> = Promise.resolve();

  const alive = (): Live => {
    if (live !== undefined) return live;
    throw why === 'session/erased'
      ? failure(why, 'the session is over')
      : failure(why, 'an earlier message of this session was not authentic');
  };
  const openNext = async (ciphertext: Uint8Array): Promise<Uint8Array> => {
    const { open } = alive();
    if (opened++ >= MAX_MESSAGES) throw failure('session/exhausted', 'too many messages in one session');
    try {
      return await open(ciphertext);
    } catch {
      live = undefined;
      why = 'session/poisoned';
      throw failure('session/unauthentic', 'a message was changed, repeated, left out or moved on its way');
    }
  };
  return {
    async seal(plaintext) {
      const { seal } = alive();
      if (sealed++ >= MAX_MESSAGES) throw failure('session/exhausted', 'too many messages in one session');
      return seal(concat(plaintext));
    },
    // One after the other: what comes after a forgery must not open because it was already under way.
    open(ciphertext) {
      const copy = concat(ciphertext);
      const result = previous.then(() => openNext(copy));
      previous = result.catch(() => {});
      return result;
    },
    async export(label, length) {
      return exported(alive().context, label, length);
    },
    erase() {
      if (live === undefined) return;
      live = undefined;
      why = 'session/erased';
    },
  };
}

function exported(context: Exporter, label: string, length: number): Promise<Uint8Array> {
  return context.Export(new TextEncoder().encode(label), length);
}

/** `base` XOR the number as 96-bit big-endian integer, as RFC 9180, section 5.2, computes nonces. */
function nonceOf(base: Uint8Array, sequence: number): Uint8Array {
  const nonce = concat(base);
  const view = new DataView(nonce.buffer);
  view.setUint32(4, view.getUint32(4) ^ Math.floor(sequence / 2 ** 32));
  view.setUint32(8, view.getUint32(8) ^ (sequence % 2 ** 32));
  return nonce;
}

const HINTS = {
  'session/unauthentic': 'open a new session; if it happens again, somebody on the way changes messages',
  'session/poisoned': 'open a new session',
  'session/erased': 'open a new session',
  'session/used': 'open a new session',
  'session/exhausted': 'open a new session',
} as const satisfies Record<SessionCode, string>;

function failure(code: SessionCode, message: string): Failure<SessionCode> {
  return new Failure('refused', code, message, { hint: HINTS[code] });
}
