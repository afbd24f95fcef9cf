/** What the enclave refused, as an error of the party's side: what is wrong, what to do, and which exit code. */
import { REFUSALS } from '../../enclave/protocol/refusal.ts';
import type { Refusal, RefusalCode } from '../../enclave/protocol/refusal.ts';
import { Failure } from '../../policies/failure.ts';
import type { FailureKind } from '../../policies/failure.ts';
import { printable } from '../printable.ts';

export type RefusedCode = `enclave/${RefusalCode}` | `call/${RefusalCode}`;

interface Meaning {
  /** `environment` where the same command may well succeed later; else a check said no. */
  readonly kind: Extract<FailureKind, 'refused' | 'environment'>;
  readonly hint: string;
  /** The enclave refuses these before it counts a call: of a command that could spend one, the hint says so. */
  readonly unspent?: true;
}

const RETRY = 'run the same command again: it asks for the same answer, and costs no further call';
const AGAIN = 'run the same command again';
const UNSPENT = 'no call was spent';

const MEANINGS = {
  'unknown-function': { kind: 'refused', hint: '`accord explain` lists the functions of the policy', unspent: true },
  'not-permitted': { kind: 'refused', hint: '`accord explain` says who may do what under the policy', unspent: true },
  'quota-exceeded': { kind: 'refused', hint: 'the parties would have to agree on another policy; see `accord quota`' },
  'request-reused': { kind: 'refused', hint: 'run the command without --retry' },
  changed: { kind: 'refused', hint: 'run the command again without --retry: it will be a new call' },
  expired: { kind: 'refused', hint: 'the parties would have to agree on another policy', unspent: true },
  busy: { kind: 'environment', hint: AGAIN, unspent: true },
  'no-model': { kind: 'refused', hint: "the model's owner runs `accord contribute`", unspent: true },
  'input-too-large': { kind: 'refused', hint: 'make the input smaller; `accord explain` says how large it may be' },
  'input-invalid': { kind: 'refused', hint: 'the call is spent; the same input again is refused again, for free' },
  'output-invalid': { kind: 'refused', hint: "the model's owner must correct the model or its manifest" },
  'compute-failed': { kind: 'environment', hint: RETRY },
  'compute-timeout': { kind: 'environment', hint: RETRY },
  'model-refused': { kind: 'refused', hint: 'correct the model or its manifest, then contribute it again' },
  'contribution-mismatch': { kind: 'refused', hint: 'contribute it again; if it recurs, the host offers another file' },
  'kms-refused': {
    kind: 'refused',
    hint: 'pin this image with `accord key-policy --measurements FILE --apply`. Is the enclave role right?',
    unspent: true,
  },
  'kms-unavailable': { kind: 'environment', hint: AGAIN, unspent: true },
  'not-open': { kind: 'environment', hint: `${AGAIN} once the parties it waits for have connected`, unspent: true },
  unavailable: {
    kind: 'environment',
    hint: 'run the same command again: it asks for the same answer; a call that was written down already is found again',
  },
  'anchor-tampered': { kind: 'refused', hint: "ask the anchor's owner; what stands there is not counted as a call" },
  'state-refused': {
    kind: 'refused',
    hint: 'the coordinator must give the newest state back to the enclave',
    unspent: true,
  },
  'lease-lapsed': { kind: 'environment', hint: `${AGAIN} once that party has connected`, unspent: true },
  'session-expired': { kind: 'environment', hint: AGAIN, unspent: true },
} as const satisfies Record<RefusalCode, Meaning>;

export interface Circumstances {
  /** The enclave, or `here`, by the policy that both know, before anything was sent or spent. */
  readonly by?: 'enclave' | 'here';
  /** What the refused command could have spent. */
  readonly price?: 'call' | 'nothing';
  /** Number of the enclave that was chosen, where the host runs several; undefined for any. */
  readonly copy?: number | undefined;
}

export class Refused extends Failure<RefusedCode> {
  readonly refusal: Refusal;

  constructor(refusal: Refusal, { by = 'enclave', price = 'call', copy }: Circumstances = {}) {
    const { kind, hint, unspent }: Meaning = MEANINGS[refusal.refused];
    const who = by === 'enclave' ? 'the enclave refused' : 'refused here, before anything was sent';
    const detail = refusal.detail === undefined ? '' : `: ${printable(refusal.detail)}`;
    const code: RefusedCode = by === 'enclave' ? `enclave/${refusal.refused}` : `call/${refusal.refused}`;
    const then = by === 'here' ? hintHere(refusal, hint) : hintThere(refusal, hint, copy);
    super(kind, code, `${who}: ${REFUSALS[refusal.refused]}${detail}`, {
      hint: unspent === true && price === 'call' ? `${UNSPENT}; ${then}` : then,
    });
    this.refusal = refusal;
  }
}

/**
 * How a party connects that an enclave waits for, as the end of a sentence. Each copy waits for the parties by itself, and a
 * session without a number goes to any; how many copies there are only the host knows.
 */
export function howToConnect(copy: number | undefined): string {
  if (copy !== undefined) return ` to this copy, for example by \`accord quota --copy ${copy}\``;
  return ', for example by `accord quota`; where the host runs several copies, each waits by itself: --copy N names one';
}

/** An enclave that cannot open its state for an anchor's sake waits for that anchor's owner to do something about it. */
function hintOfAnchor({ refused, detail = '' }: Refusal): string | undefined {
  if (refused !== 'not-open') return undefined;
  if (detail.includes('anchor-credential/')) {
    return 'the owner of the anchor that is named runs `accord anchor contribute`, then run the same command again';
  }
  return /\banchor\/(?!waiting|unavailable)/.test(detail)
    ? 'the owner of the anchor that is named mends it (`accord anchor lint` says what), then run the same command again'
    : undefined;
}

function hintThere(refusal: Refusal, hint: string, copy: number | undefined): string {
  const waits = refusal.refused === 'not-open' || refusal.refused === 'lease-lapsed';
  return hintOfAnchor(refusal) ?? (waits ? `${hint}${howToConnect(copy)}` : hint);
}

const TAKEN =
  'functions of pictures take a still one (JPEG, PNG or WebP), decision trees a record (JSON: numbers, true or false by name)';

/** What was refused before anything was sent has cost nothing, whatever it would have cost. */
function hintHere({ refused }: Refusal, hint: string): string {
  if (refused === 'input-invalid') return `no call is spent; ${TAKEN}`;
  if (refused === 'input-too-large') return `no call is spent; ${hint}`;
  return hint;
}
