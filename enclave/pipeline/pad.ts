/** Stage 7. Confirmed -> PaddedAnswer: an answer and a refusal of one function have one size. */
import type { Gate } from '../gate.ts';
import type { Answer, PaddedAnswer } from '../protocol/answer.ts';
import { fitsAnswer, padAnswer } from '../protocol/answer.ts';
import type { Refusal } from '../protocol/refusal.ts';
import { functionOf } from './admit.ts';
import type { Confirmed } from './confirm.ts';

/** A refusal needs no confirmation where nothing was admitted. */
export function pad(settled: Confirmed | Refusal, padTo: number): PaddedAnswer {
  const outcome = 'outcome' in settled ? settled.outcome : settled;
  const answer: Answer = 'refused' in outcome ? { t: 'refused', ...outcome } : { t: 'answer', output: outcome.json };
  if (fitsAnswer(answer, padTo)) return padAnswer(answer, padTo);
  // Neither cut nor longer: what does not fit was not agreed to. The bare refusal fits every padTo a policy may have.
  return padAnswer({ t: 'refused', refused: 'refused' in outcome ? outcome.refused : 'output-invalid' }, padTo);
}

/**
 * What every answer to a call of this function measures. One that does not exist is answered in the largest of the sizes:
 * where the policy has one function or one size, the host cannot tell.
 */
export function sizeOf(gate: Gate, functionName: string): number {
  const sizes = Object.values(gate.policy.functions).map(({ release }) => release.padTo);
  return functionOf(gate, functionName)?.release.padTo ?? Math.max(...sizes);
}
