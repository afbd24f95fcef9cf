/** The anchor that forgets: entries live as long as the enclave's memory. */
import type { Anchor } from './anchor.ts';

/** What every report says where memory is the anchor. */
export const MEMORY_ANCHOR_SENTENCE =
  'Spent calls are written down in the memory of the enclave only: whoever runs the host can reset every quota by restarting it.';

export function createMemoryAnchor(owner: string = 'enclave'): Anchor {
  const entries = new Map<string, Uint8Array>();
  const place = (name: string, k: number): string => `${name}/${k}`;
  return {
    owner,
    kind: 'memory',
    reports: [],
    check: () => Promise.resolve(),
    // Looks and writes without an await between: of two claims for one entry exactly one holds it.
    claim: (name, k, entry) => {
      const holder = entries.get(place(name, k)) ?? entry.slice();
      entries.set(place(name, k), holder);
      return Promise.resolve(holder.slice());
    },
    holder: (name, k) => Promise.resolve(entries.get(place(name, k))?.slice()),
  };
}
