/**
 * A record of the enclave's state, sealed once for all parties: its cost does not grow with their number.
 *
 *     struct {
 *       opaque magic[4] = "ACR1";
 *       uint32 headerLength;                       // big-endian, 1..4,088
 *       opaque header[headerLength];               // CBOR, deterministic
 *       opaque chunks[];                           // STREAM: 256 KiB and a tag each; only the last is shorter,
 *     } Record;                                    // and empty only in an empty record
 *
 *     header = { v: 1, collaboration: text, policy: bytes[48], keys: bytes[32], name: text, version: uint,
 *                salt: bytes[32], bytes: uint }    // keys: SHA-256 of the set of wrapped keys; bytes: of the content
 *
 *     bound  = SHA-256(magic || headerLength || header)
 *     key    = HKDF-Expand(state key, "accord/v1/record" || 0 || bound, 32)
 *     chunk i: AES-256-GCM(key, nonce = 0[7] || uint32(i) || uint8(last), AAD = bound)
 *
 * The salt is fresh, so no two records share a key: neither two versions, nor two copies of the enclave that write the
 * same version at once. The scheme is that of `crypto/stream.ts`; the implementation is not: records are whole in memory
 * anyway, and OpenSSL asked directly, chunk after chunk, seals 64 MiB in the time of one pass over them, where a promise a
 * chunk takes twice as long. It holds the gate for that time, some 0.1 s for 64 MiB.
 */
import { createCipheriv, createDecipheriv, createHash, createSecretKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { AEAD } from '../crypto/aead.ts';
import { hkdfExpand } from '../crypto/kdf.ts';
import type { RandomSource } from '../crypto/random.ts';
import { STREAM, streamNonce } from '../crypto/stream.ts';
import { concat, totalBytes } from '../encoding/bytes.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { StoredBytes } from '../vsock/host.ts';
import type { RecordHeader, RecordSetting } from './record-header.ts';
import { RECORD_HEADER, encodeRecordHead } from './record-header.ts';
import { stateFailure } from './state-failure.ts';

const CHUNK = 262_144;
const SEALED_CHUNK = CHUNK + AEAD.tagBytes;
/** Each record has a key of its own. */
const NO_PREFIX = new Uint8Array(STREAM.prefixBytes);

export interface RecordPlace {
  readonly name: string;
  readonly version: number;
}

/** Seals the content of one version. Throws `state/record-too-large`. */
export async function sealRecord(
  setting: RecordSetting,
  place: RecordPlace,
  stateKey: Uint8Array,
  content: Uint8Array,
  random: RandomSource,
): Promise<StoredBytes> {
  if (content.length > LIMITS.recordBytes) {
    const limit = `at most ${LIMITS.recordBytes} are kept`;
    throw stateFailure('state/record-too-large', `a record of ${content.length} bytes; ${limit}`, place.name);
  }
  const salt = await random(RECORD_HEADER.saltBytes);
  const head = encodeRecordHead({ ...setting, ...place, salt, bytes: content.length });
  const binding = bindingOf(head);
  const key = await recordKey(stateKey, binding);
  const hash = createHash('sha256').update(head);
  const parts: Uint8Array[] = [head];
  for (let i = 0, last = false; !last; i += 1) {
    last = (i + 1) * CHUNK >= content.length;
    const cipher = createCipheriv('aes-256-gcm', key, streamNonce(NO_PREFIX, i, last));
    cipher.setAAD(binding);
    const body = cipher.update(content.subarray(i * CHUNK, (i + 1) * CHUNK));
    cipher.final();
    const tag = cipher.getAuthTag();
    hash.update(body).update(tag);
    parts.push(body, tag);
  }
  const bytes = totalBytes(parts);
  return { sha256: new Uint8Array(hash.digest()), bytes, parts };
}

/** How the chunks of a sealed record stand under its header. */
export type Opened =
  | { readonly found: 'content'; readonly content: Uint8Array }
  | { readonly found: 'truncated' | 'reordered' | 'changed' };

/** Opens the chunks that follow a header, and says what is wrong where they are not what was sealed under it. */
export async function openChunks(
  stateKey: Uint8Array,
  header: RecordHeader,
  head: Uint8Array,
  sealed: Uint8Array,
): Promise<Opened> {
  const binding = bindingOf(head);
  const key = await recordKey(stateKey, binding);
  const count = Math.max(1, Math.ceil(header.bytes / CHUNK));
  const expected = header.bytes + AEAD.tagBytes * count;
  if (sealed.length !== expected) {
    // Only of bytes that are ours can be said that they were cut.
    const ours = opens(key, binding, sealed.subarray(0, SEALED_CHUNK), [0], count) !== undefined;
    return { found: ours && sealed.length < expected ? 'truncated' : 'changed' };
  }
  const content = new Uint8Array(header.bytes);
  for (let i = 0; i < count; i += 1) {
    const chunk = sealed.subarray(i * SEALED_CHUNK, (i + 1) * SEALED_CHUNK);
    const opened = opens(key, binding, chunk, [i], count);
    if (opened === undefined) {
      const elsewhere = opens(key, binding, chunk, Array(count).keys(), count);
      return { found: elsewhere === undefined ? 'changed' : 'reordered' };
    }
    content.set(opened, i * CHUNK);
  }
  return { found: 'content', content };
}

/** The chunk, if it is authentic at one of these places. */
function opens(
  key: KeyObject,
  binding: Uint8Array,
  chunk: Uint8Array,
  places: Iterable<number>,
  count: number,
): Uint8Array | undefined {
  if (chunk.length < AEAD.tagBytes) return undefined;
  for (const i of places) {
    const decipher = createDecipheriv('aes-256-gcm', key, streamNonce(NO_PREFIX, i, i === count - 1), {
      authTagLength: AEAD.tagBytes,
    });
    decipher.setAAD(binding);
    decipher.setAuthTag(chunk.subarray(-AEAD.tagBytes));
    const content = decipher.update(chunk.subarray(0, -AEAD.tagBytes));
    try {
      decipher.final();
      return content;
    } catch {
      // Not authentic at this place.
    }
  }
  return undefined;
}

const bindingOf = (head: Uint8Array): Uint8Array => new Uint8Array(createHash('sha256').update(head).digest());

async function recordKey(stateKey: Uint8Array, binding: Uint8Array): Promise<KeyObject> {
  const raw = await hkdfExpand(
    stateKey,
    concat(new TextEncoder().encode('accord/v1/record\0'), binding),
    AEAD.keyBytes,
  );
  const key = createSecretKey(raw);
  raw.fill(0);
  return key;
}
