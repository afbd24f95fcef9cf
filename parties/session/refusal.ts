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
}

const RETRY = 'run the same command again: it asks for the same answer, and costs no further call';
/** The enclave refuses these before it counts a call. */
const UNSPENT = 'no call was spent';

const MEANINGS = {
  'unknown-function': { kind: 'refused', hint: `${UNSPENT}; \`accord explain\` lists the functions of the policy` },
  'not-permitted': { kind: 'refused', hint: `${UNSPENT}; \`accord explain\` says who may do what under the policy` },
  'quota-exceeded': { kind: 'refused', hint: 'the parties would have to agree on another policy; see `accord quota`' },
  'request-reused': { kind: 'refused', hint: 'run the command without --retry' },
  changed: { kind: 'refused', hint: 'run the command again without --retry: it will be a new call' },
  expired: { kind: 'refused', hint: `${UNSPENT}; the parties would have to agree on another policy` },
  busy: { kind: 'environment', hint: `${UNSPENT}; run the same command again` },
  'no-model': { kind: 'refused', hint: `${UNSPENT}; the model's owner runs \`accord contribute\`` },
  'input-too-large': { kind: 'refused', hint: 'make the input smaller; `accord explain` says how large it may be' },
  'input-invalid': { kind: 'refused', hint: 'the call is spent; the same input again is refused again, for free' },
  'output-invalid': { kind: 'refused', hint: "the model's owner must correct the model or its manifest" },
  'compute-failed': { kind: 'environment', hint: RETRY },
  'compute-timeout': { kind: 'environment', hint: RETRY },
  'model-refused': { kind: 'refused', hint: 'correct the model or its manifest, then contribute it again' },
  'contribution-mismatch': { kind: 'refused', hint: 'contribute it again; if it recurs, the host offers another file' },
  'kms-refused': {
    kind: 'refused',
    hint: `${UNSPENT}; pin this image with \`accord key-policy --measurements FILE --apply\`. Is the enclave role right?`,
  },
  'kms-unavailable': { kind: 'environment', hint: `${UNSPENT}; run the same command again` },
  'not-open': {
    kind: 'environment',
    hint: `${UNSPENT}; run the same command again once the parties it waits for have connected (any command does)`,
  },
  unavailable: {
    kind: 'environment',
    hint: 'run the same command again: it asks for the same answer; a call that was written down already is found again',
  },
  'anchor-tampered': { kind: 'refused', hint: "ask the anchor's owner; what stands there is not counted as a call" },
  'state-refused': {
    kind: 'refused',
    hint: `${UNSPENT}; the coordinator must give the newest state back to the enclave`,
  },
  'lease-lapsed': {
    kind: 'environment',
    hint: `${UNSPENT}; run the same command again once that party has connected (any command does)`,
  },
  'session-expired': { kind: 'environment', hint: `${UNSPENT}; run the same command again` },
} as const satisfies Record<RefusalCode, Meaning>;

export class Refused extends Failure<RefusedCode> {
  readonly refusal: Refusal;

  /** `by` the enclave, or `here`, by the policy that both know, before anything was sent or spent. */
  constructor(refusal: Refusal, by: 'enclave' | 'here' = 'enclave') {
    const { kind, hint } = MEANINGS[refusal.refused];
    const who = by === 'enclave' ? 'the enclave refused' : 'refused here, before anything was sent';
    const detail = refusal.detail === undefined ? '' : `: ${printable(refusal.detail)}`;
    const code: RefusedCode = by === 'enclave' ? `enclave/${refusal.refused}` : `call/${refusal.refused}`;
    super(kind, code, `${who}: ${REFUSALS[refusal.refused]}${detail}`, {
      hint: by === 'here' ? hintHere(refusal, hint) : (hintOfAnchor(refusal) ?? hint),
    });
    this.refusal = refusal;
  }
}

/** An enclave that cannot open its state for an anchor's sake waits for that anchor's owner to do something about it. */
function hintOfAnchor({ refused, detail = '' }: Refusal): string | undefined {
  if (refused !== 'not-open') return undefined;
  if (detail.includes('anchor-credential/')) {
    return `${UNSPENT}; the owner of the anchor that is named runs \`accord anchor contribute\`, then run the same command again`;
  }
  return /\banchor\/(?!waiting|unavailable)/.test(detail)
    ? `${UNSPENT}; the owner of the anchor that is named mends it (\`accord anchor lint\` says what), then run the same command again`
    : undefined;
}

const TAKEN =
  'functions of pictures take a still one (JPEG, PNG or WebP), decision trees a record (JSON: numbers, true or false by name)';

/** What was refused before anything was sent has cost nothing, whatever it would have cost. */
function hintHere({ refused }: Refusal, hint: string): string {
  if (refused === 'input-invalid') return `no call is spent; ${TAKEN}`;
  if (refused === 'input-too-large') return `no call is spent; ${hint}`;
  return hint;
}
