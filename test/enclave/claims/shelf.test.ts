import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Entry } from '../../../enclave/claims/entry.ts';
import { createShelf } from '../../../enclave/claims/shelf.ts';

const entry = (kind: 'ticket' | 'closed'): Entry => ({ kind, first: new Uint8Array(32), second: new Uint8Array(32) });

describe('counting', () => {
  test('is of what is decided below the quota, in whatever order, and however often it is asked', () => {
    const steps = fc.array(fc.record({ k: fc.nat(12), kind: fc.constantFrom('ticket', 'closed'), quota: fc.nat(14) }));
    fc.assert(
      fc.property(steps, (all) => {
        const shelf = createShelf();
        const decided = new Map<number, string>();
        for (const { k, kind, quota } of all) {
          shelf.decide(k, [entry(kind)]);
          decided.set(k, kind);
          const below = [...decided].filter(([other]) => other < quota).map(([, of]) => of);
          const used = below.filter((of) => of === 'ticket').length;
          expect(shelf.count(quota)).toEqual({ used, closed: below.length - used });
          expect(shelf.count(12)).toEqual(shelf.count(12));
        }
      }),
    );
  });
});
