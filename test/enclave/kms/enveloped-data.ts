/** Writes CMS EnvelopedData as KMS does, and in the other forms that a reader must take or refuse. */
import { createCipheriv, createPublicKey, publicEncrypt, randomBytes, constants } from 'node:crypto';
import { sha256 } from '../../../enclave/crypto/digest.ts';
import { concat } from '../../../enclave/encoding/bytes.ts';
import { der } from '../../../parties/attestation/der.ts';
import { derOid, derUnsigned } from '../../parties/attestation/der-writer.ts';

export const OIDS = {
  envelopedData: '1.2.840.113549.1.7.3',
  data: '1.2.840.113549.1.7.1',
  oaep: '1.2.840.113549.1.1.7',
  mgf1: '1.2.840.113549.1.1.8',
  sha256: '2.16.840.1.101.3.4.2.1',
  sha1: '1.3.14.3.2.26',
  aes256: '2.16.840.1.101.3.4.1.42',
  aes128: '2.16.840.1.101.3.4.1.2',
} as const;

export interface Parts {
  readonly outerType: string;
  readonly version: number;
  readonly recipientVersion: number;
  readonly recipient: Uint8Array;
  readonly keyAlgorithm: string;
  readonly oaepHash: string;
  readonly maskHash: string;
  readonly encryptedKey: Uint8Array;
  readonly contentType: string;
  readonly cipher: string;
  readonly iv: Uint8Array;
  readonly ciphertext: Uint8Array;
}

export type Form = 'indefinite' | 'definite' | 'primitive' | 'two-chunks';

const END = Uint8Array.of(0, 0);
const indefinite = (tag: number, ...contents: readonly Uint8Array[]): Uint8Array =>
  concat(Uint8Array.of(tag, 0x80), ...contents, END);
const small = (value: number): Uint8Array => derUnsigned(Uint8Array.of(value));
const algorithm = (oid: string): Uint8Array => der(0x30, derOid(oid), der(0x05));

export function writeEnvelopedData(parts: Parts, form: Form = 'indefinite'): Uint8Array {
  const wrap = form === 'definite' || form === 'primitive' ? der : indefinite;
  const recipient = der(
    0x30,
    small(parts.recipientVersion),
    der(0x80, parts.recipient),
    der(
      0x30,
      derOid(parts.keyAlgorithm),
      der(
        0x30,
        der(0xa0, algorithm(parts.oaepHash)),
        der(0xa1, der(0x30, derOid(OIDS.mgf1), algorithm(parts.maskHash))),
      ),
    ),
    der(0x04, parts.encryptedKey),
  );
  const encrypted = wrap(
    0x30,
    derOid(parts.contentType),
    der(0x30, derOid(parts.cipher), der(0x04, parts.iv)),
    content(parts.ciphertext, form),
  );
  const enveloped = wrap(0x30, small(parts.version), der(0x31, recipient), encrypted);
  return wrap(0x30, derOid(parts.outerType), wrap(0xa0, enveloped));
}

function content(ciphertext: Uint8Array, form: Form): Uint8Array {
  switch (form) {
    case 'indefinite':
      return indefinite(0xa0, der(0x04, ciphertext));
    case 'two-chunks':
      return indefinite(0xa0, der(0x04, ciphertext.subarray(0, 5)), der(0x04, ciphertext.subarray(5)));
    case 'definite':
      return der(0xa0, der(0x04, ciphertext));
    case 'primitive':
      return der(0x80, ciphertext);
  }
}

/** Encrypts to an RSA public key (SubjectPublicKeyInfo, DER), as KMS does for `Recipient`. */
export async function envelopedParts(
  spki: Uint8Array,
  plaintext: Uint8Array,
  contentKey: Uint8Array = randomBytes(32),
): Promise<Parts> {
  const iv = randomBytes(16);
  const cipher = createCipheriv(contentKey.length === 16 ? 'aes-128-cbc' : 'aes-256-cbc', contentKey, iv);
  const publicKey = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
  return {
    outerType: OIDS.envelopedData,
    version: 2,
    recipientVersion: 2,
    recipient: await sha256(spki),
    keyAlgorithm: OIDS.oaep,
    oaepHash: OIDS.sha256,
    maskHash: OIDS.sha256,
    encryptedKey: publicEncrypt(
      { key: publicKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' },
      contentKey,
    ),
    contentType: OIDS.data,
    cipher: OIDS.aes256,
    iv,
    ciphertext: concat(cipher.update(plaintext), cipher.final()),
  };
}
