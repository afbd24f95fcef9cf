/** Stage 5. ValidInput -> RawOutput: the jails compute; the answer that follows is held to the function's own schema. */
import { Failure } from '../../policies/failure.ts';
import type { JailCode } from '../jail/jail-failure.ts';
import { validateOutput } from '../functions/validate-output.ts';
import type { FunctionAnswer } from '../jail/gate-side.ts';
import type { RefusalCode } from '../protocol/refusal.ts';
import { count } from './count.ts';
import { Refused } from './refused.ts';
import type { ValidInput } from './validate.ts';

const COMPUTED: unique symbol = Symbol('RawOutput');

/** JSON of an answer that fits the function's output schema. */
export interface RawOutput {
  readonly json: string;
  readonly [COMPUTED]: true;
}

/** What bounds a computation. */
export interface ComputeLimits {
  /** For what is asked of the host and the anchors. */
  readonly signal: AbortSignal;
  /** Ends the jail at work: the time of the call is over. */
  readonly late: AbortSignal;
  /** Resolves when the answer has left. */
  readonly left: Promise<void>;
  /** Called before a jail sees the input. Throws `Refused`. */
  readonly begin: () => void;
}

export async function compute(input: ValidInput, limits: ComputeLimits): Promise<RawOutput> {
  const output = 'records' in input ? await count(input, limits.signal) : await run(input, limits);
  if (validateOutput(input.function.uses, output) !== undefined) throw new Refused('output-invalid');
  return { json: JSON.stringify(output), [COMPUTED]: true };
}

async function run(
  { model, pieces, party }: Extract<ValidInput, { readonly model: unknown }>,
  { late, left, begin }: ComputeLimits,
): Promise<FunctionAnswer> {
  try {
    if (late.aborted) throw new Refused('compute-timeout');
    begin();
    return await model.computer.run(pieces, { party, signal: late, left });
  } catch (error) {
    throw error instanceof Refused ? error : jailRefusal(error);
  }
}

/** A crash, a hang or a surprise inside is one refused call and nothing more. */
const JAIL_REFUSALS: Readonly<Record<string, RefusalCode>> = {
  'jail/input-invalid': 'input-invalid',
  'jail/output-invalid': 'output-invalid',
  'jail/compute-timeout': 'compute-timeout',
  'jail/compute-failed': 'compute-failed',
  'jail/not-started': 'compute-failed',
} satisfies Record<JailCode, RefusalCode>;

function jailRefusal(error: unknown): Refused {
  if (!(error instanceof Failure)) return new Refused('compute-failed');
  const { code, message }: { readonly code: string; readonly message: string } = error;
  const refused = (Object.hasOwn(JAIL_REFUSALS, code) ? JAIL_REFUSALS[code] : undefined) ?? 'compute-failed';
  // Of an input alone more is said: in the gate's own words, about the caller's own picture.
  return new Refused(refused, refused === 'input-invalid' ? message : undefined);
}
