/** Stage 1. Frame -> OpenedRequest: the next message of this channel, whole, in order, and in the one encoding. */
import { createHash } from 'node:crypto';
import { Failure } from '../../policies/failure.ts';
import { firstBytes } from '../encoding/bytes.ts';
import { decodeOuter } from '../protocol/frame.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { Call, Request } from '../protocol/request.ts';
import { chunkOrder, decodeRequest } from '../protocol/request.ts';
import type { SealedChannel } from '../protocol/session.ts';
import type { Frame, Received } from './frame.ts';

export type OpenCode = 'session/out-of-place';

/** Nothing is ever in it. */
const IN_ITS_PLACE = new Uint8Array(LIMITS.chunkBytes);

const OPENED: unique symbol = Symbol('OpenedRequest');

/** What a party asked, authentic and well-formed. By whom is for the next stage to say. */
export interface OpenedRequest<R extends Request = Request> {
  readonly request: R;
  readonly [OPENED]: true;
}

/** The whole input of a call. Where it is more than a call may have, it was read and digested, not kept. */
export interface ReceivedInput {
  /** SHA-256 of the input, without the zeros behind it. */
  readonly digest: Uint8Array;
  /** Of the input itself, as they came; none where it has no bytes. */
  readonly pieces: readonly Uint8Array[] | 'too-large';
  /** When the last of it was read, by the schedule's clock. */
  readonly arrival: number;
}

/** Undefined where the party says that it is done. Throws `frame/…`, `session/…`, `request/…`, `cbor/…`. */
export async function open(channel: SealedChannel, frame: Frame): Promise<OpenedRequest | undefined> {
  const message = decodeOuter(frame.body);
  if (message.t === 'closed') return undefined;
  if (message.t !== 'sealed') throw outOfPlace(`a ${message.t} message inside a session`);
  return openSealed(channel, message.ct);
}

/** The same for a ciphertext alone: the first one stands in an `open` message. */
export async function openSealed(channel: SealedChannel, ciphertext: Uint8Array): Promise<OpenedRequest> {
  return { request: decodeRequest(await channel.open(ciphertext)), [OPENED]: true };
}

/** Whether it is of this kind; narrows the type. */
export function asks<T extends Request['t']>(
  opened: OpenedRequest,
  t: T,
): opened is OpenedRequest<Extract<Request, { readonly t: T }>> {
  return opened.request.t === t;
}

/** Runs the work when nothing else of the same party is at it, whatever number of sessions it has. */
export type Turn = <T>(work: () => Promise<T>) => Promise<T>;

/**
 * The chunks that follow a call. All of them are taken, whatever will be answered: what is refused looks the same on the
 * wire as what is not. Memory grows with what arrived, to `maxBytes` and no further. What stands behind the input is not
 * read, and costs the time that the input does: how fast chunks are taken is seen by the host.
 */
export async function receiveInput(
  next: () => Promise<Received | undefined>,
  channel: SealedChannel,
  call: OpenedRequest<Call>,
  maxBytes: number,
  turn: Turn,
): Promise<ReceivedInput> {
  const { inputBytes, paddedBytes } = call.request;
  const kept = paddedBytes <= maxBytes;
  const order = chunkOrder(paddedBytes);
  const hash = createHash('sha256');
  const behind = createHash('sha256');
  const taken: Uint8Array[] = [];
  try {
    for (;;) {
      const frame = await next();
      if (frame === undefined) throw outOfPlace('an input that does not go on');
      const isWhole = await turn(async () => {
        const opened = await open(channel, frame);
        if (opened === undefined || !asks(opened, 'chunk')) throw outOfPlace('an input that does not go on');
        const { request: chunk } = opened;
        const end = Math.max(0, inputBytes - chunk.position);
        hash.update(chunk.data.subarray(0, end));
        behind.update(chunk.data.subarray(end));
        const isLast = order.add(chunk);
        if (kept) taken.push(chunk.data);
        // What is not kept is wiped; what is kept costs the same time.
        (kept ? IN_ITS_PLACE.subarray(0, chunk.data.length) : chunk.data).fill(0);
        return isLast;
      });
      if (!isWhole) continue;
      const digest = new Uint8Array(hash.digest());
      return { digest, pieces: kept ? firstBytes(taken, inputBytes) : 'too-large', arrival: frame.arrival };
    }
  } catch (error) {
    wipe(taken);
    throw error;
  }
}

/** Overwrites them with zeros. */
export function wipe(pieces: readonly Uint8Array[]): void {
  for (const piece of pieces) piece.fill(0);
}

/** What a function takes may be less than what was kept. */
export function limited(input: ReceivedInput, { paddedBytes }: Call, maxBytes: number): ReceivedInput {
  return paddedBytes <= maxBytes ? input : { ...input, pieces: 'too-large' };
}

export function outOfPlace(what: string): Failure<OpenCode> {
  return new Failure('malformed', 'session/out-of-place', `the party sent ${what}`);
}
