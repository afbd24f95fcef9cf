/** In place of `enclave/pipeline/release`: what is to leave as a refusal leaves 50 microseconds late. */
import { ready as honest } from './release-honest.js';

export * from './release-honest.js';

const LATE_MS = 0.05;

export function ready(answer, write) {
  const leave = honest(answer, write);
  if (globalThis.plantedOutcome !== 'refused') return leave;
  return () => {
    const until = performance.now() + LATE_MS;
    while (performance.now() < until);
    leave();
  };
}
