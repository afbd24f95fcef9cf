/**
 * Stage 4. Admitted -> ValidInput: what the gate itself may say of an input, which is its size. It never parses the
 * bytes; the decoding jail does, and what that says comes back as a refusal of the next stage.
 */
import type { CounterPolicy, ModelFunctionPolicy } from '../../policies/model.ts';
import type { Granted } from '../claims/tickets.ts';
import type { BorrowedModel } from '../models.ts';
import type { Records } from '../state/records.ts';
import type { Admitted } from './admit.ts';
import { Refused } from './refused.ts';

const VALID: unique symbol = Symbol('ValidInput');

/** Bytes that a jail may be given; or a call that needs none. */
export type ValidInput = { readonly [VALID]: true } & (ForModel | ForState);

interface ForModel {
  readonly function: ModelFunctionPolicy;
  readonly model: BorrowedModel;
  /** Who calls. */
  readonly party: string;
  readonly pieces: readonly Uint8Array[];
}

interface ForState {
  readonly function: CounterPolicy;
  /** Name of the function. */
  readonly name: string;
  readonly records: Records;
  readonly ticket: Granted;
}

export function validate(admitted: Admitted): ValidInput {
  const { function: policy, input, call, session, ticket } = admitted;
  const { maxBytes, buckets } = policy.input;
  if (input.pieces === 'too-large') throw new Refused('input-too-large', `the policy allows ${maxBytes} bytes`);
  // What is sent in a size of its own says more to the host than was agreed.
  if (!buckets.includes(call.paddedBytes))
    throw new Refused('input-invalid', 'it is not padded to a size of the policy');
  if ('records' in admitted)
    return { function: admitted.function, name: call.function, records: admitted.records, ticket, [VALID]: true };
  if (input.pieces.length === 0) throw new Refused('input-invalid', 'the input is empty');
  return {
    function: admitted.function,
    model: admitted.model,
    party: session.party,
    pieces: input.pieces,
    [VALID]: true,
  };
}
