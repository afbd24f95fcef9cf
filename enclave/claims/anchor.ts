/**
 * An anchor is one store in which an entry, once written, cannot be changed, not even by the store's owner. Bytes go in
 * and bytes come out; what they mean is said in entry.ts, and what several anchors decide together in claim.ts.
 */
export type AnchorCode =
  | 'anchor/waiting' // for its owner, whose credential it needs
  | 'anchor/unavailable' // not reached, 5xx, or no answer in time, after asking again
  | 'anchor/refused' // no permission, another Region, a clock too far off
  | 'anchor/misconfigured' // no bucket or folder, no lock, no versioning
  | 'anchor/tampered' // a delete marker, a wrong lock, an object that is no entry
  | 'anchor/full';

export type AnchorKind = 'memory' | 'folder' | 's3';

/** All failures are `Failure<AnchorCode>`. Any of them may stand for a write that happened. */
export interface Anchor {
  /** Name of the party whose store it is. */
  readonly owner: string;
  readonly kind: AnchorKind;
  /** Refuses a store that cannot do what an anchor must. Once, before the first use. */
  check(signal: AbortSignal): Promise<void>;
  /**
   * Writes entry `k` under `name` if it is absent. Resolves with the bytes that are there now: these, or the holder's.
   * Safe to repeat after any outcome.
   */
  claim(name: string, k: number, entry: Uint8Array, signal: AbortSignal): Promise<Uint8Array>;
  /** The bytes of entry `k`; undefined where nobody wrote it. */
  holder(name: string, k: number, signal: AbortSignal): Promise<Uint8Array | undefined>;
  /**
   * The same store for the entries of a predecessor, whose last day (YYYY-MM-DD) is another one: their locks end with it.
   * Absent where entries have no locks.
   */
  endingOn?(until: string): Anchor;
  /** What was found on the way and is not as it should be: delete markers, second versions. Bounded. */
  readonly reports: readonly string[];
}

/** The stores in the policy's order, and how many of them must hold an entry before it counts: more than half. */
export interface Anchors {
  readonly stores: readonly Anchor[];
  readonly quorum: number;
}
