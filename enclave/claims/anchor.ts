/**
 * An anchor is a store in which an entry, once written, cannot be changed. Memory is the only kind yet: it forgets with
 * the enclave, so a restart resets every quota, and every report says so.
 */
export interface ClaimTag {
  /** HMAC of the entry's name and the request id, under a key derived from the state key. 32 bytes. */
  readonly request: Uint8Array;
  /**
   * HMACs, under another such key, of the request id with the digest of the input (first 16 bytes) and with the digest
   * of everything else the function reads (last 16 bytes). Two halves, so that "another input" and "another model" can
   * be told apart without storing either; bound to the request, so that two calls on one picture do not look alike.
   * 32 bytes.
   */
  readonly context: Uint8Array;
}

export type Claim =
  | { readonly outcome: 'held' } // absent before: now ours
  | { readonly outcome: 'taken'; readonly by: ClaimTag };

export interface Anchor {
  readonly kind: 'memory';
  /** Writes entry `k` under `name` if it is absent; else says who holds it. Never overwrites. */
  claim(name: string, k: number, tag: ClaimTag): Promise<Claim>;
  /** Who holds entry `k` under `name`; undefined where nobody does. Writes nothing. */
  holder(name: string, k: number): Promise<ClaimTag | undefined>;
}
