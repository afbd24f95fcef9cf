/**
 * The two kinds of document that an enclave issues: one for each connection, whose public key is that connection's
 * X25519 key, and one for KMS, whose public key is the boot's RSA key. Both name the policy in `user_data`.
 */
import type { PolicyDigest } from '../../policies/model.ts';
import { encodeUserData } from '../protocol/user-data.ts';
import type { TrustedClock } from './clock.ts';
import { createTrustedClock } from './clock.ts';
import type { Nsm } from './nsm.ts';

export interface Issuer {
  /** Answers a hello: binds its nonce, the policy and the connection's public key. */
  forConnection(publicKey: Uint8Array, nonce: Uint8Array): Promise<Uint8Array>;
  /** For `Recipient` of KMS; made anew before it is older than a minute, since KMS takes recent documents only. */
  forKms(spki: Uint8Array): Promise<Uint8Array>;
  readonly clock: TrustedClock;
}

/** KMS refuses documents older than five minutes. */
const KMS_DOCUMENT_MS = 60_000;

export function createIssuer(nsm: Nsm, policyDigest: PolicyDigest, monotonic: () => number): Issuer {
  const userData = encodeUserData(policyDigest);
  const clock = createTrustedClock(() => nsm.attest({ userData }), monotonic);
  let kept: { readonly spki: Uint8Array; readonly document: Promise<Uint8Array>; readonly at: number } | undefined;

  const issue = async (publicKey: Uint8Array, nonce?: Uint8Array): Promise<Uint8Array> => {
    const document = await nsm.attest(nonce === undefined ? { publicKey, userData } : { publicKey, userData, nonce });
    clock.observe(document);
    return document;
  };

  return {
    clock,
    forConnection: issue,
    forKms(spki) {
      const age = kept === undefined ? Infinity : monotonic() - kept.at;
      if (kept?.spki !== spki || age < 0 || age > KMS_DOCUMENT_MS) {
        const document = issue(spki);
        const made = { spki, document, at: monotonic() };
        kept = made;
        // A document that could not be made is not kept: the next request tries again.
        document.catch(() => {
          if (kept === made) kept = undefined;
        });
      }
      return kept.document;
    },
  };
}
