/** What the pipeline may ask of the models that come and stay (contributions.ts). */
import type { ModelFunctionPolicy } from '../policies/model.ts';
import type { Contribute, EnclaveCredentials } from './protocol/request.ts';
import type { OpenedState } from './state/opening.ts';

/** Whose session it is. */
export interface Contributor {
  readonly party: string;
  readonly keyArn: string;
  /** The party's own, for its own key. */
  readonly credentials: EnclaveCredentials;
}

export interface Contributions {
  /**
   * Takes what the owner names. Resolves with the model's SHA-256 (hex) once it is written down and in place. Throws
   * `Failure<ContributionCode | RecordsCode>`, `Refused`.
   */
  readonly take: (
    contributor: Contributor,
    request: Contribute,
    policy: ModelFunctionPolicy,
    signal: AbortSignal,
  ) => Promise<string>;
  /**
   * Puts the newest model of each function (or of the one that a call is about) in place, where it is not. Throws nothing that
   * the host could cause, and reports no failure to the host before the answer to that call has left.
   */
  readonly restore: (
    state: OpenedState,
    signal: AbortSignal,
    only?: { readonly function: string; readonly left: Promise<void> },
  ) => Promise<void>;
}
