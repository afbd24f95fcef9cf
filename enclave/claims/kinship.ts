/** How the holder of a ticket relates to the one who asks. */
import { constantTimeEqual } from '../crypto/digest.ts';
import type { Entry } from './entry.ts';

const HALF = 16;

export type Kinship = 'same' | 'other-request' | 'other-input' | 'other-context';

/** Tags are secret of their maker until the entry is written: compared in constant time. */
export function kinship(mine: Entry, holder: Entry): Kinship {
  if (holder.kind !== mine.kind || !constantTimeEqual(mine.first, holder.first)) return 'other-request';
  if (!constantTimeEqual(mine.second.subarray(0, HALF), holder.second.subarray(0, HALF))) return 'other-input';
  return constantTimeEqual(mine.second, holder.second) ? 'same' : 'other-context';
}
