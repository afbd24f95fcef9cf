/** How a stage says no. A refusal is a value that is answered like any other; between the stages it travels as this. */
import type { Refusal, RefusalCode } from '../protocol/refusal.ts';

export class Refused extends Error {
  readonly refusal: Refusal;

  /** `detail` is for the caller alone: nothing of another party's may be in it. */
  constructor(refused: RefusalCode, detail?: string) {
    super(refused);
    this.name = 'Refused';
    this.refusal = detail === undefined ? { refused } : { refused, detail };
  }
}

/** The result, or the refusal that some stage on the way threw. Anything else that is thrown is passed on. */
export async function orRefusal<Result>(stages: () => Promise<Result>): Promise<Result | Refusal> {
  try {
    return await stages();
  } catch (error) {
    if (error instanceof Refused) return error.refusal;
    throw error;
  }
}
