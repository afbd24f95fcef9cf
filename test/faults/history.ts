/** What the parties saw, in their own order: all that the checker knows beside the entries in the anchors. */

/** One call that a party means to make: asked under one request id, however often. */
export interface Wanted {
  readonly party: string;
  readonly function: string;
  /** Hex. */
  readonly requestId: string;
  /** What tells one input from another. */
  readonly input: string;
  /** Whether this party keeps asking until the end for an answer that is its right. */
  readonly persistent: boolean;
}

export type Outcome =
  | { readonly answer: string }
  | { readonly refused: string; readonly detail?: string }
  /** Cut off, too late, or not one of the protocol's answers. */
  | { readonly nothing: string };

export interface Attempt {
  readonly wanted: Wanted;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly outcome: Outcome;
  /** Which copy of the enclave was asked. */
  readonly enclave: string;
}

/** A model that its owner handed over, and an enclave acknowledged. */
export interface Contributed {
  readonly function: string;
  readonly model: string;
  readonly startedAt: number;
  /** The copy that was asked. */
  readonly enclave: string;
  /** Infinity where no acknowledgement came: it may have happened nevertheless. */
  readonly endedAt: number;
}

export interface History {
  readonly wanted: Wanted[];
  readonly attempts: Attempt[];
  readonly contributed: Contributed[];
  /** When each copy of the enclave was started. */
  readonly started: Map<string, number>;
  /** When a party withdrew its key, if it did. */
  readonly withdrawn: { readonly party: string; readonly at: number }[];
  /** Errors that should not be: of the programs, not of the world. */
  readonly faults: string[];
}

export function createHistory(): History {
  return { wanted: [], attempts: [], contributed: [], started: new Map(), withdrawn: [], faults: [] };
}
