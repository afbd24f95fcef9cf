/** What an enclave last said aloud of its sealed state. Relayed: the parties learn the same in their sessions. */
import { unconfined } from '../enclave/jail/confinement.ts';
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

/** What does not hold its jails, in words, as it said when it began to serve; empty where nothing is missing. */
export function missingConfinement(lines: readonly string[]): readonly string[] {
  const serving = lines
    .map((line) => ({ ...lifeCycleFields(line) }))
    .findLast((fields) => fields['accord'] === ('serving' satisfies LifeLine['accord']));
  const said: unknown = serving?.['confinement'];
  if (typeof said !== 'object' || said === null) return [];
  const fields = new Map<string, unknown>(Object.entries(said));
  const holds = (kind: string): boolean => fields.get(kind) === true;
  const held = {
    user: holds('user'),
    namespaces: holds('namespaces'),
    seccomp: holds('seccomp'),
    limits: holds('limits'),
    cgroup: holds('cgroup'),
  };
  return unconfined(held).map(({ text }) => text);
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
