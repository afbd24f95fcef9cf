import { Failure } from './failure.ts';
import type { PolicyDigest } from './model.ts';

export type DigestCode = 'policy/bad-digest';

/**
 * SHA-384 of the canonical policy's UTF-8 bytes, lower-case hex: what is attested.
 * Takes the text, not the object: what is hashed is what was read.
 */
export async function policyDigest(canonicalText: string): Promise<PolicyDigest> {
  const hash = await crypto.subtle.digest('SHA-384', new TextEncoder().encode(canonicalText));
  return parsePolicyDigest(toHex(hash));
}

/** A digest that was written down or attested: 48 bytes in lower-case hex. @throws Failure `malformed` */
export function parsePolicyDigest(hex: string): PolicyDigest {
  if (!isPolicyDigest(hex)) {
    throw new Failure<DigestCode>('malformed', 'policy/bad-digest', 'a policy digest is 48 bytes in lower-case hex');
  }
  return hex;
}

function isPolicyDigest(text: string): text is PolicyDigest {
  return /^[0-9a-f]{96}$/.test(text);
}

/**
 * SHA-256("accord/v1/kms-key-arn" || 0x00 || ARN), lower-case hex. A published policy carries this instead of the ARN;
 * the prefix keeps the hash from meaning anything elsewhere.
 */
export async function kmsKeyArnHash(arn: string): Promise<string> {
  return toHex(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(`accord/v1/kms-key-arn\0${arn}`)));
}

function toHex(bytes: ArrayBuffer): string {
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
