/** What an enclave last said aloud of its sealed state. Relayed: the parties learn the same in their sessions. */
import { lifeCycleFields } from './hosts/console-ring.ts';

export interface SealedStateLine {
  /** `waiting`, `open`, `refused` or `lapsed`. */
  readonly state: string;
  /** Parties that have to connect before it can be opened. */
  readonly waitingFor: readonly string[];
  readonly reason?: string;
}

/** `lines` as the enclave printed them, the last one last. */
export function sealedState(lines: readonly string[]): SealedStateLine | undefined {
  for (const line of lines.toReversed()) {
    const { accord, state, waitingFor, reason } = { ...lifeCycleFields(line) };
    if (accord !== 'state' || typeof state !== 'string') continue;
    const parties: readonly unknown[] = Array.isArray(waitingFor) ? waitingFor : [];
    return {
      state,
      waitingFor: parties.filter((party) => typeof party === 'string'),
      ...(typeof reason === 'string' ? { reason } : {}),
    };
  }
  return undefined;
}
