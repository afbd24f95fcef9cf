/**
 * `CiphertextForRecipient`: what KMS answers to a request with an attestation document, instead of the plaintext. A CMS
 * EnvelopedData (RFC 5652 §6, BER) to the RSA key that the document carries.
 *
 *     ContentInfo            SEQUENCE { OID envelopedData, [0] EnvelopedData }
 *     EnvelopedData          SEQUENCE { INTEGER 2, SET { one KeyTransRecipientInfo }, EncryptedContentInfo }
 *     KeyTransRecipientInfo  SEQUENCE { INTEGER 2, [0] SHA-256 of the SubjectPublicKeyInfo (32 bytes),
 *                                       RSAES-OAEP with SHA-256 and MGF1-SHA-256, OCTET STRING encryptedKey }
 *     EncryptedContentInfo   SEQUENCE { OID data, SEQUENCE { OID aes256-CBC, OCTET STRING iv[16] }, content }
 *     content                [0] primitive  |  [0] constructed { OCTET STRING chunk ... }     both occur
 *
 * At most 6144 bytes (KMS API), content at most 4112 (4096 of plaintext and one block of padding). CBC carries no integrity:
 * TLS ends inside the enclave, and every key is bound by an encryption context, or this would be forgeable.
 */
import { Failure } from '../../policies/failure.ts';
import { concat } from '../encoding/bytes.ts';
import { toHex as hex } from '../encoding/hex.ts';
import type { BerCode, BerNode } from './ber.ts';
import { parseBer } from './ber.ts';

export type RecipientCode = BerCode | 'kms/envelope-malformed' | 'kms/envelope-unopened';

export interface EnvelopedData {
  /** SHA-256 of the recipient's SubjectPublicKeyInfo. */
  readonly recipient: Uint8Array;
  /** As many bytes as the RSA modulus. */
  readonly encryptedKey: Uint8Array;
  readonly iv: Uint8Array;
  readonly ciphertext: Uint8Array;
}

/** The enclave's RSA key for KMS; the private half cannot be exported. */
export interface RecipientKey {
  readonly privateKey: CryptoKey;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  /** SHA-256 of `spki`. */
  readonly id: Uint8Array;
}

const MAX_ENVELOPE = 6144;
const MAX_CONTENT = 4112;
const BLOCK = 16;
const TAG = { integer: 0x02, octets: 0x04, null: 0x05, oid: 0x06, sequence: 0x30, set: 0x31 } as const;
const CONTEXT_0 = 0x80;
const CONTEXT_0_CONSTRUCTED = 0xa0;
const CONTEXT_1_CONSTRUCTED = 0xa1;
const OID = {
  envelopedData: '2a864886f70d010703',
  data: '2a864886f70d010701',
  rsaesOaep: '2a864886f70d010107',
  mgf1: '2a864886f70d010108',
  sha256: '608648016503040201',
  aes256Cbc: '60864801650304012a',
} as const;

function wrong(node: BerNode | undefined, what: string): Failure<RecipientCode> {
  const where = node === undefined ? {} : { where: `byte ${node.offset}` };
  return new Failure('malformed', 'kms/envelope-malformed', `not an EnvelopedData as KMS writes it: ${what}`, where);
}

function children(node: BerNode | undefined, tag: number, count: number, what: string): readonly BerNode[] {
  if (node === undefined || node.tag !== tag || !('children' in node)) throw wrong(node, `${what} is absent`);
  if (node.children.length !== count) throw wrong(node, `${what} has ${node.children.length} parts, not ${count}`);
  return node.children;
}

function value(node: BerNode | undefined, tag: number, what: string): Uint8Array {
  if (node === undefined || node.tag !== tag || !('value' in node)) throw wrong(node, `${what} is absent`);
  return node.value;
}

function expectOid(node: BerNode | undefined, oid: string, what: string): void {
  if (hex(value(node, TAG.oid, what)) !== oid) throw wrong(node, `${what} is another one`);
}

function expectVersion2(node: BerNode | undefined, what: string): void {
  if (hex(value(node, TAG.integer, what)) !== '02') throw wrong(node, `${what} is not 2`);
}

/** `SEQUENCE { OID sha256 [, NULL] }`: RFC 5754 §2 lets the NULL be absent. */
function expectSha256(node: BerNode | undefined, what: string): void {
  if (node === undefined || node.tag !== TAG.sequence || !('children' in node)) throw wrong(node, `${what} is absent`);
  const [oid, parameters, ...rest] = node.children;
  expectOid(oid, OID.sha256, what);
  if (parameters !== undefined) {
    if (value(parameters, TAG.null, `${what}: NULL`).length !== 0)
      throw wrong(parameters, `${what}: NULL with content`);
  }
  if (rest.length > 0) throw wrong(rest[0], `${what} has too many parts`);
}

/** Algorithms come from here, never from the message: anything but OAEP with SHA-256 twice is refused. */
function expectOaepSha256(node: BerNode | undefined): void {
  const [algorithm, parameters] = children(node, TAG.sequence, 2, 'the key encryption algorithm');
  expectOid(algorithm, OID.rsaesOaep, 'the key encryption algorithm');
  const [hash, mask] = children(parameters, TAG.sequence, 2, "OAEP's parameters");
  expectSha256(children(hash, CONTEXT_0_CONSTRUCTED, 1, "OAEP's hash")[0], "OAEP's hash");
  const [mgf, mgfHash] = children(
    children(mask, CONTEXT_1_CONSTRUCTED, 1, "OAEP's mask")[0],
    TAG.sequence,
    2,
    "OAEP's mask",
  );
  expectOid(mgf, OID.mgf1, "OAEP's mask");
  expectSha256(mgfHash, "the mask's hash");
}

function readRecipient(node: BerNode | undefined): Pick<EnvelopedData, 'recipient' | 'encryptedKey'> {
  const [info] = children(node, TAG.set, 1, 'the set of recipients');
  const [version, recipient, algorithm, key] = children(info, TAG.sequence, 4, 'the recipient');
  expectVersion2(version, "the recipient's version");
  expectOaepSha256(algorithm);
  const id = value(recipient, CONTEXT_0, "the recipient's key identifier");
  if (id.length !== 32) throw wrong(recipient, `a key identifier of ${id.length} bytes, not 32`);
  const encryptedKey = value(key, TAG.octets, 'the encrypted key');
  if (encryptedKey.length < 256 || encryptedKey.length > 512) {
    throw wrong(key, `an encrypted key of ${encryptedKey.length} bytes`);
  }
  return { recipient: id, encryptedKey };
}

/** Both forms: one primitive [0], or a constructed one holding OCTET STRINGs to be joined. */
function readCiphertext(node: BerNode | undefined): Uint8Array {
  if (node === undefined) throw wrong(node, 'the content is absent');
  const chunks =
    'children' in node && node.tag === CONTEXT_0_CONSTRUCTED
      ? node.children.map((chunk) => value(chunk, TAG.octets, 'a chunk of the content'))
      : [value(node, CONTEXT_0, 'the content')];
  const ciphertext = concat(...chunks);
  if (ciphertext.length === 0 || ciphertext.length % BLOCK !== 0 || ciphertext.length > MAX_CONTENT) {
    throw wrong(node, `a content of ${ciphertext.length} bytes`);
  }
  return ciphertext;
}

/** Reads the envelope; opens nothing. */
export function readEnvelopedData(bytes: Uint8Array): EnvelopedData {
  if (bytes.length > MAX_ENVELOPE) throw wrong(undefined, `${bytes.length} bytes; the limit is ${MAX_ENVELOPE}`);
  const [type, content] = children(parseBer(bytes), TAG.sequence, 2, 'the ContentInfo');
  expectOid(type, OID.envelopedData, 'the content type');
  const [enveloped] = children(content, CONTEXT_0_CONSTRUCTED, 1, 'the content');
  const [version, recipients, encrypted] = children(enveloped, TAG.sequence, 3, 'the EnvelopedData');
  expectVersion2(version, 'the version');
  const [dataType, algorithm, ciphertext] = children(encrypted, TAG.sequence, 3, 'the encrypted content');
  expectOid(dataType, OID.data, "the encrypted content's type");
  const [cipher, ivNode] = children(algorithm, TAG.sequence, 2, 'the content encryption algorithm');
  expectOid(cipher, OID.aes256Cbc, 'the content encryption algorithm');
  const iv = value(ivNode, TAG.octets, 'the IV');
  if (iv.length !== BLOCK) throw wrong(ivNode, `an IV of ${iv.length} bytes, not ${BLOCK}`);
  return { ...readRecipient(recipients), iv, ciphertext: readCiphertext(ciphertext) };
}

/**
 * The plaintext KMS sent to this enclave. One message for every way of not opening (another key, OAEP, a content key of
 * another length, padding): whoever sends forgeries learns nothing from which one it was.
 */
export async function openForRecipient(bytes: Uint8Array, key: RecipientKey): Promise<Uint8Array> {
  const envelope = readEnvelopedData(bytes);
  try {
    if (hex(envelope.recipient) !== hex(key.id)) throw new Error('another recipient');
    const contentKey = await unwrap(envelope, key.privateKey);
    const cipher = { name: 'AES-CBC', iv: concat(envelope.iv) };
    return new Uint8Array(await crypto.subtle.decrypt(cipher, contentKey, concat(envelope.ciphertext)));
  } catch {
    throw new Failure<RecipientCode>(
      'refused',
      'kms/envelope-unopened',
      "KMS's answer does not open with this enclave's key",
    );
  }
}

async function unwrap(envelope: EnvelopedData, privateKey: CryptoKey): Promise<CryptoKey> {
  const wrapped = concat(envelope.encryptedKey);
  const raw = new Uint8Array(await crypto.subtle.decrypt({ name: 'RSA-OAEP' }, privateKey, wrapped));
  if (raw.length !== 32) throw new Error('not an AES-256 key');
  const contentKey = await crypto.subtle.importKey('raw', raw, 'AES-CBC', false, ['decrypt']);
  raw.fill(0);
  return contentKey;
}
