/**
 * Stage 3. Authenticated -> Admitted: may this party make this call, and is there a ticket for it? The ticket is taken
 * before anything looks at the input, so an input that turns out to be malformed has cost a call.
 */
import { createHash } from 'node:crypto';
import { endOfDay } from '../../policies/date.ts';
import type { CounterPolicy, FunctionPolicy, ModelFunctionPolicy } from '../../policies/model.ts';
import { functionNamed, quotaOf } from '../../policies/quota.ts';
import type { Granted } from '../claims/tickets.ts';
import { orAborted } from '../deadline.ts';
import type { Gate } from '../gate.ts';
import type { BorrowedModel } from '../models.ts';
import type { Call } from '../protocol/request.ts';
import type { Authenticated, Session } from './authenticate.ts';
import type { ReceivedInput } from './open.ts';
import type { Records } from '../state/records.ts';
import { ticketRefusal } from './held.ts';
import { Refused } from './refused.ts';

const ADMITTED: unique symbol = Symbol('Admitted');

/** A call with a ticket, which the first anchor holds. */
export type Admitted = AdmittedCall & (AdmittedToModel | AdmittedToState);

interface AdmittedCall {
  readonly session: Session;
  readonly call: Call;
  readonly input: ReceivedInput;
  readonly ticket: Granted;
  readonly [ADMITTED]: true;
}

interface AdmittedToModel {
  readonly function: ModelFunctionPolicy;
  /** To be given back when the call is over. */
  readonly model: BorrowedModel;
}

interface AdmittedToState {
  readonly function: CounterPolicy;
  readonly records: Records;
}

/** What a call brought with it. */
export interface Provisions {
  readonly input: ReceivedInput;
  readonly slot: (() => void) | undefined;
  /** Its time is over. */
  readonly late: AbortSignal;
  /** Its answer has left. */
  readonly left: Promise<void>;
}

/** What could not be had is refused here, in its order, before anything is spent. */
export async function admit(
  gate: Gate,
  { session, request: call }: Authenticated<Call>,
  { input, slot, late, left }: Provisions,
  signal: AbortSignal,
): Promise<Admitted> {
  const found = functionOf(gate, call.function);
  if (found === undefined) throw new Refused('unknown-function');
  const quota = quotaOf(found, session.party);
  if (quota === 0) throw new Refused('not-permitted');
  await demandUnexpired(gate);
  if (slot === undefined) throw new Refused('busy');
  const state = await gate.opening.demand(signal);
  const { tickets, records } = state;
  const take = async (readsDigest: Uint8Array): Promise<Granted> => {
    const { requestId } = call;
    const of = { function: call.function, party: session.party, quota };
    const ticket = await tickets.take({ ...of, requestId, inputDigest: input.digest, readsDigest }, signal);
    if (ticket.outcome === 'refused') throw ticketRefusal(ticket);
    return ticket;
  };
  const admitted = { session, call, input, [ADMITTED]: true } as const;
  if (found.uses === 'counter')
    return { ...admitted, function: found, records, ticket: await take(digestOfReads(call.function, undefined)) };
  // Not before the state is open: a model that was contributed before the last restart is put in place with it.
  let model = gate.models.borrow(call.function);
  if (model === undefined) {
    // Another copy of the enclave may have taken it. Where its owner is just contributing one, that may take minutes: the
    // call, and with it its party's slot, waits no longer than it has time.
    const only = { function: call.function, left };
    await orAborted(gate.contributions.restore(state, signal, only), late).catch((error: unknown) => {
      throw late.aborted ? new Refused('compute-timeout') : error;
    });
    model = gate.models.borrow(call.function);
  }
  if (model === undefined) throw new Refused('no-model', gate.models.withheld(call.function));
  try {
    return { ...admitted, function: found, model, ticket: await take(digestOfReads(call.function, model)) };
  } catch (error) {
    model.giveBack();
    throw error;
  }
}

/** Whatever was borrowed for the call. */
export function dismiss(admitted: Admitted): void {
  if ('model' in admitted) admitted.model.giveBack();
}

export function functionOf(gate: Gate, name: string): FunctionPolicy | undefined {
  return functionNamed(gate.policy.functions, name);
}

/** Refuses once the collaboration's last day has passed, by the NSM's clock. */
export async function demandUnexpired(gate: Gate): Promise<void> {
  if ((await gate.issuer.clock.now()) >= endOfDay(gate.policy.until)) throw new Refused('expired');
}

/**
 * Everything a function reads beside the input: another model is another context. State that moves with every call is
 * not part of it: a paid call would be lost whenever another one came in between.
 */
function digestOfReads(functionName: string, model: BorrowedModel | undefined): Uint8Array {
  const reads = `accord/v1/reads\0${functionName}\0${model?.sha256 ?? ''}`;
  return new Uint8Array(createHash('sha256').update(reads).digest());
}
