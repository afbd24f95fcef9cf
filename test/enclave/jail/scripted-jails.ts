/** Jails that do nothing but live and die, for tests of which jail serves which call. */
import { FRAME } from '../../../enclave/jail/frames.ts';
import type { Jail } from '../../../enclave/jail/process.ts';
import type { SupplyOptions } from '../../../enclave/jail/supply.ts';

export interface ScriptedJails {
  readonly options: Pick<SupplyOptions, 'spawn' | 'prepare'>;
  /** All that were ever made; the first has the pid 1. */
  readonly made: readonly Jail[];
  readonly alive: () => readonly number[];
  /** Jails that are being made ready now, and the most that ever were at once. */
  readonly growing: { now: number; most: number };
}

/** Each takes `prepareMs` to be made ready; those with a pid of `broken` cannot be. */
export function scriptedJails(prepareMs: number, broken: readonly number[] = []): ScriptedJails {
  const made: Jail[] = [];
  const growing = { now: 0, most: 0 };
  return {
    made,
    growing,
    alive: () => made.filter((jail) => jail.alive()).map(({ pid }) => pid),
    options: {
      spawn() {
        let alive = true;
        const jail: Jail = {
          pid: made.length + 1,
          alive: () => alive,
          ask: () => Promise.resolve({ type: FRAME.ready, body: new Uint8Array() }),
          rest: () => {},
          kill: () => Promise.resolve(void (alive = false)),
        };
        made.push(jail);
        return jail;
      },
      async prepare(jail) {
        growing.now += 1;
        growing.most = Math.max(growing.most, growing.now);
        await new Promise((resolve) => void setTimeout(resolve, prepareMs));
        growing.now -= 1;
        if (!broken.includes(jail.pid)) return;
        await jail.kill();
        throw new Error(`jail ${jail.pid} is broken`);
      },
    },
  };
}
