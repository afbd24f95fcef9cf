/** What the policy says of calls of a function, as far as it shows outside: how much goes in, how much comes out, and when. */
import type { FunctionPolicy } from '../../policies/model.ts';

export interface CallTerms {
  /** Bytes of input that the function takes; 0 where there is no such function. */
  readonly maxBytes: number;
  /** From the last byte of the request to the answer; 0: when it is ready. */
  readonly afterMs: number;
  /** Bytes of every answer and every refusal. */
  readonly padTo: number;
}

export interface Terms {
  /** Bytes of the largest input that any function takes. */
  readonly mostBytes: number;
  /**
   * A function that does not exist is answered in the largest of the sizes, after the longest of the times: where the policy
   * has one function, one size or one time, the host cannot tell. One look in one table, whatever the name.
   */
  of(functionName: string): CallTerms;
}

export function createTerms(functions: Readonly<Record<string, FunctionPolicy>>): Terms {
  const known: ReadonlyMap<string, CallTerms> = new Map(
    Object.entries(functions).map(([name, { input, release }]) => [name, { maxBytes: input.maxBytes, ...release }]),
  );
  const all = [...known.values()];
  const most = (of: (terms: CallTerms) => number): number => Math.max(...all.map(of));
  const unknown: CallTerms = {
    maxBytes: 0,
    afterMs: most(({ afterMs }) => afterMs),
    padTo: most(({ padTo }) => padTo),
  };
  return { mostBytes: most(({ maxBytes }) => maxBytes), of: (functionName) => known.get(functionName) ?? unknown };
}
