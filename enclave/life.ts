import type { Confinement } from './jail/confinement.ts';

/**
 * All that an enclave says aloud: one JSON object a line, on standard output, for whoever runs the host. Nothing in it is
 * secret, nothing of a call is in it.
 */
export type LifeLine =
  | {
      readonly accord: 'booted';
      readonly policyDigest: string;
      readonly pcr0: string;
      readonly debug: boolean;
      /** By the NSM's clock. */
      readonly time: string;
    }
  | { readonly accord: 'keyed'; readonly parties: number }
  /** With what holds its jails. */
  | { readonly accord: 'serving'; readonly port: number; readonly confinement: Confinement }
  /** The state is open: made at first, restored after. */
  | { readonly accord: 'opened'; readonly state: 'made' | 'restored' }
  /** It could not be opened, or what stood in it not be put back. `where`: a party or a record. */
  | { readonly accord: 'unopened'; readonly code: string; readonly where?: string }
  /** The keys of these parties were not confirmed for an hour: no calls until they have sessions. */
  | { readonly accord: 'lapsed'; readonly parties: readonly string[] }
  /** The party's KMS refused: the enclave ends. */
  | { readonly accord: 'withdrawn'; readonly party: string }
  | { readonly accord: 'fault'; readonly reason: string }
  | { readonly accord: 'stopped'; readonly reason: string; readonly code: number };

export type Report = (line: LifeLine) => void;
