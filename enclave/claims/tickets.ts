/**
 * A quota of N calls is N numbered tickets, entries 0 to N - 1 under
 *
 *     tickets/<policy digest>/<function>/<party>
 *
 * claimed in order. A ticket is a licence to learn one answer: the same request with the same input in the same context
 * finds its own ticket again and costs nothing. Tags are HMACs under keys that never leave the enclave:
 *
 *     place    = uint16(length of name) || name
 *     request  = HMAC(K_request, place || request id)
 *     context  = HMAC(K_input, place || request id || SHA-256(input))[0..16] ||
 *                HMAC(K_reads, place || request id || digest of what else is read)[0..16]
 *     K_x      = HKDF-Expand(state key, "accord/v1/tickets/x", 32)
 *
 * The name is in every tag, so that an entry copied to another function's or party's tickets is foreign there. Entries
 * never change, so those that were seen once are remembered and a call costs the same whatever its number.
 */
import type { PolicyDigest } from '../../policies/model.ts';
import { concat } from '../encoding/bytes.ts';
import { hkdfExpand, hmacSha256 } from '../crypto/kdf.ts';
import { toHex } from '../encoding/hex.ts';
import type { Anchor, Anchors } from './anchor.ts';
import { kinship } from './claim.ts';
import type { Entry } from './entry.ts';
import { encodeEntry, entryKey, readEntry } from './entry.ts';

export interface TicketRequest {
  readonly function: string;
  readonly party: string;
  /** Calls that the policy gives this party. */
  readonly quota: number;
  /** 32 random bytes that party and enclave alone know. */
  readonly requestId: Uint8Array;
  /** SHA-256 of the input as it arrived. */
  readonly inputDigest: Uint8Array;
  /** Digest of everything else the function reads: the model. */
  readonly readsDigest: Uint8Array;
}

export type Ticket =
  | { readonly outcome: 'granted'; readonly k: number }
  | { readonly outcome: 'refused'; readonly code: 'quota-exceeded' | 'request-reused' | 'changed' };

export interface TicketBook {
  take(request: TicketRequest, signal?: AbortSignal): Promise<Ticket>;
  /** How many tickets a party has used; at most `quota`. */
  used(of: Pick<TicketRequest, 'function' | 'party' | 'quota'>, signal?: AbortSignal): Promise<number>;
}

interface TicketKeys {
  readonly request: Uint8Array;
  readonly input: Uint8Array;
  readonly reads: Uint8Array;
}

/** `stateKey`: at least 32 random bytes. */
export async function createTicketBook(
  anchors: Anchors | Anchor,
  policyDigest: PolicyDigest,
  stateKey: Uint8Array,
): Promise<TicketBook> {
  const key = (purpose: string): Promise<Uint8Array> => hkdfExpand(stateKey, `accord/v1/tickets/${purpose}`, 32);
  const keys: TicketKeys = { request: await key('request'), input: await key('input'), reads: await key('reads') };
  const anchor = 'stores' in anchors ? anchors.stores[0] : anchors;
  if (anchor === undefined) throw new RangeError('tickets need an anchor');
  const entries = await entryKey(stateKey);
  const nameOf = (of: { readonly function: string; readonly party: string }): string =>
    `tickets/${policyDigest}/${of.function}/${of.party}`;

  const shelves = new Map<string, Seen>();
  const seenUnder = (name: string): Seen => {
    const seen = shelves.get(name) ?? { places: new Map<string, number>(), next: 0 };
    shelves.set(name, seen);
    return seen;
  };
  const remember = (seen: Seen, tag: Entry, k: number): void => {
    seen.places.set(toHex(tag.first), k);
    seen.next = Math.max(seen.next, k + 1);
  };

  return {
    async take(request, signal = new AbortController().signal) {
      const name = nameOf(request);
      const tag = await tagOf(keys, name, request);
      const seen = seenUnder(name);
      for (let k = seen.places.get(toHex(tag.first)) ?? seen.next; k < request.quota; k += 1) {
        const bytes = await anchor.claim(name, k, await encodeEntry(entries, { name, k }, tag), signal);
        const claimed = await readEntry(entries, { name, k }, bytes);
        if (claimed.outcome !== 'genuine') continue;
        remember(seen, claimed.entry, k);
        const found = kinship(tag, claimed.entry);
        if (found !== 'other-request') return verdict(found, k);
      }
      return { outcome: 'refused', code: 'quota-exceeded' };
    },

    async used(of, signal = new AbortController().signal) {
      const name = nameOf(of);
      const seen = seenUnder(name);
      for (let k = seen.next; k < of.quota; k += 1) {
        const holder = await anchor.holder(name, k, signal);
        if (holder === undefined) break;
        const read = await readEntry(entries, { name, k }, holder);
        if (read.outcome === 'genuine') remember(seen, read.entry, k);
      }
      return Math.min(seen.next, of.quota);
    },
  };
}

/** Entries of one name that were found taken: all below `next`. */
interface Seen {
  readonly places: Map<string, number>;
  next: number;
}

function verdict(found: 'same' | 'other-input' | 'other-context', k: number): Ticket {
  switch (found) {
    case 'same':
      return { outcome: 'granted', k };
    case 'other-input':
      return { outcome: 'refused', code: 'request-reused' };
    case 'other-context':
      return { outcome: 'refused', code: 'changed' };
  }
}

async function tagOf(keys: TicketKeys, name: string, request: TicketRequest): Promise<Entry> {
  const text = new TextEncoder().encode(name);
  const length = Uint8Array.of(text.length >> 8, text.length & 0xff);
  const bound = concat(length, text, request.requestId);
  const input = await hmacSha256(keys.input, concat(bound, request.inputDigest));
  const reads = await hmacSha256(keys.reads, concat(bound, request.readsDigest));
  return {
    kind: 'ticket',
    first: await hmacSha256(keys.request, bound),
    second: concat(input.subarray(0, 16), reads.subarray(0, 16)),
  };
}
