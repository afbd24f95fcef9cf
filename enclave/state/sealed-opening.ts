/**
 * Opens the state as its parties arrive. What needs a party's key is begun as soon as that party's credentials are there
 * (a session's, or those of the host's role), all parties in parallel and for each its data key beside its anchor's
 * credential, so that a boot waits for one round trip to KMS:
 *
 *     credentials of a party ->  its anchor opened and checked   \
 *                            ->  its data key decrypted / made    }->  enough of both: which set counts?
 *     the host's set of wrapped keys, as a hint                  /
 *
 *     the anchors name a set    that one and no other; unwrapped; its claim found genuine
 *     a quorum names none       fresh keys of all parties; the set made, stored, claimed; or another enclave's taken
 *
 * Whatever fails is told with its code and tried again when a session arrives or a call asks for the state.
 */
import type { Failure } from '../../policies/failure.ts';
import type { PolicyDigest } from '../../policies/model.ts';
import type { Anchors } from '../claims/anchor.ts';
import { entryKey } from '../claims/entry.ts';
import type { Found } from '../claims/survey.ts';
import { controllerForMany, within } from '../deadline.ts';
import type { Timers } from '../deadline.ts';
import type { RandomSource } from '../crypto/random.ts';
import { constantTimeEqual } from '../crypto/digest.ts';
import type { AttestedKms } from '../kms/attested.ts';
import type { Report } from '../life.ts';
import type { Host } from '../vsock/host.ts';
import type { OpenAnchor } from './anchor-doors.ts';
import { createAnchorDoors } from './anchor-doors.ts';
import { demandNotClosed } from './closing.ts';
import { createDataKeys } from './data-keys.ts';
import { createErrands } from './errands.ts';
import { namedSet, offeredSet } from './host-keys.ts';
import { createInheritance } from './inheritance.ts';
import { claimKeySet, confirmKeySet, shownKeySet } from './key-claim.ts';
import type { KeySet } from './key-set.ts';
import { keySetTerms, partiesNeeded, storedKeySet } from './key-set.ts';
import { STATE_KEY_BYTES, makeKeySet, openKeySet } from './layers.ts';
import { createLease } from './lease.ts';
import { asLent, createLoans } from './loans.ts';
import type { OpenedState, Opening, OpeningStatus } from './opening.ts';
import { reasonOf, refusalOf } from './opening.ts';
import { isSuccessor } from './predecessor.ts';
import type { SealedPolicy } from './sealed-policy.ts';

/** What the state key is good for. Copies what it needs of `stateKey`, which is erased afterwards. */
export type UseState = (stateKey: Uint8Array, anchors: Anchors, keySetDigest: Uint8Array) => Promise<OpenedState>;

export interface SealedOpeningParts {
  readonly policy: SealedPolicy;
  readonly policyDigest: PolicyDigest;
  /** Key ARN -> party. */
  readonly keyring: ReadonlyMap<string, string>;
  readonly kms: AttestedKms;
  readonly host: Host;
  readonly openAnchor: OpenAnchor;
  readonly use: UseState;
  /** Puts back what was in place before the restart. */
  readonly restore: (state: OpenedState, signal: AbortSignal) => Promise<void>;
  /** By the NSM. Milliseconds since 1970. */
  readonly now: () => Promise<number>;
  readonly timers: Timers;
  readonly random: RandomSource;
  readonly report: Report;
  /** An error of our own. */
  readonly fault: (error: unknown) => void;
  /** A party withdrew its key: the enclave ends. */
  readonly withdrawn: (failure: Failure) => void;
}

/** How long a call waits for an opening under way. */
const PATIENCE_MS = 20_000;
/** Contributed models may be large, and are loaded one after the other. */
const RESTORE_MS = 900_000;
const KEEP_UP_MS = 300_000;
/** A predecessor may have many tickets to be closed. */
const SUCCESSION_MS = 3_600_000;

export function openSealed(parts: SealedOpeningParts): Opening {
  const { policy, policyDigest, kms, host, timers, report, now } = parts;
  const { order } = policy.state;
  const terms = keySetTerms(parts);
  const keyArns = new Map([...parts.keyring].map(([arn, party]) => [party, arn]));
  const ended = controllerForMany();
  const loans = createLoans(keyArns, ended.signal);
  const errands = createErrands({
    timers,
    fault: parts.fault,
    failed: ({ code, where }) => report({ accord: 'unopened', code, ...(where === undefined ? {} : { where }) }),
  });
  const keys = createDataKeys(kms, policyDigest);
  /** When the KMS of each party was asked for its data key. */
  const asked = new Map<string, number>();
  const { openAnchor } = parts;
  const doors = createAnchorDoors({ anchors: policy.anchors, policyDigest, keyArns, host, decrypt: kms.decrypt, openAnchor }); // prettier-ignore
  const inheritance = isSuccessor(policy) ? createInheritance({ ...parts, policy, anchors: doors.anchors }) : undefined;
  const refreshRole = async (signal: AbortSignal): Promise<void> =>
    loans.lendRole(await host.credentials(signal).catch(() => undefined));
  const lease = createLease({ ...parts, order, needed: partiesNeeded(terms), loans, errands, refreshRole });
  let opened: OpenedState | undefined;
  let stopKeepingUp = (): void => {};

  /** Begins everything that a party's credentials make possible. */
  const begin = async (party: string): Promise<void> => {
    const loan = loans.of(party, await now());
    if (loan === undefined) return;
    const terms = { outer: loan.signal };
    if (doors.isClosed(party)) {
      const open = (signal: AbortSignal): Promise<void> => doors.open(party, loan, signal).then(decide);
      errands.run(`anchor of ${party}`, (signal) => asLent(loan, open(signal)), terms);
    }
    if (opened !== undefined) return;
    if (inheritance !== undefined && doors.suffice()) {
      const inherit = async (signal: AbortSignal): Promise<void> => {
        if (await inheritance.obtain(party, loan, signal)) decide();
      };
      errands.run(`old key of ${party}`, (signal) => asLent(loan, inherit(signal)), terms);
    }
    if (keys.has(party)) return;
    const obtain = async (signal: AbortSignal): Promise<void> => {
      await hint();
      const [had, time] = [keys.has(party), await now()];
      await keys.obtain(party, loan, signal);
      if (!had && keys.has(party)) asked.set(party, time);
      decide();
    };
    errands.run(`key of ${party}`, (signal) => asLent(loan, obtain(signal)), terms);
  };

  /** What is to be opened, as long as the anchors have not been asked: the set that the host has. */
  let asking: Promise<void> | undefined;
  const hint = (): Promise<void> => {
    if (keys.wanted !== undefined) return Promise.resolve();
    asking ??= (async () => {
      // Not by the one who asks first: others wait for the same answer.
      const offered = await offeredSet(host, terms, ended.signal);
      if (keys.wanted === undefined) keys.want(offered);
    })().finally(() => (asking = undefined));
    return asking;
  };

  let known: Found | undefined;
  const decide = (): void => errands.run('state', attempt, inheritance === undefined ? {} : { limitMs: SUCCESSION_MS });

  async function attempt(signal: AbortSignal): Promise<void> {
    if (opened !== undefined || !doors.suffice()) return;
    const options = { timers, signal };
    const shown = known ?? (await shownKeySet(doors.anchors, policyDigest, options));
    // What a quorum holds stays: it need not be read again when the last key comes.
    known = shown !== undefined && shown.count >= doors.anchors.quorum ? shown : undefined;
    if (shown === undefined) return make(signal);
    const digest = shown.entry.first;
    const wanted = keys.wanted;
    if (wanted === undefined || wanted === 'fresh' || !constantTimeEqual(wanted.digest, digest)) {
      keys.want({ set: await namedSet(host, terms, digest, wanted, signal), digest });
      return beginAll();
    }
    if (keys.all().size < partiesNeeded(terms)) return beginAll();
    const dataKeys = new Map([...keys.all()].map(([party, { plaintext }]) => [party, plaintext]));
    const stateKey = await openKeySet(wanted.set, dataKeys);
    try {
      const key = await entryKey(stateKey);
      await Promise.all([
        confirmKeySet(doors.anchors, policyDigest, stateKey, shown, options),
        demandNotClosed(doors.anchors, key, policyDigest, options),
      ]);
      if (!(await hasInherited(stateKey, digest, signal))) return await beginAll();
      await finish('restored', stateKey, wanted.set, digest);
    } catch (error) {
      known = undefined;
      throw error;
    } finally {
      stateKey.fill(0);
    }
  }

  /** At first. Nothing is claimed before the host has the set, and nothing is sealed with it before it is claimed. */
  async function make(signal: AbortSignal): Promise<void> {
    keys.want('fresh');
    if (keys.all().size < order.length) return beginAll();
    const stateKey = await parts.random(STATE_KEY_BYTES);
    try {
      const set = await makeKeySet(terms, keys.all(), stateKey, parts.random);
      const stored = await storedKeySet(set);
      await host.putRecord(stored, signal);
      const claimed = await claimKeySet(doors.anchors, policyDigest, stateKey, stored.sha256, { timers, signal });
      if (claimed === 'taken') return decide();
      await host.putKeys(stored, signal);
      if (!(await hasInherited(stateKey, stored.sha256, signal))) return await beginAll();
      await finish('made', stateKey, set, stored.sha256);
    } finally {
      stateKey.fill(0);
    }
  }

  /** What comes before one's own: the predecessor closed, its state taken over. */
  async function hasInherited(stateKey: Uint8Array, keysDigest: Uint8Array, signal: AbortSignal): Promise<boolean> {
    return inheritance === undefined || (await inheritance.settle({ stateKey, keysDigest }, signal)) === 'settled';
  }

  async function finish(
    how: 'made' | 'restored',
    stateKey: Uint8Array,
    set: KeySet,
    digest: Uint8Array,
  ): Promise<void> {
    const [state, time] = [await parts.use(stateKey, doors.anchors, digest), await now()];
    if (ended.signal.aborted) return;
    lease.begin(set, keys.lentBy(), asked, time);
    keys.erase();
    opened = state;
    report({ accord: 'opened', state: how });
    const restore = (limit: AbortSignal): Promise<void> => parts.restore(state, limit);
    errands.run('restore', restore, { limitMs: RESTORE_MS });
    // What another copy of this enclave has taken meanwhile.
    const keepUp = (): void => {
      stopKeepingUp = timers(KEEP_UP_MS, () => {
        errands.run('keeping up', restore, { limitMs: RESTORE_MS });
        keepUp();
      });
    };
    keepUp();
  }

  async function beginAll(): Promise<void> {
    await Promise.all(order.map(begin));
  }

  function waitingFor(): readonly string[] {
    if (opened !== undefined) return lease.missing();
    const needed = keys.wanted === 'fresh' ? order.length : partiesNeeded(terms);
    const keyless = keys.all().size < needed ? order.filter((party) => !keys.has(party)) : [];
    const waited = [...keyless, ...doors.missing(), ...(inheritance?.missing() ?? [])];
    return order.filter((party) => waited.includes(party));
  }

  function status(): OpeningStatus {
    if (opened !== undefined && !lease.isWithdrawn())
      return { state: lease.missing().length === 0 ? 'open' : 'lapsed', waitingFor: lease.missing() };
    const reason = reasonOf(errands.failures);
    const refused = lease.isWithdrawn() || reason?.startsWith('state/') === true;
    return { state: refused ? 'refused' : 'waiting', waitingFor: waitingFor(), ...(reason === undefined ? {} : { reason }) }; // prettier-ignore
  }

  const usable = (): OpenedState | undefined => (lease.isCurrent() ? opened : undefined);
  const isReady = (): boolean => usable() !== undefined && !errands.isUnderWay('restore');

  /** Whatever failed before is tried again, and what has begun is waited for. */
  async function demand(signal: AbortSignal): Promise<OpenedState> {
    await lease.look();
    if (opened === undefined) await beginAll().then(decide);
    // The host may not have been there when it was asked for its role, or its role's time may be over.
    if (opened === undefined && waitingFor().length > 0) beginWithRole();
    while (!isReady() && errands.isUnderWay() && !signal.aborted) await errands.change(signal);
    const state = usable();
    if (state === undefined) throw refusalOf(status());
    return state;
  }

  /** What needs nobody's session: folders, and the host's role where it has one. */
  errands.run('start', async () => {
    for (const store of policy.anchors.stores) {
      if (!('folder' in store)) continue;
      const open = (limit: AbortSignal): Promise<void> => doors.open(store.owner, undefined, limit).then(decide);
      errands.run(`anchor of ${store.owner}`, open);
    }
    beginWithRole();
  });

  function beginWithRole(): void {
    errands.run('role', async (signal) => {
      await refreshRole(signal);
      await beginAll();
    });
  }

  return {
    current: usable,
    demand: (signal) => within(timers, PATIENCE_MS, 'opening the state', demand, signal),
    arrived(party, keyArn, credentials, signal) {
      loans.lend(party, { from: 'session', keyArn, credentials, signal });
      begin(party).catch(parts.fault);
      if (opened !== undefined) lease.arrived(party);
    },
    status,
    close() {
      ended.abort(new Error('the enclave ends'));
      errands.close();
      lease.close();
      stopKeepingUp();
      keys.erase();
      inheritance?.erase();
    },
  };
}
