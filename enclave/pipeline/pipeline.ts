/**
 * The table of contents. Each stage takes what only the one before it makes:
 *
 *     Frame -> OpenedRequest -> Authenticated -> Admitted -> ValidInput -> RawOutput -> Confirmed -> PaddedAnswer ->
 *     SealedAnswer -> Frame
 *
 * A stage that says no ends the way to the padding, where a refusal takes the answer's place. A request that was answered
 * before goes from Authenticated straight to its PaddedAnswer (recall.ts). A call has a time (lateness.ts): what it came to
 * by then leaves at that time, and what is still under way goes on without it.
 */
import { Failure } from '../../policies/failure.ts';
import { deadline } from '../deadline.ts';
import type { Gate } from '../gate.ts';
import type { PaddedAnswer } from '../protocol/answer.ts';
import type { Call } from '../protocol/request.ts';
import type { Provisions } from './admit.ts';
import { admit, dismiss } from './admit.ts';
import type { Session } from './authenticate.ts';
import { authenticate } from './authenticate.ts';
import { compute } from './compute.ts';
import { confirm } from './confirm.ts';
import { contribute } from './contribute.ts';
import type { Frame, Received } from './frame.ts';
import type { CallTime } from './lateness.ts';
import { callTime } from './lateness.ts';
import type { OpenedRequest, Turn } from './open.ts';
import { asks, limited, open, outOfPlace, receiveInput, wipe } from './open.ts';
import { pad } from './pad.ts';
import { begin, keep, recall } from './recall.ts';
import { orRefusal } from './refused.ts';
import type { Leave, Write } from './release.ts';
import { leaveAt, ready } from './release.ts';
import { seal } from './seal.ts';
import { status } from './status.ts';
import { validate } from './validate.ts';

/** A session's connection, as the pipeline needs it. */
export interface Line {
  /** The next frame; each wait is bounded by the connection. */
  readonly next: () => Promise<Received | undefined>;
  readonly write: Write;
}

/** Milliseconds that one call may compute at most where its answer has no time of its own. */
const COMPUTE_MS = 30_000;

/** One request and all that belongs to it: resolves when the answer has left. `done`: the party says that it is. */
export async function answer(
  gate: Gate,
  session: Session,
  frame: Frame,
  line: Line,
  signal: AbortSignal,
): Promise<'answered' | 'done'> {
  // What many sessions of a party ask may be there at once: answers that are due leave in between.
  const turn: Turn = (work) =>
    gate.intake.take(session.party, signal, async () => {
      try {
        return await work();
      } finally {
        await gate.schedule.breathe();
      }
    });
  const opened = await turn(() => open(session.channel, frame));
  if (opened === undefined) return 'done';
  if (asks(opened, 'call')) {
    await answerCall(gate, session, opened, turn, line);
    return 'answered';
  }
  const padded = await answerPlain(gate, session, opened, signal);
  await turn(async () => ready(await seal(session.channel, padded), line.write)());
  return 'answered';
}

/** What is no call is answered when it is done, in a size of its own. */
async function answerPlain(
  gate: Gate,
  session: Session,
  opened: OpenedRequest,
  signal: AbortSignal,
): Promise<PaddedAnswer> {
  if (asks(opened, 'contribute')) return contribute(gate, session, opened, signal);
  if (asks(opened, 'status')) return status(gate, session, opened, signal);
  throw outOfPlace(`a ${opened.request.t} where none may stand`);
}

/** A call is in flight, and its party's slot taken, until its answer has left and nothing of it is under way. */
async function answerCall(
  gate: Gate,
  session: Session,
  opened: OpenedRequest<Call>,
  turn: Turn,
  line: Line,
): Promise<void> {
  const slot = gate.slots.enter(`call ${session.party}`);
  // Of the function nothing is asked before the last byte is read: that moment, and the answer with it, would come later for it.
  const kept = slot === undefined ? 0 : gate.terms.mostBytes;
  const received = await receiveInput(line.next, session.channel, opened, kept, turn).catch((error: unknown) => {
    slot?.();
    throw error;
  });
  const { maxBytes, afterMs, padTo } = gate.terms.of(opened.request.function);
  const time = callTime(gate.schedule, session.party, received.arrival, afterMs);
  const call = {
    session,
    opened,
    provisions: { input: limited(received, opened.request, maxBytes), slot, late: time.late, left: time.left },
    time,
    padTo,
  };
  const work = gate.underWay
    .run((signal) => outcomeOf(gate, call, signal))
    .finally(() => {
      if (received.pieces !== 'too-large') wipe(received.pieces);
    });
  let leave: Leave = () => {};
  try {
    const padded = await time.decided(work, pad({ refused: 'compute-timeout' }, padTo));
    leave = ready(await seal(session.channel, padded), line.write);
  } finally {
    // Also where the session is closed meanwhile: a slot that were free sooner would tell its party so.
    await leaveAt(gate.schedule, time.due, leave);
    // Not before: the end of a process, which keeps the kernel busy for milliseconds, is nothing that may delay an answer.
    time.stop();
    time.over();
    if (slot !== undefined) void work.finally(slot);
  }
}

interface CallAtWork {
  readonly session: Session;
  readonly opened: OpenedRequest<Call>;
  readonly provisions: Provisions;
  readonly time: CallTime;
  readonly padTo: number;
}

/** What comes of a call, however long it takes. Never rejects: an error of our own is one refused call, and told. */
async function outcomeOf(gate: Gate, call: CallAtWork, signal: AbortSignal): Promise<PaddedAnswer> {
  try {
    const outcome = await orRefusal(() => stagesOf(gate, call, signal));
    return 'refused' in outcome ? pad(outcome, call.padTo) : outcome;
  } catch (error) {
    // Told to the host, and hence not before the answer has left.
    if (!(error instanceof Failure) && !signal.aborted) void call.time.left.then(() => gate.fault(error));
    return pad({ refused: 'compute-failed' }, call.padTo);
  }
}

async function stagesOf(
  gate: Gate,
  { session, opened, provisions, time }: CallAtWork,
  signal: AbortSignal,
): Promise<PaddedAnswer> {
  const caller = await authenticate(gate, session, opened);
  const given = await recall(gate, caller, provisions, signal);
  if (given !== undefined) return given;
  const admitted = await admit(gate, caller, provisions, signal);
  const limit = time.due === undefined ? deadline(gate.timers, COMPUTE_MS, 'a computation') : undefined;
  try {
    const late = AbortSignal.any([signal, limit?.signal ?? time.late]);
    const limits = { signal, late, left: time.left, begin: () => begin(gate, admitted) };
    const outcome = await orRefusal(async () => compute(validate(admitted), limits));
    return keep(gate, admitted, await confirm(admitted, outcome));
  } finally {
    limit?.cancel();
    dismiss(admitted);
  }
}
