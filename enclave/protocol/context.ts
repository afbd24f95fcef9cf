/**
 * KMS encryption contexts: what a ciphertext is for, bound into it as additional data, visible to key policies
 * (`kms:EncryptionContext:accord:purpose`) and to CloudTrail, and secret to nobody. A ciphertext made for one policy,
 * party, purpose or function never passes for another's: that is the answer to the substitution of wrapped keys.
 */
import type { PolicyDigest } from '../../policies/model.ts';
import { toHex } from '../encoding/hex.ts';

export const CONTEXT_KEYS = {
  policy: 'accord:policy',
  party: 'accord:party',
  purpose: 'accord:purpose',
  session: 'accord:session',
  function: 'accord:function',
} as const;

/**
 * `test-model` marks a model as test data: what an enclave in debug mode takes, and no other. It is a purpose of its own so
 * that the owner's key policy, which names the purposes, never gives a data key for it.
 */
export const PURPOSES = ['session', 'model', 'test-model', 'input', 'state', 'anchor'] as const;
export type Purpose = (typeof PURPOSES)[number];

export type EncryptionContext = Readonly<Record<string, string>>;

interface Bound {
  readonly policyDigest: PolicyDigest;
  readonly party: string;
}

/** For the challenge of a session. `sessionId` has 16 bytes and is not secret. */
export function sessionContext(of: Bound & { readonly sessionId: Uint8Array }): EncryptionContext {
  return { ...bound(of, 'session'), [CONTEXT_KEYS.session]: toHex(of.sessionId) };
}

/** For a contributed model, by its owner; `testData` where its owner marks it as such. */
export function modelContext(
  of: Bound & { readonly function: string; readonly testData?: boolean },
): EncryptionContext {
  return { ...bound(of, of.testData === true ? 'test-model' : 'model'), [CONTEXT_KEYS.function]: of.function };
}

/** For an encrypted input file. */
export function inputContext(of: Bound & { readonly function: string }): EncryptionContext {
  return { ...bound(of, 'input'), [CONTEXT_KEYS.function]: of.function };
}

/** For a party's data key, with which the enclave wraps the state key: asked for by the enclave alone, attested. */
export function stateContext(of: Bound): EncryptionContext {
  return bound(of, 'state');
}

/** For the credential with which the enclave writes to a party's anchor, by its owner. */
export function anchorContext(of: Bound): EncryptionContext {
  return bound(of, 'anchor');
}

/** Same keys, same values; the order does not matter, as for KMS. */
export function sameContext(a: EncryptionContext, b: EncryptionContext): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && a[key] === b[key]);
}

function bound({ policyDigest, party }: Bound, purpose: Purpose): EncryptionContext {
  return {
    [CONTEXT_KEYS.policy]: policyDigest,
    [CONTEXT_KEYS.party]: party,
    [CONTEXT_KEYS.purpose]: purpose,
  };
}
