/**
 * Stage 3. Authenticated -> Admitted: may this party make this call, and is there a ticket for it? The ticket is taken
 * before anything looks at the input, so an input that turns out to be malformed has cost a call.
 */
import { endOfDay } from '../../policies/date.ts';
import type { FunctionPolicy } from '../../policies/model.ts';
import { sha256 } from '../crypto/digest.ts';
import type { Gate } from '../gate.ts';
import type { BorrowedModel } from '../models.ts';
import type { Call } from '../protocol/request.ts';
import type { Authenticated, Session } from './authenticate.ts';
import type { ReceivedInput } from './open.ts';
import { Refused } from './refused.ts';

const ADMITTED: unique symbol = Symbol('Admitted');

/** A call with a ticket. */
export interface Admitted {
  readonly session: Session;
  readonly call: Call;
  readonly function: FunctionPolicy;
  readonly input: ReceivedInput;
  readonly model: BorrowedModel;
  readonly [ADMITTED]: true;
}

/** What a call takes with it: whatever could be had. What could not is refused here, in its order. */
export interface Provisions {
  readonly input: ReceivedInput;
  readonly slot: (() => void) | undefined;
  readonly model: BorrowedModel | undefined;
}

export async function admit(
  gate: Gate,
  { session, request: call }: Authenticated<Call>,
  { input, slot, model }: Provisions,
  signal: AbortSignal,
): Promise<Admitted> {
  const found = functionOf(gate, call.function);
  if (found === undefined) throw new Refused('unknown-function');
  const quota = callsOf(found, session.party);
  if (quota === 0) throw new Refused('not-permitted');
  await demandOpen(gate);
  if (slot === undefined) throw new Refused('busy');
  if (model === undefined) throw new Refused('no-model');
  const { tickets } = await gate.opening.demand(signal);
  const ticket = await tickets.take({
    function: call.function,
    party: session.party,
    quota,
    requestId: call.requestId,
    inputDigest: input.digest,
    readsDigest: await readsDigest(call.function, model),
  });
  if (ticket.outcome === 'refused') throw new Refused(ticket.code);
  return { session, call, function: found, input, model, [ADMITTED]: true };
}

export function functionOf(gate: Gate, name: string): FunctionPolicy | undefined {
  // The name came from outside: `constructor` is no function of any policy.
  return Object.hasOwn(gate.policy.functions, name) ? gate.policy.functions[name] : undefined;
}

/** How many calls the policy gives a party; none where it is not named. */
export function callsOf(found: FunctionPolicy, party: string): number {
  return Object.hasOwn(found.calls, party) ? (found.calls[party] ?? 0) : 0;
}

/** Refuses once the collaboration's last day has passed, by the NSM's clock. */
export async function demandOpen(gate: Gate): Promise<void> {
  if ((await gate.issuer.clock.now()) >= endOfDay(gate.policy.until)) throw new Refused('expired');
}

/** Everything a function reads beside the input: another model is another context. */
function readsDigest(functionName: string, model: BorrowedModel): Promise<Uint8Array> {
  return sha256(new TextEncoder().encode(`accord/v1/reads\0${functionName}\0${model.sha256}`));
}
