/** The anchor that forgets: entries live as long as the enclave's memory. */
import type { Anchor, Claim, ClaimTag } from './anchor.ts';

/** What every report says where memory is the anchor. */
export const MEMORY_ANCHOR_SENTENCE =
  'Spent calls are written down in the memory of the enclave only: whoever runs the host can reset every quota by restarting it.';

export function createMemoryAnchor(): Anchor {
  const entries = new Map<string, ClaimTag>();
  const place = (name: string, k: number): string => `${name}/${k}`;
  return {
    kind: 'memory',
    // Looks and writes without an await between: of two claims for one entry exactly one holds it.
    claim: (name, k, tag): Promise<Claim> => {
      const by = entries.get(place(name, k));
      if (by !== undefined) return Promise.resolve({ outcome: 'taken', by });
      entries.set(place(name, k), { request: tag.request.slice(), context: tag.context.slice() });
      return Promise.resolve({ outcome: 'held' });
    },
    holder: (name, k) => Promise.resolve(entries.get(place(name, k))),
  };
}
