/**
 * The one primitive: write entry `k` under `name` if it is absent, or learn who holds it. Everything that must not be
 * undone goes through it.
 *
 *     name   printable ASCII without spaces, 1..512 characters: it becomes a key in a store that somebody else owns
 *     k      0..2^32 - 1
 */
import { constantTimeEqual } from '../crypto/digest.ts';
import type { Anchor, Claim, ClaimTag } from './anchor.ts';

const NAME = /^[\x21-\x7e]{1,512}$/;
const MAX_ENTRY = 0xffff_ffff;
const TAG_BYTES = 32;
const HALF = TAG_BYTES / 2;

/** @throws RangeError for a place or a tag that no caller of ours makes */
export function claim(anchor: Anchor, name: string, k: number, tag: ClaimTag): Promise<Claim> {
  if (!NAME.test(name)) throw new RangeError('an entry needs a printable name');
  if (!Number.isInteger(k) || k < 0 || k > MAX_ENTRY) throw new RangeError(`entry ${k} does not exist`);
  if (tag.request.length !== TAG_BYTES || tag.context.length !== TAG_BYTES)
    throw new RangeError('a tag is 2 x 32 bytes');
  return anchor.claim(name, k, tag);
}

/** How the holder of an entry relates to the one who asks. */
export type Kinship = 'same' | 'other-request' | 'other-input' | 'other-context';

/** Tags are secret of their maker until the entry is written: compared in constant time. */
export function kinship(mine: ClaimTag, holder: ClaimTag): Kinship {
  if (!constantTimeEqual(mine.request, holder.request)) return 'other-request';
  if (!constantTimeEqual(mine.context.subarray(0, HALF), holder.context.subarray(0, HALF))) return 'other-input';
  return constantTimeEqual(mine.context, holder.context) ? 'same' : 'other-context';
}
