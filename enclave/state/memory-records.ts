/** Records that live as long as the enclave's memory: all that a collaboration without anchors has. */
import type { Records } from './records.ts';

export function createMemoryRecords(): Records {
  interface Kept {
    readonly version: number;
    readonly bytes: Uint8Array;
  }
  const newest = new Map<string, Kept>();
  const turns = new Map<string, Promise<unknown>>();

  /** One change of a record at a time: the next one sees what this one made. */
  const inTurn = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    const mine = (turns.get(name) ?? Promise.resolve()).then(work);
    turns.set(
      name,
      mine.catch(() => {}),
    );
    return mine;
  };

  return {
    read: (name) => {
      const kept = newest.get(name);
      return Promise.resolve(kept === undefined ? undefined : { version: kept.version, bytes: kept.bytes.slice() });
    },
    update: (name, change, signal) =>
      inTurn(name, async () => {
        signal.throwIfAborted();
        const current = newest.get(name);
        const { next, result } = await change(current?.bytes);
        if (next !== undefined) newest.set(name, { version: (current?.version ?? -1) + 1, bytes: next.slice() });
        return result;
      }),
  };
}
