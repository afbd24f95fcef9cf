import type { PolicyDigest } from './model.ts';

/**
 * SHA-384 of the canonical policy's UTF-8 bytes, lower-case hex: what is attested.
 * Takes the text, not the object: what is hashed is what was read.
 */
export async function policyDigest(canonicalText: string): Promise<PolicyDigest> {
  const hash = await crypto.subtle.digest('SHA-384', new TextEncoder().encode(canonicalText));
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the brand is made here
  return toHex(hash) as PolicyDigest;
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
