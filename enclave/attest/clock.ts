/**
 * The enclave's clock. The host influences every clock of the machine, so time comes from the NSM: the `timestamp` of a
 * document that the module has just signed, plus monotonic time since. It is read again once a minute, which bounds
 * what a drifting or stopped monotonic clock can do, and it never goes backwards.
 */
import { Failure } from '../../policies/failure.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { CborCode } from '../encoding/cbor.ts';
import { decodeCbor, mapReader } from '../encoding/cbor.ts';

export type ClockCode = CborCode | 'clock/malformed';

export interface TrustedClock {
  /** Milliseconds since 1970, by the NSM. */
  now(): Promise<number>;
  /** Takes the time from a document that the module has just made, and saves a request. */
  observe(document: Uint8Array): void;
}

/** How long monotonic time alone is believed. */
export const CLOCK_TRUST_MS = 60_000;

/** `attest` makes a bare document; `monotonic` gives milliseconds from any start. */
export function createTrustedClock(attest: () => Promise<Uint8Array>, monotonic: () => number): TrustedClock {
  let read: { readonly timestamp: number; readonly at: number } | undefined;
  let latest = 0;

  const observe = (document: Uint8Array): void => {
    const timestamp = timestampOf(document);
    if (read === undefined || timestamp >= read.timestamp) read = { timestamp, at: monotonic() };
  };

  const extrapolated = (): number | undefined => {
    if (read === undefined) return undefined;
    const elapsed = monotonic() - read.at;
    return elapsed >= 0 && elapsed < CLOCK_TRUST_MS ? read.timestamp + elapsed : undefined;
  };

  return {
    observe,
    async now() {
      let time = extrapolated();
      if (time === undefined) {
        read = undefined;
        observe(await attest());
        time = extrapolated() ?? 0;
      }
      latest = Math.max(latest, Math.floor(time));
      return latest;
    },
  };
}

/**
 * The `timestamp` (milliseconds) of one of our own documents: COSE_Sign1 as array(4), untagged, whose third element holds
 * the payload map (indefinite in what AWS signs since 2025). Not verified: it came over the device, not from a peer.
 */
export function timestampOf(document: Uint8Array): number {
  const foreign = { maxBytes: LIMITS.attestationBytes, maxDepth: 4, maxItems: 512, foreign: true } as const;
  const cose = decodeCbor(document, foreign);
  const payload: unknown = Array.isArray(cose) && cose.length === 4 ? cose[2] : undefined;
  if (!(payload instanceof Uint8Array)) {
    throw new Failure<ClockCode>('malformed', 'clock/malformed', 'the NSM gave something that is no COSE_Sign1');
  }
  const map = mapReader<ClockCode>(decodeCbor(payload, foreign), 'clock/malformed', 'payload');
  // 2019, when Nitro's root was made, to 2200: anything else is no time in milliseconds.
  return map.uint('timestamp', { min: 1_546_300_800_000, max: 7_258_118_400_000 });
}
