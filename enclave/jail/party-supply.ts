/**
 * Each party's own lane, and its own warm jails: what one party does with its calls, no other party waits for. What a call
 * used is replaced once its answer has left.
 */
import { orAborted } from '../deadline.ts';
import { createTurns } from '../state/turns.ts';
import { jailFailure } from './jail-failure.ts';
import type { Jail } from './process.ts';
import type { Supply, SupplyOptions } from './supply.ts';
import { createSupply } from './supply.ts';

export interface PartySupplyOptions extends SupplyOptions {
  /** Who may call; at least one. */
  readonly parties: readonly string[];
}

export interface PartySupply {
  /** Makes the first jail ready, and rejects as `prepare` does; all others follow while nobody waits. */
  start(): Promise<void>;
  /**
   * Runs `work` with a jail of its own, one call of this party after the other, in the order they came. When `signal` is
   * aborted the jail is killed, and the promise rejects with the signal's reason at that moment.
   */
  use<T>(party: string, work: (jail: Jail) => Promise<T>, signal: AbortSignal): Promise<T>;
  /** The answer to this party's call has left: the jails that it used may be replaced. */
  replace(party: string): void;
  pids(): readonly number[];
  /** Resolves when no process is left. */
  close(): Promise<void>;
}

export function createPartySupply({ parties, ...options }: PartySupplyOptions): PartySupply {
  const lanes: ReadonlyMap<string, Supply> = new Map(parties.map((party) => [party, createSupply(options)]));
  const supplies = [...lanes.values()];
  const turns = createTurns();
  return {
    async start() {
      await supplies[0]?.start();
      for (const supply of supplies) supply.restock();
    },
    async use(party, work, signal) {
      const lane = lanes.get(party);
      if (lane === undefined) throw jailFailure('jail/compute-failed', 'this party has no lane');
      return orAborted(
        turns.take(party, signal, () => lane.use(work, signal)),
        signal,
      );
    },
    replace: (party) => lanes.get(party)?.restock(),
    pids: () => supplies.flatMap((supply) => supply.pids()),
    async close() {
      await Promise.all(supplies.map((supply) => supply.close()));
    },
  };
}
