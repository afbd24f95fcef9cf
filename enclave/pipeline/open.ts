/** Stage 1. Frame -> OpenedRequest: the next message of this channel, whole, in order, and in the one encoding. */
import { createHash } from 'node:crypto';
import { Failure } from '../../policies/failure.ts';
import { decodeOuter } from '../protocol/frame.ts';
import type { Call, Request } from '../protocol/request.ts';
import { assembleInput, decodeRequest } from '../protocol/request.ts';
import type { SealedChannel } from '../protocol/session.ts';
import type { Frame } from './frame.ts';

export type OpenCode = 'session/out-of-place';

const OPENED: unique symbol = Symbol('OpenedRequest');

/** What a party asked, authentic and well-formed. By whom is for the next stage to say. */
export interface OpenedRequest<R extends Request = Request> {
  readonly request: R;
  readonly [OPENED]: true;
}

/** The whole input of a call. Where it is more than the call may have, it was read and digested, not kept. */
export interface ReceivedInput {
  /** SHA-256 of everything that was sent. */
  readonly digest: Uint8Array;
  readonly bytes: Uint8Array | 'too-large';
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

/**
 * The chunks that follow a call. All of them are taken, whatever will be answered: what is refused looks the same on the
 * wire as what is not. Memory grows with what arrived, to `maxBytes` and no further.
 */
export async function receiveInput(
  next: () => Promise<Frame | undefined>,
  channel: SealedChannel,
  call: OpenedRequest<Call>,
  maxBytes: number,
): Promise<ReceivedInput> {
  const { inputBytes } = call.request;
  const kept = inputBytes <= maxBytes;
  const assembly = assembleInput(inputBytes, kept);
  const hash = createHash('sha256');
  for (;;) {
    const frame = await next();
    const opened = frame === undefined ? undefined : await open(channel, frame);
    if (opened === undefined || !asks(opened, 'chunk')) throw outOfPlace('an input that does not go on');
    const { request: chunk } = opened;
    hash.update(chunk.data);
    const whole = assembly.add(chunk);
    if (whole !== undefined) return { digest: new Uint8Array(hash.digest()), bytes: kept ? whole : 'too-large' };
  }
}

export function outOfPlace(what: string): Failure<OpenCode> {
  return new Failure('malformed', 'session/out-of-place', `the party sent ${what}`);
}
