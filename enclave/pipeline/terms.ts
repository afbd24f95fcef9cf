/** What the policy says of calls of a function, as far as it shows outside: how much goes in, how much comes out, and when. */
import type { Gate } from '../gate.ts';
import { functionOf } from './admit.ts';

export interface CallTerms {
  /** Bytes of input that are kept; 0 where there is no such function. */
  readonly maxBytes: number;
  /** From the last byte of the request to the answer; 0: when it is ready. */
  readonly afterMs: number;
  /** Bytes of every answer and every refusal. */
  readonly padTo: number;
}

/**
 * A function that does not exist is answered in the largest of the sizes, after the longest of the times: where the policy
 * has one function, one size or one time, the host cannot tell.
 */
export function termsOf(gate: Gate, functionName: string): CallTerms {
  const found = functionOf(gate, functionName);
  if (found !== undefined) return { maxBytes: found.input.maxBytes, ...found.release };
  const all = Object.values(gate.policy.functions).map(({ release }) => release);
  return {
    maxBytes: 0,
    afterMs: Math.max(...all.map(({ afterMs }) => afterMs)),
    padTo: Math.max(...all.map(({ padTo }) => padTo)),
  };
}
