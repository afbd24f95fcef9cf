/**
 * A party that withdraws its key stops the enclave: before an hour of the NSM's time has passed, its wrapped key is put
 * to its KMS again, attested, with the credentials of a session of that party, or with the host's where there is none.
 *
 *     KMS opens it             good for another hour
 *     KMS refuses              withdrawn: the enclave ends, at once
 *     no answer, nobody lends  asked again every minute; once the hour is over, no calls until the party has a session
 *
 * A refusal counts only where it speaks of the key: credentials that are no longer valid say nothing of it, and neither
 * does a host's role that has never been permitted.
 */
import { Failure } from '../../policies/failure.ts';
import type { PolicyDigest } from '../../policies/model.ts';
import type { Timers } from '../deadline.ts';
import type { AttestedKms } from '../kms/attested.ts';
import type { Report } from '../life.ts';
import { stateContext } from '../protocol/context.ts';
import { openDataKey } from './data-keys.ts';
import type { Errands } from './errands.ts';
import type { KeySet } from './key-set.ts';
import type { Loan, Loans } from './loans.ts';

export type LeaseCode = 'lease/withdrawn';

export const LEASE_MS = 3_600_000;
/** From then on it is renewed, so that a KMS that is away for a moment ends nothing. */
const RENEW_MS = LEASE_MS - 300_000;
/** A session renews one that is older. */
const FRESH_MS = 300_000;
const LOOK_MS = 60_000;

export interface LeaseParts {
  readonly order: readonly string[];
  /** Parties whose lease must be current: all, or so many of them. */
  readonly needed: number;
  readonly policyDigest: PolicyDigest;
  readonly kms: AttestedKms;
  readonly loans: Loans;
  readonly errands: Errands;
  /** Asks the host for its role's credentials anew. */
  readonly refreshRole: (signal: AbortSignal) => Promise<void>;
  readonly now: () => Promise<number>;
  readonly timers: Timers;
  readonly report: Report;
  readonly withdrawn: (failure: Failure) => void;
}

export interface Lease {
  /**
   * The set has just been opened, with the keys of these parties and credentials from there. `asked`: when each party's
   * KMS was asked for its key, which may be long ago where others came late.
   */
  begin(set: KeySet, parties: ReadonlyMap<string, Loan['from']>, asked: ReadonlyMap<string, number>, now: number): void;
  /** A session of this party is there. */
  arrived(party: string): void;
  /** Finds out what has lapsed by now, and renews what can be renewed. */
  look(): Promise<void>;
  /** As far as the last look saw. */
  isCurrent(): boolean;
  isWithdrawn(): boolean;
  /** Parties whose session would renew what has lapsed; none where nothing has. */
  missing(): readonly string[];
  close(): void;
}

export function createLease(parts: LeaseParts): Lease {
  const { order, needed, loans, errands, now } = parts;
  /** Party -> when KMS last opened its key, by the NSM. */
  const renewed = new Map<string, number>();
  /** Parties whose keys the host's role has opened. */
  const roleServed = new Set<string>();
  let set: KeySet | undefined;
  let lapsed: readonly string[] = [];
  let isWithdrawn = false;
  let stop = (): void => {};

  const ageOf = (party: string, time: number): number => time - (renewed.get(party) ?? -Infinity);

  const judge = (time: number): void => {
    const old = order.filter((party) => ageOf(party, time) >= LEASE_MS);
    const before = lapsed.length;
    lapsed = order.length - old.length >= needed ? [] : old;
    if (before === 0 && lapsed.length > 0) parts.report({ accord: 'lapsed', parties: lapsed });
  };

  /** Where the last time is so long ago. */
  const renew = (party: string, of: KeySet, time: number, age: number): void => {
    const lent = loans.of(party, time);
    const work = async (signal: AbortSignal): Promise<void> => {
      const before = await now();
      if (isWithdrawn || ageOf(party, before) < age) return;
      if (lent === undefined) await parts.refreshRole(signal);
      const loan = lent ?? loans.of(party, before);
      if (loan !== undefined) await ask(party, of, loan, signal);
    };
    errands.run(`lease of ${party}`, work, lent === undefined ? {} : { outer: lent.signal });
  };

  const ask = async (party: string, of: KeySet, loan: Loan, signal: AbortSignal): Promise<void> => {
    const context = stateContext({ policyDigest: parts.policyDigest, party });
    const { keyArn, credentials } = loan;
    try {
      const key = await openDataKey(parts.kms, of, party, { keyArn, context, credentials }, signal);
      key.plaintext.fill(0);
      if (loan.from === 'host') roleServed.add(party);
      const time = await now();
      renewed.set(party, time);
      judge(time);
    } catch (error) {
      if (speaksOfTheKey(error, loan, roleServed.has(party))) withdraw(party);
      throw error;
    }
  };

  const withdraw = (party: string): void => {
    if (isWithdrawn) return;
    isWithdrawn = true;
    stop();
    parts.report({ accord: 'withdrawn', party });
    const message = `the KMS key of ${party} does not open to this enclave any more`;
    parts.withdrawn(new Failure<LeaseCode>('refused', 'lease/withdrawn', message, { where: party }));
  };

  const look = async (): Promise<void> => {
    const of = set;
    if (of === undefined || isWithdrawn) return;
    const time = await now();
    judge(time);
    for (const party of renewed.keys()) if (ageOf(party, time) >= RENEW_MS) renew(party, of, time, RENEW_MS);
  };

  const keepLooking = (): void => {
    stop = parts.timers(LOOK_MS, () => {
      errands.run('lease', look);
      keepLooking();
    });
  };

  return {
    begin(of, parties, asked, time) {
      set = of;
      for (const [party, from] of parties) {
        renewed.set(party, asked.get(party) ?? -Infinity);
        if (from === 'host') roleServed.add(party);
      }
      judge(time);
      keepLooking();
    },
    arrived(party) {
      const of = set;
      if (of === undefined || isWithdrawn) return;
      renew(party, of, 0, FRESH_MS);
    },
    look,
    isCurrent: () => !isWithdrawn && lapsed.length === 0,
    isWithdrawn: () => isWithdrawn,
    missing: () => lapsed,
    close: () => stop(),
  };
}

/** The names under which AWS refuses credentials, and not what was asked with them. */
const ABOUT_CREDENTIALS =
  /^(ExpiredToken|InvalidClientTokenId|UnrecognizedClient|InvalidSignature|SignatureDoesNotMatch|IncompleteSignature|MissingAuthenticationToken|RequestExpired)/;
/** Those that speak of the key, whoever asks. */
const ABOUT_THE_KEY = /^(Disabled|KMSInvalidState|NotFound|InvalidKeyUsage|KeyUnavailable)/;

function speaksOfTheKey(error: unknown, { from }: Loan, roleServedBefore: boolean): boolean {
  if (!(error instanceof Failure)) return false;
  const { code, where = '' }: { readonly code: string; readonly where?: string | undefined } = error;
  if (code !== 'kms/refused' || ABOUT_CREDENTIALS.test(where)) return false;
  return from === 'session' || roleServedBefore || ABOUT_THE_KEY.test(where);
}
