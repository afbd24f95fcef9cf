/**
 * What is remembered of the tickets under one name. Entries never change, so what was seen once need not be looked for
 * again, and a call costs the same whatever its number.
 */
import { toHex } from '../encoding/hex.ts';
import type { Entry } from './entry.ts';

/** What became of a decided ticket. */
type Kind = 'used' | 'closed';

export interface Shelf {
  /** Below it, every ticket is decided: held, or lost to all but the entries that were seen there. */
  next(): number;
  /**
   * Where a request goes on that cannot have the ticket `k`, or begins (-1): where it was seen last, since all before
   * that were lost to it; else at the first ticket that is not decided.
   */
  after(k: number, entry: Entry): number;
  isDecided(k: number): boolean;
  /** An entry that some anchor shows at `k`. */
  saw(k: number, entry: Entry): void;
  /** No entry but those seen at `k` can be held there. */
  decide(k: number, seen: readonly Entry[]): void;
  /** Among the decided tickets below `quota`: those spent, and those that a successor closed. */
  count(quota: number): { readonly used: number; readonly closed: number };
}

export function createShelf(): Shelf {
  const places = new Map<string, number>();
  const decided = new Map<number, Kind>();
  let next = 0;
  /** Kept up to date, for the one quota that there is: counting takes as long for the last ticket as for the first. */
  let counted = { quota: 0, used: 0, closed: 0 };
  const countAgain = (quota: number): void => {
    counted = { quota, used: 0, closed: 0 };
    for (const [k, kind] of decided) if (k < quota) counted[kind] += 1;
  };
  const saw = (k: number, entry: Entry): void => {
    const tag = toHex(entry.first);
    if (entry.kind === 'ticket') places.set(tag, Math.max(k, places.get(tag) ?? 0));
  };
  return {
    next: () => next,
    after(k, { first }) {
      const own = places.get(toHex(first));
      return own !== undefined && own > k ? own : Math.max(k + 1, next);
    },
    isDecided: (k) => decided.has(k),
    saw,
    decide(k, seen) {
      for (const entry of seen) saw(k, entry);
      const kind = seen.some((entry) => entry.kind === 'ticket') ? 'used' : 'closed';
      const before = decided.get(k);
      decided.set(k, kind);
      if (k < counted.quota) {
        if (before !== undefined) counted[before] -= 1;
        counted[kind] += 1;
      }
      while (decided.has(next)) next += 1;
    },
    count(quota) {
      if (quota !== counted.quota) countAgain(quota);
      return { used: counted.used, closed: counted.closed };
    },
  };
}
