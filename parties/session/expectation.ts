/** What a home's pins say an enclave must prove. */
import type { PcrExpectation } from '../attestation/expectation.ts';
import type { Home } from '../home.ts';
import type { EnclaveExpectation } from './handshake.ts';

/** The nonce makes a document fresh; its age only has to rule out an enclave whose clock is far off. */
const MAX_AGE_MS = 300_000;
/** How far this machine's clock may be off. */
const SKEW_MS = 300_000;

/** With `allowDebug` an enclave in debug mode passes too, whatever it runs; any other still has to be the pinned one. */
export function pinnedExpectation({ pins }: Pick<Home, 'pins'>, allowDebug = false): EnclaveExpectation {
  const { PCR0, PCR1, PCR2 } = pins.pcrs;
  const pinned = (pcr: string): PcrExpectation => (allowDebug ? { unlessDebug: pcr } : pcr);
  return {
    roots: [pins.root],
    pcrs: { 0: pinned(PCR0), 1: pinned(PCR1), 2: pinned(PCR2) },
    policyDigest: pins.policyDigest,
    maxAgeMs: MAX_AGE_MS,
    skewMs: SKEW_MS,
    allowDebug,
  };
}
