/**
 * Ciphertext blobs: AES-256-GCM under a key derived for each blob, bound to the KMS key and the encryption context.
 *
 *     struct { uint8 header[4] = 01 02 02 00; uint8 keyId[16]; uint8 salt[16]; uint8 iv[12]; ciphertext; uint8 tag[16] }
 *     key = HKDF-SHA-256(material of the KMS key, salt, "accord/v1/local-kms")
 *     additional data = header || ARN, then each pair of the context, sorted by name; every text with its length before it
 *
 * AWS does not publish its own format; only that a blob names its key and opens with the very same context and no other.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import type { EncryptionContext } from '../../../enclave/protocol/context.ts';
import type { KmsKey } from '../state.ts';

const HEADER = Buffer.from([1, 2, 2, 0]);
const KEY_ID = { from: 4, to: 20 } as const;
const SALT = { from: 20, to: 36 } as const;
const IV = { from: 36, to: 48 } as const;
const TAG_BYTES = 16;

export function encryptBlob(key: KmsKey, plaintext: Uint8Array, context: EncryptionContext): Buffer {
  const head = Buffer.concat([HEADER, Buffer.from(key.keyId.replaceAll('-', ''), 'hex'), randomBytes(16)]);
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', derive(key, head.subarray(SALT.from, SALT.to)), iv);
  cipher.setAAD(additionalData(key, context));
  const body = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  return Buffer.concat([head, iv, body, cipher.getAuthTag()]);
}

/** The id of the key that the blob names, or undefined if it is no blob of ours. Not yet authenticated. */
export function keyIdOf(blob: Uint8Array): string | undefined {
  const bytes = Buffer.from(blob);
  if (bytes.length < IV.to + TAG_BYTES || !bytes.subarray(0, HEADER.length).equals(HEADER)) return undefined;
  const hex = bytes.toString('hex', KEY_ID.from, KEY_ID.to);
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** Undefined where the blob was changed, or the context is not the one it was made with. */
export function decryptBlob(key: KmsKey, blob: Uint8Array, context: EncryptionContext): Buffer | undefined {
  const bytes = Buffer.from(blob);
  if (keyIdOf(bytes) !== key.keyId) return undefined;
  const decipher = createDecipheriv(
    'aes-256-gcm',
    derive(key, bytes.subarray(SALT.from, SALT.to)),
    bytes.subarray(IV.from, IV.to),
    { authTagLength: TAG_BYTES },
  );
  decipher.setAAD(additionalData(key, context));
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(bytes.subarray(IV.to, -TAG_BYTES)), decipher.final()]);
  } catch {
    return undefined;
  }
}

function derive(key: KmsKey, salt: Uint8Array): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', Buffer.from(key.material, 'base64'), salt, 'accord/v1/local-kms', 32));
}

function additionalData(key: KmsKey, context: EncryptionContext): Buffer {
  const pairs = Object.entries(context).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return Buffer.concat([
    HEADER,
    prefixed(key.arn),
    ...pairs.flatMap(([name, value]) => [prefixed(name), prefixed(value)]),
  ]);
}

function prefixed(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8');
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
