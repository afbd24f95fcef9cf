/**
 * Whether the enclave has its state, and how it comes by it. Until it has, sessions are served, but nothing that spends a
 * call or keeps a contribution.
 */
import type { Failure } from '../../policies/failure.ts';
import type { Anchors } from '../claims/anchor.ts';
import type { TicketBook } from '../claims/tickets.ts';
import { Refused } from '../pipeline/refused.ts';
import type { EnclaveCredentials } from '../protocol/request.ts';
import type { Records } from './records.ts';

/** What the state key opens. */
export interface OpenedState {
  readonly tickets: TicketBook;
  readonly records: Records;
  readonly anchors: Anchors;
}

export interface OpeningStatus {
  /** `none`: there is nothing to open, what is spent is remembered in memory alone. */
  readonly state: 'none' | 'waiting' | 'open' | 'refused' | 'lapsed';
  /** Parties whose session (or the host's role) is needed before anything can go on. */
  readonly waitingFor: readonly string[];
  /** Why not: a code and what it means. */
  readonly reason?: string;
}

export interface Opening {
  /** Undefined until the state is open, and where it may not be used. */
  current(): OpenedState | undefined;
  /** Waits a bounded time for an opening under way. Throws `Refused`: `not-open`, `state-refused`, `lease-lapsed`. */
  demand(signal: AbortSignal): Promise<OpenedState>;
  /**
   * A session of this party is there: its credentials may be used for its own key for as long as `signal` lives. Returns
   * at once.
   */
  arrived(party: string, keyArn: string, credentials: EnclaveCredentials, signal: AbortSignal): void;
  status(): OpeningStatus;
  close(): void;
}

/** What a call is told that cannot have the state. */
export function refusalOf({ state, waitingFor, reason }: OpeningStatus): Refused {
  const waits = waitingFor.length === 0 ? undefined : `it waits for a session of ${waitingFor.join(', ')}`;
  if (state === 'lapsed') return new Refused('lease-lapsed', waits);
  if (state === 'refused') return new Refused('state-refused', reason);
  return new Refused('not-open', [waits, reason].filter((part) => part !== undefined).join('; ') || undefined);
}

/** Which of several failures is told: one of the state itself says most; of the others the newest. */
export function reasonOf(failures: ReadonlyMap<string, Failure>): string | undefined {
  const all = [...failures.values()];
  const found = all.find(({ code }) => code.startsWith('state/')) ?? all.at(-1);
  if (found === undefined) return undefined;
  return found.where === undefined ? found.code : `${found.code} (${found.where})`;
}
