/**
 * Whose credentials the enclave may use, and for how long. A session's are for its own party's key and end with the
 * session; the host's role, where it has one, is tried for every party that has no session.
 */
import { Failure } from '../../policies/failure.ts';
import type { EnclaveCredentials } from '../protocol/request.ts';
import type { HostCredentials } from '../vsock/host.ts';

export interface Loan {
  readonly from: 'session' | 'host';
  readonly keyArn: string;
  readonly credentials: EnclaveCredentials;
  /** Aborted when they may not be used any more. */
  readonly signal: AbortSignal;
}

export interface Loans {
  lend(party: string, loan: Loan): void;
  /** Replaces what the host lent before; undefined where it lends nothing any more. */
  lendRole(role: HostCredentials | undefined): void;
  /** The newest session's; else the host's; undefined where nobody lends any. `now`: milliseconds since 1970. */
  of(party: string, now: number): Loan | undefined;
}

/** `keyArns`: party -> the ARN of its key. `unending`: a signal that ends with the enclave. */
export function createLoans(keyArns: ReadonlyMap<string, string>, unending: AbortSignal): Loans {
  const sessions = new Map<string, readonly Loan[]>();
  let role: HostCredentials | undefined;
  return {
    lend(party, loan) {
      const live = (sessions.get(party) ?? []).filter(({ signal }) => !signal.aborted);
      sessions.set(party, [...live, loan]);
      const forget = (): void => {
        const left = (sessions.get(party) ?? []).filter((other) => other !== loan);
        if (left.length === 0) sessions.delete(party);
        else sessions.set(party, left);
      };
      if (loan.signal.aborted) forget();
      else loan.signal.addEventListener('abort', forget, { once: true });
    },
    lendRole(next) {
      role = next;
    },
    of(party, now) {
      const newest = sessions.get(party)?.at(-1);
      if (newest !== undefined) return newest;
      const keyArn = keyArns.get(party);
      if (role === undefined || keyArn === undefined || role.expiresAt <= now) return undefined;
      const { accessKeyId, secretAccessKey, sessionToken } = role;
      const credentials = { accessKeyId, secretAccessKey, sessionToken };
      return { from: 'host', keyArn, credentials, signal: unending };
    },
  };
}

/**
 * The host's role may be permitted nothing, which is as it should be where parties bring credentials of their own: that
 * it is refused tells nobody anything.
 */
export async function asLent({ from }: Loan, work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    const { code }: { readonly code: string } = error instanceof Failure ? error : { code: '' };
    if (from !== 'host' || code !== 'kms/refused') throw error;
  }
}
