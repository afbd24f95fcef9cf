/** What an enclave last said aloud of its sealed state. Relayed: the parties learn the same in their sessions. */
import type { LifeLine } from '../enclave/life.ts';
import { lifeCycleFields } from './hosts/console-ring.ts';

export interface SealedStateSaid {
  readonly state: 'waiting' | 'open' | 'refused' | 'lapsed' | 'withdrawn';
  /** Parties without which it goes no further, where the enclave named them. */
  readonly parties: readonly string[];
  /** A code of the enclave's. */
  readonly reason?: string;
}

/** `lines` as the enclave printed them, the last one last. `waiting` where it has not said anything yet. */
export function sealedState(lines: readonly string[]): SealedStateSaid {
  for (const line of lines.toReversed()) {
    const said = readLine({ ...lifeCycleFields(line) });
    if (said !== undefined) return said;
  }
  return { state: 'waiting', parties: [] };
}

function readLine(fields: Readonly<Record<string, unknown>>): SealedStateSaid | undefined {
  const text = (name: string): string => (typeof fields[name] === 'string' ? fields[name] : '');
  const spoken: unknown = fields['parties'];
  const parties: readonly unknown[] = Array.isArray(spoken) ? spoken : [];
  switch (text('accord')) {
    case 'opened' satisfies LifeLine['accord']:
      return { state: 'open', parties: [] };
    case 'unopened' satisfies LifeLine['accord']: {
      const where = text('where');
      return { state: 'refused', parties: [], reason: text('code') + (where === '' ? '' : ` (${where})`) };
    }
    case 'lapsed' satisfies LifeLine['accord']:
      return { state: 'lapsed', parties: parties.filter((party) => typeof party === 'string') };
    case 'withdrawn' satisfies LifeLine['accord']:
      return { state: 'withdrawn', parties: [text('party')] };
    default:
      return undefined;
  }
}
