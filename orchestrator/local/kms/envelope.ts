/**
 * `CiphertextForRecipient` as KMS writes it: CMS EnvelopedData (RFC 5652 §6) in BER with indefinite lengths on the way to the
 * content and definite ones elsewhere. Tag for tag the shape of real blobs:
 *
 *     30 80 OID envelopedData, A0 80
 *       30 80 INTEGER 2
 *         31 len 30 len { INTEGER 2, [0] SHA-256(SPKI), RSAES-OAEP(SHA-256, MGF1-SHA-256), OCTET STRING encryptedKey }
 *         30 80 OID data, 30 1D { OID aes256-CBC, OCTET STRING iv }, A0 80 OCTET STRING ciphertext 00 00
 *         00 00
 *     00 00 ...
 */
import { constants, createCipheriv, createHash, publicEncrypt, randomBytes } from 'node:crypto';
import type { KeyObject } from 'node:crypto';

const OID = {
  envelopedData: '06092a864886f70d010703',
  data: '06092a864886f70d010701',
  rsaesOaep: '06092a864886f70d010107',
  mgf1: '06092a864886f70d010108',
  sha256: '0609608648016503040201',
  aes256Cbc: '060960864801650304012a',
} as const;

const END_OF_CONTENTS = Buffer.from([0, 0]);
const VERSION_2 = Buffer.from([0x02, 0x01, 0x02]);
const NULL = Buffer.from([0x05, 0x00]);

export interface Recipient {
  readonly publicKey: KeyObject;
  /** The SubjectPublicKeyInfo as it stands in the attestation document. */
  readonly spki: Uint8Array;
}

export function envelopeFor(recipient: Recipient, plaintext: Uint8Array): Buffer {
  const contentKey = randomBytes(32);
  const iv = randomBytes(16);
  const cipher = createCipheriv('aes-256-cbc', contentKey, iv);
  const content = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  const encryptedKey = publicEncrypt(
    { key: recipient.publicKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' },
    contentKey,
  );
  const keyId = createHash('sha256').update(recipient.spki).digest();

  const sha256 = definite(0x30, oid('sha256'), NULL);
  const oaep = definite(
    0x30,
    oid('rsaesOaep'),
    definite(0x30, definite(0xa0, sha256), definite(0xa1, definite(0x30, oid('mgf1'), sha256))),
  );
  const recipientInfo = definite(0x30, VERSION_2, definite(0x80, keyId), oaep, definite(0x04, encryptedKey));
  const encryptedContent = indefinite(
    0x30,
    oid('data'),
    definite(0x30, oid('aes256Cbc'), definite(0x04, iv)),
    indefinite(0xa0, definite(0x04, content)),
  );
  const envelopedData = indefinite(0x30, VERSION_2, definite(0x31, recipientInfo), encryptedContent);
  return indefinite(0x30, oid('envelopedData'), indefinite(0xa0, envelopedData));
}

function oid(name: keyof typeof OID): Buffer {
  return Buffer.from(OID[name], 'hex');
}

function indefinite(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat([Buffer.from([tag, 0x80]), ...parts, END_OF_CONTENTS]);
}

function definite(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const length = content.length;
  const head =
    length < 0x80 ? [tag, length] : length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), content]);
}
