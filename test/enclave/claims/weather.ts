/** Anchors whose answers come in any order, get lost before or after the write, or are lies: all of it drawn by fast-check. */
import type * as fc from 'fast-check';
import type { Anchor } from '../../../enclave/claims/anchor.ts';
import type { AnchorCode } from '../../../enclave/claims/anchor.ts';
import { createMemoryAnchor } from '../../../enclave/claims/memory-anchor.ts';
import type { Timers } from '../../../enclave/deadline.ts';
import { Failure } from '../../../policies/failure.ts';

/** Lost on the way there; done, and lost on the way back. */
export type Fate = 'fine' | 'not-done' | 'done-and-lost';

export interface Weather {
  readonly scheduler: fc.Scheduler;
  /** What becomes of the questions, in their order, again from the start when they are used up. */
  readonly fates: readonly Fate[];
}

export interface Sky {
  /** From now on everything is answered. */
  clear(): void;
  fate(): Fate;
  readonly timers: Timers;
  settle(): Promise<void>;
}

/** Pauses end when the scheduler says so; time-outs never come, lost answers do. */
export function createSky({ scheduler, fates }: Weather): Sky {
  let at = 0;
  let isClear = false;
  return {
    clear: () => (isClear = true),
    fate: () => (isClear ? 'fine' : (fates[at++ % Math.max(1, fates.length)] ?? 'fine')),
    timers: (milliseconds, run) => {
      let waits = milliseconds < 2_000;
      if (waits) void scheduler.schedule(Promise.resolve()).then(() => waits && run());
      return () => (waits = false);
    },
    settle: () => scheduler.schedule(Promise.resolve()),
  };
}

/** One store behind this weather. Every enclave that is given it sees the same store. */
export function behind(sky: Sky, store: Anchor): Anchor {
  const through = async <T>(work: () => Promise<T>): Promise<T> => {
    const fate = sky.fate();
    await sky.settle();
    if (fate === 'not-done') throw lost(store.owner);
    const done = await work();
    await sky.settle();
    if (fate === 'done-and-lost') throw lost(store.owner);
    return done;
  };
  return {
    ...store,
    claim: (name, k, entry, signal) => through(() => store.claim(name, k, entry, signal)),
    holder: (name, k, signal) => through(() => store.holder(name, k, signal)),
  };
}

/** The same store, but no question about a name gets to it while `isCut` says so. */
export function cutOff(store: Anchor, isCut: (name: string) => boolean): Anchor {
  const unless = <T>(name: string, work: () => Promise<T>): Promise<T> =>
    isCut(name) ? Promise.reject(lost(store.owner)) : work();
  return {
    ...store,
    claim: (name, k, entry, signal) => unless(name, () => store.claim(name, k, entry, signal)),
    holder: (name, k, signal) => unless(name, () => store.holder(name, k, signal)),
  };
}

/** An owner who colludes: says to everybody that the place is theirs, and to whoever looks what `shows` says. */
export function createLyingAnchor(
  owner: string,
  shows: (entries: readonly Uint8Array[]) => Uint8Array | undefined,
): Anchor {
  const entries = new Map<string, Uint8Array[]>();
  return {
    ...createMemoryAnchor(owner),
    claim: (name, k, entry) => {
      entries.set(`${name}/${k}`, [...(entries.get(`${name}/${k}`) ?? []), entry.slice()]);
      return Promise.resolve(entry.slice());
    },
    holder: (name, k) => Promise.resolve(shows(entries.get(`${name}/${k}`) ?? [])),
  };
}

function lost(owner: string): Failure<AnchorCode> {
  return new Failure('environment', 'anchor/unavailable', 'no answer', { where: owner });
}
