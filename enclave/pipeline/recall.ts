/**
 * Beside stage 3: a request that was answered is given the same answer again, before a ticket is asked for; it holds one
 * already. A refusal for what the input or the output was is an answer in this sense; a computation that stopped is not.
 */
import type { GivenRequest } from '../claims/given.ts';
import { MAX_COMPUTATIONS } from '../claims/given.ts';
import type { Gate } from '../gate.ts';
import type { PaddedAnswer } from '../protocol/answer.ts';
import type { Call } from '../protocol/request.ts';
import type { RefusalCode } from '../protocol/refusal.ts';
import { demandUnexpired } from './admit.ts';
import type { Admitted, Provisions } from './admit.ts';
import type { Authenticated } from './authenticate.ts';
import type { Confirmed } from './confirm.ts';
import type { ReceivedInput } from './open.ts';
import { pad } from './pad.ts';
import { Refused } from './refused.ts';

/** The same request may be tried again after these, and may then have another outcome. */
const PASSING: ReadonlySet<RefusalCode> = new Set<RefusalCode>([
  'compute-failed',
  'compute-timeout',
  'unavailable',
  'anchor-tampered',
  'state-refused',
]);

const NO_MORE = `computed ${MAX_COMPUTATIONS} times; this enclave computes it no more`;

/** Undefined where this request has no answer yet. */
export async function recall(
  gate: Gate,
  { session, request: call }: Authenticated<Call>,
  { input, slot }: Provisions,
  signal: AbortSignal,
): Promise<PaddedAnswer | undefined> {
  const found = gate.given.find(requestOf(session.party, call, input));
  if (found === undefined) return undefined;
  await demandUnexpired(gate);
  if (slot === undefined) throw new Refused('busy');
  // Nothing is spent, but where the state may not be used any more, nothing is said either.
  await gate.opening.demand(signal);
  return found;
}

/** A jail is about to see the input. Refuses where that has happened too often, whatever became of it. */
export function begin(gate: Gate, { session, call, input }: Admitted): void {
  if (!gate.given.begin(requestOf(session.party, call, input))) throw new Refused('compute-failed', NO_MORE);
}

/** Pads what came of an admitted call, and keeps it where it is final. Only what is confirmed is ever given again. */
export function keep(gate: Gate, { session, call, input }: Admitted, confirmed: Confirmed): PaddedAnswer {
  const padded = pad(confirmed, gate.terms.of(call.function).padTo);
  const { outcome } = confirmed;
  const isFinal = !('refused' in outcome) || !PASSING.has(outcome.refused);
  if (isFinal) gate.given.keep(requestOf(session.party, call, input), padded, padded.length);
  return padded;
}

function requestOf(party: string, call: Call, input: ReceivedInput): GivenRequest {
  return { function: call.function, party, requestId: call.requestId, inputDigest: input.digest };
}
