/**
 * What a ticket's entry says: whose request holds it, and for what. A pair of HMACs under keys that never leave the
 * enclave, so that owners of anchors learn nothing from them and can make none:
 *
 *     place    = uint16(length of name) || name
 *     request  = HMAC(K_request, place || request id)
 *     context  = HMAC(K_input, place || request id || SHA-256(input))[0..16] ||
 *                HMAC(K_reads, place || request id || digest of what else is read)[0..16]
 *     draw     = HMAC(K_draw, request)
 *     K_x      = HKDF-Expand(state key, "accord/v1/tickets/x", 32), with SHA-384; every HMAC above is with SHA-256
 *
 * The name is in every tag, so that two functions' or two parties' entries have nothing in common. The context has two
 * halves, so that "another input" and "another model" can be told apart without storing either; it is bound to the
 * request, so that two calls on one picture do not look alike.
 */
import { constantTimeEqual } from '../crypto/digest.ts';
import { hkdfExpand, hmacSha256 } from '../crypto/kdf.ts';
import { concat } from '../encoding/bytes.ts';
import type { Entry } from './entry.ts';

/** What is called, with what. */
export interface TaggedCall {
  /** 32 random bytes that party and enclave alone know. */
  readonly requestId: Uint8Array;
  /** SHA-256 of the input as it arrived. */
  readonly inputDigest: Uint8Array;
  /** Digest of everything else the function reads: the model. */
  readonly readsDigest: Uint8Array;
}

export interface Tagger {
  /** The entry of this call's ticket under `name`: the same whenever it is asked for. */
  tag(name: string, call: TaggedCall): Promise<Entry>;
  /** 32 bytes for a function that draws lots. */
  draw(tag: Entry): Promise<Uint8Array>;
}

const HALF = 16;

/** `stateKey`: at least 32 random bytes; may be overwritten afterwards. */
export async function createTagger(stateKey: Uint8Array): Promise<Tagger> {
  const key = (purpose: string): Promise<Uint8Array> => hkdfExpand(stateKey, `accord/v1/tickets/${purpose}`, 32);
  const keys = {
    request: await key('request'),
    input: await key('input'),
    reads: await key('reads'),
    draw: await key('draw'),
  };
  return {
    async tag(name, { requestId, inputDigest, readsDigest }) {
      const text = new TextEncoder().encode(name);
      const bound = concat(Uint8Array.of(text.length >> 8, text.length & 0xff), text, requestId);
      const input = await hmacSha256(keys.input, concat(bound, inputDigest));
      const reads = await hmacSha256(keys.reads, concat(bound, readsDigest));
      return {
        kind: 'ticket',
        first: await hmacSha256(keys.request, bound),
        second: concat(input.subarray(0, HALF), reads.subarray(0, HALF)),
      };
    },
    draw: ({ first }) => hmacSha256(keys.draw, first),
  };
}

export type Kinship = 'same' | 'other-request' | 'other-input' | 'other-context';

/** How the holder of a ticket relates to the one who asks. Tags are secret of their maker until they are written. */
export function kinship(mine: Entry, holder: Entry): Kinship {
  if (holder.kind !== mine.kind || !constantTimeEqual(mine.first, holder.first)) return 'other-request';
  if (!constantTimeEqual(mine.second.subarray(0, HALF), holder.second.subarray(0, HALF))) return 'other-input';
  return constantTimeEqual(mine.second, holder.second) ? 'same' : 'other-context';
}
