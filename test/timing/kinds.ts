/**
 * The classes of calls: what is asked, and what it is meant to end in. Everything about them that a host may see is equal:
 * names of one length, inputs padded to one size, answers of one size.
 */
import { randomBytes } from 'node:crypto';
import type { RefusalCode } from '../../enclave/protocol/refusal.ts';
import { NAMES } from './agreement.ts';
import type { Release } from './agreement.ts';
import type { Pictures } from './pictures.ts';

export type Outcome = 'answer' | RefusalCode;

export interface Asked {
  readonly function: string;
  readonly requestId: Uint8Array;
  readonly input: Uint8Array;
}

export interface Kind {
  readonly party: 'alice' | 'bob';
  /** In a session that has no other class: how seldom a session is used, which the host sees, is the same for both parties. */
  readonly apart?: true;
  /** What a call of this class is meant to end in. */
  readonly outcome: Outcome;
  readonly release: Release;
  /** `jails`: processes serve it and end, and the next call waits until their successors are warm. */
  readonly jails: boolean;
  /**
   * Whether the enclave keeps the answer for whoever asks again. Then a run that must be short lets most calls ask again for
   * the last one that was computed; the answer leaves by the same way.
   */
  readonly kept: boolean;
  /** Another call is under way when this one is made: of the same party, or of the other. */
  readonly beside?: 'same' | 'other';
  /** `again` is the request that the last call of this class made, where it is to be made again. */
  ask(again: Asked | undefined): Asked;
}

const newId = (): Uint8Array => new Uint8Array(randomBytes(32));

/** Every class. */
export const KIND_NAMES = [
  'success',
  'again',
  'alice',
  'bob',
  'free',
  'busy',
  'quota-exceeded',
  'not-permitted',
  'unknown-function',
  'input-too-large',
  'no-model',
  'request-reused',
  'changed',
  'label-a',
  'label-b',
  'large',
  'input-invalid',
  'output-invalid',
  'compute-failed',
  'compute-timeout',
] as const;
export type KindName = (typeof KIND_NAMES)[number];
export type Kinds = Readonly<Record<KindName, Kind>>;

/** Made before: requests that some classes repeat. */
export interface Prepared {
  readonly used: Asked;
  readonly exchanged: Asked;
}

export function kindsOf(pictures: Pictures, prepared: Prepared): Kinds {
  let turn = 0;
  const input = pictures.red;
  const fresh = (name: string): Asked => ({ function: name, requestId: newId(), input });
  const counter = (): Asked => fresh(NAMES.counter(turn++));
  let last: Asked | undefined;
  const first = (): Asked => (last = counter());
  const plain = { party: 'alice', release: 'quick', jails: false, kept: false } as const;
  const picture = (from: Uint8Array, outcome: Outcome, kept = true): Kind => ({
    party: 'alice',
    outcome,
    release: 'computing',
    jails: true,
    kept,
    ask: (again) => again ?? { function: NAMES.pictures, requestId: newId(), input: from },
  });
  const refused = (outcome: RefusalCode, ask: () => Asked): Kind => ({ ...plain, outcome, ask });
  return {
    // A counter's: it computes, changes state and takes a ticket, and needs no process.
    success: { ...plain, outcome: 'answer', ask: first },
    again: { ...plain, outcome: 'answer', ask: () => last ?? first() },
    alice: { ...plain, apart: true, outcome: 'answer', ask: counter },
    bob: { ...plain, party: 'bob', outcome: 'answer', ask: counter },
    free: { ...plain, outcome: 'answer', beside: 'other', ask: counter },
    busy: { ...plain, outcome: 'busy', beside: 'same', ask: counter },
    'quota-exceeded': refused('quota-exceeded', () => fresh(NAMES.spent)),
    'not-permitted': refused('not-permitted', () => fresh(NAMES.bobs)),
    'unknown-function': { ...refused('unknown-function', () => fresh(NAMES.unknown)), release: 'computing' },
    'input-too-large': refused('input-too-large', () => fresh(NAMES.tiny)),
    'no-model': refused('no-model', () => fresh(NAMES.bare)),
    'request-reused': refused('request-reused', () => ({ ...prepared.used, input: pictures.green })),
    changed: refused('changed', () => prepared.exchanged),
    'label-a': picture(pictures.red, 'answer'),
    'label-b': picture(pictures.green, 'answer'),
    large: picture(pictures.large, 'answer'),
    'input-invalid': picture(randomBytes(pictures.red.length), 'input-invalid'),
    'output-invalid': picture(pictures.senseless, 'output-invalid'),
    'compute-failed': picture(pictures.deadly, 'compute-failed', false),
    'compute-timeout': {
      party: 'alice',
      outcome: 'compute-timeout',
      release: 'computing',
      jails: true,
      kept: false,
      ask: () => fresh(NAMES.slow),
    },
  };
}

export const PAIR_NAMES = [
  'label A / label B',
  'small / large picture',
  'first / later',
  'Alice / Bob',
  'quota left / exceeded',
  'success / not-permitted',
  'success / unknown-function',
  'success / input-too-large',
  'success / no-model',
  'success / request-reused',
  'success / changed',
  'success / busy',
  'success / input-invalid',
  'success / output-invalid',
  'success / compute-failed',
  'success / compute-timeout',
] as const;
export type PairName = (typeof PAIR_NAMES)[number];

/** What is compared with what. */
export const PAIRS: Readonly<Record<PairName, readonly [KindName, KindName]>> = {
  'label A / label B': ['label-a', 'label-b'],
  'small / large picture': ['label-a', 'large'],
  'first / later': ['success', 'again'],
  'Alice / Bob': ['alice', 'bob'],
  'quota left / exceeded': ['success', 'quota-exceeded'],
  'success / not-permitted': ['success', 'not-permitted'],
  'success / unknown-function': ['label-a', 'unknown-function'],
  'success / input-too-large': ['success', 'input-too-large'],
  'success / no-model': ['success', 'no-model'],
  'success / request-reused': ['success', 'request-reused'],
  'success / changed': ['success', 'changed'],
  'success / busy': ['free', 'busy'],
  'success / input-invalid': ['label-a', 'input-invalid'],
  'success / output-invalid': ['label-a', 'output-invalid'],
  'success / compute-failed': ['label-a', 'compute-failed'],
  'success / compute-timeout': ['label-a', 'compute-timeout'],
};

/** How many calls of one group, of 1000: the one that all others are held against, and each of the others. */
interface Parts {
  readonly against: number;
  readonly other: number;
}

/** What the calls of a run are divided into, of 1000. */
export type Shares = Readonly<Record<KindName, number>>;

/** Of `compute-failed` and `compute-timeout`, which are computed each time: a call costs a second. */
const NEVER_KEPT = 7;
/**
 * Each pair has 145 at least, which is 4,000 of 27,600 calls. Times are skewed, and Welch's t of two skewed samples, one seven
 * times the other, goes beyond 4.5 by chance more often (docs/timing.md): classes are 2.7 to 1 at most, but for the two that
 * are never kept.
 */
const GROUP: Parts = { against: 106, other: 39 };
const EACH_PARTY = 73;
export const SHARES: Shares = sharesOf(GROUP, GROUP);

function sharesOf(counters: Parts, pictures: Parts): Shares {
  const beside =
    (1000 -
      counters.against -
      7 * counters.other -
      2 * EACH_PARTY -
      pictures.against -
      5 * pictures.other -
      2 * NEVER_KEPT) /
    2;
  return {
    success: counters.against,
    again: counters.other,
    alice: EACH_PARTY,
    bob: EACH_PARTY,
    free: beside,
    busy: beside,
    'quota-exceeded': counters.other,
    'not-permitted': counters.other,
    'unknown-function': pictures.other,
    'input-too-large': counters.other,
    'no-model': counters.other,
    'request-reused': counters.other,
    changed: counters.other,
    'label-a': pictures.against,
    'label-b': pictures.other,
    large: pictures.other,
    'input-invalid': pictures.other,
    'output-invalid': pictures.other,
    'compute-failed': NEVER_KEPT,
    'compute-timeout': NEVER_KEPT,
  };
}

/** Refusals of an authenticated party's call that cannot be had here, and why. */
export const UNPROVOKED: Readonly<Partial<Record<RefusalCode, string>>> = {
  expired: 'the collaboration would be over for every other class too',
  'session-expired': 'it takes a session of more than an hour; it is answered before anything is looked at',
  'not-open': 'without anchors the state is open from the start',
  unavailable: 'without anchors there is none that could be out of reach',
  'anchor-tampered': 'without anchors there is none to tamper with',
  'state-refused': 'without anchors the host keeps no state',
  'lease-lapsed': 'without sealed state there is no lease',
  'model-refused': 'an answer to a contribution, not to a call',
  'contribution-mismatch': 'an answer to a contribution, not to a call',
  'kms-refused': 'an answer to the opening of a session, before the party is known',
  'kms-unavailable': 'an answer to the opening of a session, before the party is known',
};
