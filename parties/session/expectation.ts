/** What a home's pins say an enclave must prove. */
import type { Home } from '../home.ts';
import type { EnclaveExpectation } from './handshake.ts';

/** The nonce makes a document fresh; its age only has to rule out an enclave whose clock is far off. */
const MAX_AGE_MS = 300_000;
/** How far this machine's clock may be off. */
const SKEW_MS = 300_000;

export function pinnedExpectation({ pins }: Pick<Home, 'pins'>, allowDebug = false): EnclaveExpectation {
  const { PCR0, PCR1, PCR2 } = pins.pcrs;
  return {
    roots: [pins.root],
    pcrs: { 0: PCR0, 1: PCR1, 2: PCR2 },
    policyDigest: pins.policyDigest,
    maxAgeMs: MAX_AGE_MS,
    skewMs: SKEW_MS,
    allowDebug,
  };
}
