/**
 * What stands at one place in an anchor:
 *
 *     struct {
 *       opaque magic[4];    "ACC1"
 *       uint8  kind;        1 ticket, 2 version, 3 closed
 *       opaque first[32];   ticket: request tag    version: SHA-256 of the stored bytes    closed: SHA-256 of the
 *       opaque second[32];  ticket: context tag    version, closed: zeros                  successor's policy digest
 *       opaque mac[32];
 *     } Entry;                                                                             101 bytes
 *
 *     mac = HMAC-SHA-256(K, uint16(length of name) || name || uint32(k) || kind || first || second)
 *     K   = HKDF-Expand(state key, "accord/v1/entries", 32)
 *
 * The place is in the MAC: an entry that is copied to another name, number, policy or party is foreign there.
 *
 *     name   printable ASCII without spaces, 1..512 characters: it becomes a key in a store that somebody else owns
 *     k      0..2^32 - 1
 */
import { constantTimeEqual } from '../crypto/digest.ts';
import { hkdfExpand, hmacSha256 } from '../crypto/kdf.ts';
import { concat } from '../encoding/bytes.ts';

export const ENTRY_BYTES = 101;

const MAGIC = Uint8Array.of(0x41, 0x43, 0x43, 0x31);
const FIELD_BYTES = 32;
const KINDS = { ticket: 1, version: 2, closed: 3 } as const;
const NAME = /^[\x21-\x7e]{1,512}$/;
const MAX_ENTRY = 0xffff_ffff;

export type EntryKind = keyof typeof KINDS;

export interface Place {
  readonly name: string;
  readonly k: number;
}

export interface Entry {
  readonly kind: EntryKind;
  /** 32 bytes. */
  readonly first: Uint8Array;
  /** 32 bytes; zeros but for a ticket. */
  readonly second: Uint8Array;
}

const ENTRY_KEY: unique symbol = Symbol('EntryKey');

/** The key of all entries of one collaboration. */
export interface EntryKey {
  readonly bytes: Uint8Array;
  readonly [ENTRY_KEY]: true;
}

/** What bytes at a place are: an entry of this collaboration, one that somebody else made, or no entry at all. */
export type Reading =
  | { readonly outcome: 'genuine'; readonly entry: Entry }
  | { readonly outcome: 'foreign' }
  | { readonly outcome: 'malformed' };

/** `stateKey`: at least 32 random bytes. */
export async function entryKey(stateKey: Uint8Array): Promise<EntryKey> {
  return { bytes: await hkdfExpand(stateKey, 'accord/v1/entries', FIELD_BYTES), [ENTRY_KEY]: true };
}

/** A version's or a closing entry's: its second field is not used. */
export function entryOf(kind: 'version' | 'closed', first: Uint8Array): Entry {
  return { kind, first, second: new Uint8Array(FIELD_BYTES) };
}

/**
 * The 101 bytes; the same for the same arguments, so that writing again finds itself.
 *
 * @throws RangeError for a place or an entry that no caller of ours makes
 */
export async function encodeEntry(key: EntryKey, place: Place, entry: Entry): Promise<Uint8Array> {
  if (entry.first.length !== FIELD_BYTES || entry.second.length !== FIELD_BYTES)
    throw new RangeError('an entry has 2 x 32 bytes');
  if (entry.kind !== 'ticket' && !isZero(entry.second)) throw new RangeError(`a ${entry.kind} has one field`);
  const body = concat(Uint8Array.of(KINDS[entry.kind]), entry.first, entry.second);
  return concat(MAGIC, body, await macOf(key, place, body));
}

/** For an entry that must be read before its key is known; `readEntry` once it is. Undefined where it is malformed. */
export function parseEntry(bytes: Uint8Array): Entry | undefined {
  if (bytes.length !== ENTRY_BYTES || MAGIC.some((byte, at) => bytes[at] !== byte)) return undefined;
  const kind = kindOf(bytes[MAGIC.length]);
  if (kind === undefined) return undefined;
  const [first, second] = [bytes.slice(5, 37), bytes.slice(37, 69)];
  return kind === 'ticket' || isZero(second) ? { kind, first, second } : undefined;
}

export async function readEntry(key: EntryKey, place: Place, bytes: Uint8Array): Promise<Reading> {
  const entry = parseEntry(bytes);
  if (entry === undefined) return { outcome: 'malformed' };
  const mac = await macOf(key, place, bytes.subarray(MAGIC.length, 69));
  return constantTimeEqual(mac, bytes.subarray(69)) ? { outcome: 'genuine', entry } : { outcome: 'foreign' };
}

/** @throws RangeError for a place that no caller of ours names */
export function demandPlace({ name, k }: Place): void {
  if (!NAME.test(name)) throw new RangeError('an entry needs a printable name');
  if (!Number.isInteger(k) || k < 0 || k > MAX_ENTRY) throw new RangeError(`entry ${k} does not exist`);
}

function macOf(key: EntryKey, place: Place, body: Uint8Array): Promise<Uint8Array> {
  demandPlace(place);
  const name = new TextEncoder().encode(place.name);
  const length = Uint8Array.of(name.length >> 8, name.length & 0xff);
  const k = new Uint8Array(4);
  new DataView(k.buffer).setUint32(0, place.k);
  return hmacSha256(key.bytes, concat(length, name, k, body));
}

function kindOf(byte: number | undefined): EntryKind | undefined {
  const kinds: readonly EntryKind[] = ['ticket', 'version', 'closed'];
  return kinds.find((kind) => KINDS[kind] === byte);
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}
