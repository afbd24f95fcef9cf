/** How a computing jail says why it does not take a model. */
import { Failure } from '../../policies/failure.ts';
import { MODEL_CODES, modelFailure } from '../functions/model-refusal.ts';
import { FRAME, REFUSAL_BYTES } from './frames.ts';
import { writeFrame } from './pipe.ts';

export const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Of the model, for its owner alone. */
export function refuseModel(error: unknown): void {
  const failure =
    error instanceof Failure ? error : modelFailure('model/session-refused', `it cannot be loaded: ${reason(error)}`);
  const code = MODEL_CODES.findIndex((known) => known === failure.code);
  const words = [failure.message, failure.where === undefined ? '' : ` [${failure.where}]`].join('');
  const text = new TextEncoder().encode(words).subarray(0, REFUSAL_BYTES - 1);
  writeFrame(FRAME.refused, [Uint8Array.of(code), text]);
}
