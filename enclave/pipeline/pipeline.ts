/**
 * The table of contents. Each stage takes what only the one before it makes:
 *
 *     Frame -> OpenedRequest -> Authenticated -> Admitted -> ValidInput -> RawOutput -> Confirmed -> PaddedAnswer ->
 *     SealedAnswer -> Frame
 *
 * A stage that says no ends the way to the padding, where a refusal takes the answer's place. A request that was answered
 * before goes from Authenticated straight to its PaddedAnswer (recall.ts).
 */
import type { Gate } from '../gate.ts';
import type { Call } from '../protocol/request.ts';
import { admit, dismiss, functionOf } from './admit.ts';
import { authenticate } from './authenticate.ts';
import { compute } from './compute.ts';
import { confirm } from './confirm.ts';
import { contribute } from './contribute.ts';
import type { Frame } from './frame.ts';
import type { OpenedRequest } from './open.ts';
import { asks, open, outOfPlace, receiveInput } from './open.ts';
import { pad, sizeOf } from './pad.ts';
import { keep, recall } from './recall.ts';
import { orRefusal } from './refused.ts';
import { release } from './release.ts';
import { seal } from './seal.ts';
import type { Session } from './authenticate.ts';
import { status } from './status.ts';
import { validate } from './validate.ts';

/** Where the frames of a session come from; each wait is bounded by the connection. */
export type NextFrame = () => Promise<Frame | undefined>;

/** One request and all that belongs to it; undefined where the party says that it is done. */
export async function answer(
  gate: Gate,
  session: Session,
  frame: Frame,
  next: NextFrame,
  signal: AbortSignal,
): Promise<Frame | undefined> {
  const opened = await open(session.channel, frame);
  if (opened === undefined) return undefined;
  if (asks(opened, 'call')) return answerCall(gate, session, opened, next, signal);
  if (asks(opened, 'contribute'))
    return release(await seal(session.channel, await contribute(gate, session, opened, signal)));
  if (asks(opened, 'status')) return release(await seal(session.channel, await status(gate, session, opened, signal)));
  throw outOfPlace(`a ${opened.request.t} where none may stand`);
}

async function answerCall(
  gate: Gate,
  session: Session,
  opened: OpenedRequest<Call>,
  next: NextFrame,
  signal: AbortSignal,
): Promise<Frame> {
  const name = opened.request.function;
  const slot = gate.slots.enter(`call ${session.party}`);
  const maxBytes = slot === undefined ? 0 : (functionOf(gate, name)?.input.maxBytes ?? 0);
  try {
    const input = await receiveInput(next, session.channel, opened, maxBytes);
    const answered = await orRefusal(async () => {
      const caller = await authenticate(gate, session, opened);
      const given = await recall(gate, caller, { input, slot }, signal);
      if (given !== undefined) return given;
      const admitted = await admit(gate, caller, { input, slot }, signal);
      try {
        const outcome = await orRefusal(async () => compute(validate(admitted), signal));
        return keep(gate, admitted, await confirm(admitted, outcome));
      } finally {
        dismiss(admitted);
      }
    });
    const padded = 'refused' in answered ? pad(answered, sizeOf(gate, name)) : answered;
    const sealed = await seal(session.channel, padded);
    return release(sealed);
  } finally {
    slot?.();
  }
}
