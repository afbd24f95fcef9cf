/**
 * What is remembered of the tickets under one name. Entries never change, so what was seen once need not be looked for
 * again, and a call costs the same whatever its number.
 */
import { toHex } from '../encoding/hex.ts';
import type { Entry } from './entry.ts';

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
  const decided = new Map<number, 'used' | 'closed'>();
  let next = 0;
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
      decided.set(k, seen.some(({ kind }) => kind === 'ticket') ? 'used' : 'closed');
      while (decided.has(next)) next += 1;
    },
    count(quota) {
      const kinds = [...decided].filter(([k]) => k < quota).map(([, kind]) => kind);
      return {
        used: kinds.filter((kind) => kind === 'used').length,
        closed: kinds.filter((kind) => kind === 'closed').length,
      };
    },
  };
}
