/**
 * Why a call was not answered. One closed union; a refusal is a value, sealed and padded like an answer, so that the
 * host cannot tell one from the other.
 */
export const REFUSALS = {
  'unknown-function': 'the policy has no function of this name',
  'not-permitted': 'the policy does not let this party do this',
  'quota-exceeded': 'this party has used all its calls of this function',
  'request-reused': 'this request id was used before with another input; use a new one',
  changed: 'the model or data behind this function changed since this request was first made; use a new request id',
  expired: "the collaboration's last day has passed",
  busy: 'a call of this party is still in flight; wait for its answer',
  'no-model': "the model has not been contributed yet; ask the model's owner to run `accord contribute`",
  'input-too-large': "the input is larger than the policy's maxBytes",
  'input-invalid': 'the input is not what the function takes',
  'output-invalid': "the model's output does not fit the function's schema",
  'compute-failed': 'the computation stopped before it had an answer; the same request may be tried again',
  'compute-timeout': 'the computation was not done in time; the same request may be tried again',
  'model-refused': "the contributed model was refused by the function's checks",
  'contribution-mismatch': 'the stored contribution is not the one that was named',
  'kms-refused': "the party's KMS refused the enclave; is this image's PCR0 in its key policy?",
  'kms-unavailable': 'the KMS could not be reached; try again',
  'not-open': 'the enclave waits for parties before it can open its state; nothing was spent',
  unavailable: 'too few anchors can be reached to write this call down; the same request may be tried again',
  'anchor-tampered': 'an anchor holds what this collaboration did not write there',
  'state-refused': "the state that the host keeps is not the newest, or not this collaboration's",
  'lease-lapsed': "a party's consent could not be renewed within the hour; it is renewed when that party connects",
  'session-expired': 'the session is older than an hour; open a new one',
} as const;

export type RefusalCode = keyof typeof REFUSALS;

export interface Refusal {
  readonly refused: RefusalCode;
  /** What exactly was wrong, for the caller alone; never longer than 200 characters, never secret of another party. */
  readonly detail?: string;
}
