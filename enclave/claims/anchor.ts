/**
 * An anchor is a store in which an entry, once written, cannot be changed. Memory is the only kind yet: it forgets with
 * the enclave, so a restart resets every quota, and every report says so.
 */
export interface ClaimTag {
  /** HMAC of the request id, under a key derived from the state key. 32 bytes. */
  readonly request: Uint8Array;
  /** HMAC of the digests of the input and of everything else the function reads. 32 bytes. */
  readonly context: Uint8Array;
}

export type Claim =
  | { readonly outcome: 'held' } // absent before: now ours
  | { readonly outcome: 'taken'; readonly by: ClaimTag };

export interface Anchor {
  readonly kind: 'memory';
  /** Writes entry `k` under `name` if it is absent; else says who holds it. Never overwrites. */
  claim(name: string, k: number, tag: ClaimTag): Promise<Claim>;
}
