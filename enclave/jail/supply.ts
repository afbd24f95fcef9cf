/**
 * One party's jails. A jail serves one call and ends: nothing that it saw or became is left for the next. Others are kept
 * warm, which hides what that costs. What a call used is ended and replaced when the owner says so, and then in a gap: the end
 * of a process keeps the kernel busy for milliseconds, and so does a start. A party's next call waits for neither: what the one
 * before used ends at once, and where no jail is left one is started at once.
 */
import { orAborted } from '../deadline.ts';
import { jailFailure } from './jail-failure.ts';
import type { Family } from './nursery.ts';
import type { Jail } from './process.ts';
import type { JailKind } from './stages.ts';

export interface SupplyOptions extends JailKind {
  /** Where jails are made ready, in turn with those of others. */
  readonly nursery: Family;
}

export interface Supply {
  /** Makes the first jail ready; rejects as `prepare` does. */
  start(): Promise<void>;
  /** Ends what calls have used, and has what is missing made, nobody waiting for it. */
  restock(): void;
  /**
   * Runs `work` with a jail of its own; no second call may come before the promise is settled. When `signal` is aborted the
   * jail is killed, and the promise rejects with the signal's reason at that moment. Otherwise it rests until the
   * gap that follows `restock`, or the next call.
   */
  use<T>(work: (jail: Jail) => Promise<T>, signal: AbortSignal): Promise<T>;
  /** Of the processes alive now. */
  pids(): readonly number[];
  /** Resolves when no process is left. */
  close(): Promise<void>;
}

interface Stocked {
  readonly jail: Jail;
  ready: Promise<void>;
  isPrefaulted: boolean;
}

/** One for the next call, and one for the call after it. */
const WARM = 2;

export function createSupply({ spawn, prepare, prefault, nursery }: SupplyOptions): Supply {
  const living = new Set<Jail>();
  const stock: Stocked[] = [];
  /** Have had their call, whose answer may still be under way; then they wait for a gap to end in. */
  let used: Jail[] = [];
  let ending: Jail[] = [];
  let isBusy = false;
  let isClosed = false;
  /** Wait for their turn in the nursery; one is enough to prefault, however often that is asked for. */
  let planned = 0;
  let isPrefaultPlanned = false;

  const missing = (): number => (isClosed ? 0 : WARM - stock.length - (isBusy ? 1 : 0));
  const produce = (): Stocked => {
    const jail = spawn();
    living.add(jail);
    const ready = prepare(jail).then(() => jail.rest());
    ready.catch(() => {}); // told to whoever waits for it
    return { jail, ready, isPrefaulted: prefault === undefined };
  };
  const discard = async (jail: Jail): Promise<void> => {
    await jail.kill();
    living.delete(jail);
  };
  /** Their call is over, and its answer has left. */
  const retireUsed = (): void => {
    ending.push(...used);
    used = [];
  };
  const discardEnding = (): void => {
    for (const jail of ending) void discard(jail);
    ending = [];
  };
  const make = async (): Promise<void> => {
    planned--;
    if (missing() <= 0) return;
    const made = produce();
    stock.push(made);
    await made.ready;
    await prefaultNext();
  };
  const prefaultNext = async (): Promise<void> => {
    const [next] = stock;
    if (next === undefined || next.isPrefaulted || prefault === undefined) return;
    // One jail of a lane has a call's memory; once the call is over, `restock` asks again.
    if (isBusy || used.length + ending.length > 0) return;
    next.isPrefaulted = true;
    // Whoever takes it meanwhile waits for it.
    next.ready = next.ready.then(() => prefault(next.jail)).then(() => next.jail.rest());
    await next.ready;
  };
  const planPrefault = (): void => {
    if (stock[0]?.isPrefaulted !== false || isPrefaultPlanned) return;
    isPrefaultPlanned = true;
    nursery.raise(() => {
      isPrefaultPlanned = false;
      return prefaultNext();
    });
  };
  const take = (): Stocked => {
    for (;;) {
      const next = stock.shift();
      if (next === undefined) return produce();
      if (next.jail.alive()) return next;
      void discard(next.jail); // it died while it waited
    }
  };

  const serve = async <T>(work: (jail: Jail) => Promise<T>, signal: AbortSignal): Promise<T> => {
    retireUsed();
    discardEnding();
    const taken = take();
    let isUsed = false;
    try {
      await orAborted(taken.ready, signal);
      isUsed = true;
      return await orAborted(work(taken.jail), signal);
    } finally {
      // One that was still getting ready when its call ran out of time has seen nothing of it: it serves the next.
      if (!isUsed && taken.jail.alive() && !isClosed) stock.unshift(taken);
      else if (signal.aborted || isClosed) void discard(taken.jail);
      else {
        taken.jail.rest();
        used.push(taken.jail);
      }
    }
  };

  return {
    async start() {
      const first = produce();
      stock.push(first);
      await first.ready;
    },
    restock() {
      if (used.length === 0) planPrefault();
      else {
        const isPlanned = ending.length > 0;
        retireUsed();
        if (!isPlanned) {
          nursery.part(() => {
            discardEnding();
            planPrefault();
          });
        }
      }
      for (let more = missing() - planned; more > 0; more--) {
        planned++;
        nursery.raise(make);
      }
    },
    async use(work, signal) {
      if (isClosed) throw jailFailure('jail/compute-failed', 'the computer is closed');
      isBusy = true;
      try {
        return await serve(work, signal);
      } finally {
        isBusy = false;
      }
    },
    pids: () => [...living].filter((jail) => jail.alive()).map(({ pid }) => pid),
    async close() {
      isClosed = true;
      await Promise.all([...living].map(discard));
    },
  };
}
