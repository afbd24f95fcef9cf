import type { RecipientKey } from '../../../enclave/kms/recipient.ts';
import { sha256 } from '../../../enclave/crypto/digest.ts';

/** As the composition root makes it, but smaller, for speed. */
export async function makeRecipientKey(): Promise<RecipientKey> {
  const algorithm = { name: 'RSA-OAEP', hash: 'SHA-256', modulusLength: 2048, publicExponent: Uint8Array.of(1, 0, 1) };
  const { privateKey, publicKey } = await crypto.subtle.generateKey(algorithm, false, ['decrypt', 'encrypt']);
  const spki = new Uint8Array(await crypto.subtle.exportKey('spki', publicKey));
  return { privateKey, spki, id: await sha256(spki) };
}
