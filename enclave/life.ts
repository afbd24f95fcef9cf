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
  | { readonly accord: 'serving'; readonly port: number }
  | { readonly accord: 'fault'; readonly reason: string }
  | { readonly accord: 'stopped'; readonly reason: string; readonly code: number };

export type Report = (line: LifeLine) => void;
