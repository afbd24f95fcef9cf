/**
 * Stage 4. Admitted -> ValidInput: what the gate itself may say of an input, which is its size. It never parses the
 * bytes; the decoding jail does, and what that says comes back as a refusal of the next stage.
 */
import type { FunctionPolicy } from '../../policies/model.ts';
import type { BorrowedModel } from '../models.ts';
import type { Admitted } from './admit.ts';
import { Refused } from './refused.ts';

const VALID: unique symbol = Symbol('ValidInput');

/** Bytes that a jail may be given. */
export interface ValidInput {
  readonly function: FunctionPolicy;
  readonly model: BorrowedModel;
  readonly bytes: Uint8Array;
  readonly [VALID]: true;
}

export function validate({ function: policy, model, input }: Admitted): ValidInput {
  if (input.bytes === 'too-large')
    throw new Refused('input-too-large', `the policy allows ${policy.input.maxBytes} bytes`);
  if (input.bytes.length === 0) throw new Refused('input-invalid', 'the input is empty');
  return { function: policy, model, bytes: input.bytes, [VALID]: true };
}
