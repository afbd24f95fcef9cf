/** Records that live as long as the enclave's memory: all that a collaboration without anchors has. */
import type { RecordVersion, Records } from './records.ts';
import { createTurns } from './turns.ts';

export function createMemoryRecords(): Records {
  const newest = new Map<string, RecordVersion>();
  /** The next change of a record sees what this one made. */
  const turns = createTurns();

  return {
    read: (name) => {
      const kept = newest.get(name);
      return Promise.resolve(kept === undefined ? undefined : { version: kept.version, bytes: kept.bytes.slice() });
    },
    update: (name, change, signal) =>
      turns.take(name, signal, async () => {
        const current = newest.get(name);
        const { next, result } = await change(current?.bytes);
        if (next !== undefined) newest.set(name, { version: (current?.version ?? -1) + 1, bytes: next.slice() });
        return result;
      }),
  };
}
