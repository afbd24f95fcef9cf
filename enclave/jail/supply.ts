/**
 * Jails to be had when a call needs one. A jail serves `callsPerJail` calls and ends; one that failed ends at once, and
 * its successor is made while nobody waits, so that a crash costs one call. `spares` are kept warm beside those in use.
 */
import { jailFailure } from './jail-failure.ts';
import type { Jail } from './process.ts';

export interface SupplyOptions {
  readonly spawn: () => Jail;
  /** Makes a jail ready for its first call. Rejecting, it has killed the jail. */
  readonly prepare: (jail: Jail) => Promise<void>;
  /** Jails in use at once; further calls wait in the order they came. */
  readonly lanes: number;
  /** Jails kept warm beyond those in use. */
  readonly spares: number;
  readonly callsPerJail: number;
  /** Runs it when making a successor is in nobody's way. By default at once. */
  readonly later?: (run: () => void) => void;
}

export interface Supply {
  /** Makes the first jail ready; rejects as `prepare` does. */
  start(): Promise<void>;
  /**
   * Runs `work` with a jail of its own. When `signal` is aborted the jail is killed, and the promise rejects with the
   * signal's reason at that moment.
   */
  use<T>(work: (jail: Jail) => Promise<T>, signal: AbortSignal): Promise<T>;
  pids(): readonly number[];
  /** Resolves when no process is left. */
  close(): Promise<void>;
}

interface Stocked {
  readonly jail: Jail;
  readonly ready: Promise<void>;
  calls: number;
}

export function createSupply(options: SupplyOptions): Supply {
  const { spawn, prepare, lanes, spares, callsPerJail, later = (run) => run() } = options;
  const living = new Set<Jail>();
  const stock: Stocked[] = [];
  const lane = createLanes(lanes);
  let closed = false;

  const produce = (): Stocked => {
    const jail = spawn();
    living.add(jail);
    const ready = prepare(jail);
    ready.catch(() => {}); // told to whoever takes it
    return { jail, ready, calls: 0 };
  };
  const discard = async (jail: Jail): Promise<void> => {
    await jail.kill();
    living.delete(jail);
  };
  const restock = (): void => {
    if (closed) return;
    while (stock.length + lane.busy() < 1 + spares) stock.push(produce());
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
    const taken = take();
    let isReady = false;
    try {
      await orAborted(taken.ready, signal);
      isReady = true;
      later(restock);
      taken.calls++;
      return await orAborted(work(taken.jail), signal);
    } finally {
      // One that was still getting ready when its call ran out of time serves the next; one that was at work is lost.
      const interrupted = isReady && signal.aborted;
      const good = taken.jail.alive() && !interrupted && taken.calls < callsPerJail && !closed;
      if (good) stock.unshift(taken);
      else void discard(taken.jail);
    }
  };

  return {
    async start() {
      const first = produce();
      stock.push(first);
      await first.ready;
      restock();
    },
    async use(work, signal) {
      if (closed) throw jailFailure('jail/compute-failed', 'the computer is closed');
      await lane.enter(signal);
      try {
        return await serve(work, signal);
      } finally {
        lane.leave();
        later(restock);
      }
    },
    pids: () => [...living].filter((jail) => jail.alive()).map(({ pid }) => pid),
    async close() {
      closed = true;
      await Promise.all([...living].map(discard));
    },
  };
}

/** The promise's outcome, or the signal's reason as soon as it is aborted. */
async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  let abort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

interface Lanes {
  readonly busy: () => number;
  /** Resolves when a lane is free, first come first served; rejects with the signal's reason. */
  enter(signal: AbortSignal): Promise<void>;
  leave(): void;
}

function createLanes(lanes: number): Lanes {
  const queue: (() => void)[] = [];
  let busy = 0;
  return {
    busy: () => busy,
    async enter(signal) {
      signal.throwIfAborted();
      if (busy < lanes) {
        busy++;
        return;
      }
      let enter = (): void => {};
      const turn = new Promise<void>((resolve) => {
        enter = resolve;
      });
      queue.push(enter);
      try {
        await orAborted(turn, signal);
      } catch (error) {
        const place = queue.indexOf(enter);
        if (place === -1)
          this.leave(); // its turn came in the same moment: hand it on
        else queue.splice(place, 1);
        throw error;
      }
    },
    leave() {
      const next = queue.shift();
      if (next === undefined) busy--;
      else next(); // the lane passes on without ever being free
    },
  };
}
