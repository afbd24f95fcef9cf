/** Stage 7. Confirmed -> PaddedAnswer: an answer and a refusal of one function have one size. */
import type { Answer, PaddedAnswer } from '../protocol/answer.ts';
import { fitsAnswer, padAnswer } from '../protocol/answer.ts';
import type { Refusal } from '../protocol/refusal.ts';
import type { Confirmed } from './confirm.ts';

/** A refusal needs no confirmation where nothing was admitted. */
export function pad(settled: Confirmed | Refusal, padTo: number): PaddedAnswer {
  const outcome = 'outcome' in settled ? settled.outcome : settled;
  const answer: Answer = 'refused' in outcome ? { t: 'refused', ...outcome } : { t: 'answer', output: outcome.json };
  if (fitsAnswer(answer, padTo)) return padAnswer(answer, padTo);
  // Neither cut nor longer: what does not fit was not agreed to. The bare refusal fits every padTo a policy may have.
  return padAnswer({ t: 'refused', refused: 'refused' in outcome ? outcome.refused : 'output-invalid' }, padTo);
}
