/** In place of `enclave/pipeline/pad`: as it is, and remembers which outcome was padded last. */
import { pad as honest } from './pad-honest.js';

export function pad(settled, padTo) {
  const outcome = 'outcome' in settled ? settled.outcome : settled;
  globalThis.plantedOutcome = 'refused' in outcome ? 'refused' : 'answer';
  return honest(settled, padTo);
}
