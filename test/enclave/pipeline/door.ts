/** A memory anchor that can be held up, or be out of reach, and shows what it was asked. */
import type { Anchor, AnchorCode } from '../../../enclave/claims/anchor.ts';
import { createMemoryAnchor } from '../../../enclave/claims/memory-anchor.ts';
import { Failure } from '../../../policies/failure.ts';

export interface Door {
  readonly anchor: Anchor;
  /** From now on, claims wait. Lets them all go when it is called. */
  holdUp(): () => void;
  down: boolean;
  /** Tickets that were claimed. */
  claimed: number;
  /** All that its owner can read. */
  readonly written: { readonly name: string; readonly k: number; readonly entry: Uint8Array }[];
}

/** `waits`: the names of the entries whose claims wait; all of them where it is left out. */
export function createDoor(owner: string, waits: (name: string) => boolean = () => true): Door {
  const store = createMemoryAnchor(owner);
  let waiting: Promise<void> | undefined;
  const demandUp = (): void => {
    if (door.down) throw new Failure<AnchorCode>('environment', 'anchor/unavailable', 'down');
  };
  const door: Door = {
    down: false,
    claimed: 0,
    written: [],
    holdUp() {
      let go = (): void => {};
      waiting = new Promise((resolve) => (go = resolve));
      return () => {
        waiting = undefined;
        go();
      };
    },
    anchor: {
      ...store,
      claim: async (name, k, entry, signal) => {
        if (waits(name)) await waiting;
        demandUp();
        if (name.startsWith('tickets/')) door.claimed += 1;
        door.written.push({ name, k, entry: entry.slice() });
        return store.claim(name, k, entry, signal);
      },
      holder: async (name, k, signal) => {
        demandUp();
        return store.holder(name, k, signal);
      },
    },
  };
  return door;
}
