/**
 * A connection between a party and an enclave, through a relay that nobody trusts: bodies arrive in order, late, or not
 * at all; one may be left out or repeated, and the line may be cut, which either end may or may not notice.
 */
import type { Simulation } from './clock.ts';
import type { Prng } from './prng.ts';

export interface LineFaults {
  /** Probabilities, for each body. */
  readonly dropped: number;
  readonly repeated: number;
  readonly slow: number;
  readonly cut: number;
  /** For each line that was cut or lost its process: that an end is told. */
  readonly told: number;
}

export const GOOD_LINE: LineFaults = { dropped: 0, repeated: 0, slow: 0, cut: 0, told: 1 };

export interface LineEnd {
  send(body: Uint8Array): void;
  /** The next body; undefined where the line is over. */
  receive(signal?: AbortSignal): Promise<Uint8Array | undefined>;
  /** Whether this end knows that the line is over. */
  readonly isOver: boolean;
  /** Ends the line for both. */
  close(): void;
}

export interface Line {
  readonly party: LineEnd;
  readonly enclave: LineEnd;
  /** As by a cable that is pulled. */
  cut(): void;
}

interface Inbox {
  readonly bodies: Uint8Array[];
  over: boolean;
  /** Bodies come in the order in which they were sent. */
  lastAt: number;
  wake: (() => void) | undefined;
}

export function createLine(simulation: Simulation, random: Prng, faults: () => LineFaults): Line {
  const toParty: Inbox = { bodies: [], over: false, lastAt: 0, wake: undefined };
  const toEnclave: Inbox = { bodies: [], over: false, lastAt: 0, wake: undefined };
  const wake = (inbox: Inbox): void => {
    const woken = inbox.wake;
    inbox.wake = undefined;
    woken?.();
  };
  const latency = (): number =>
    (0.5 + 5 * random.next()) * (random.chance(faults().slow) ? 10 ** (3 * random.next()) : 1);
  const deliver = (inbox: Inbox, arrive: () => void): void => {
    inbox.lastAt = Math.max(inbox.lastAt, simulation.now() + latency());
    simulation.after(inbox.lastAt - simulation.now(), () => {
      if (inbox.over) return;
      arrive();
      wake(inbox);
    });
  };
  const end = (inbox: Inbox): void => deliver(inbox, () => (inbox.over = true));
  const cut = (): void => {
    for (const inbox of [toParty, toEnclave]) if (random.chance(faults().told)) end(inbox);
  };

  const endOf = (mine: Inbox, theirs: Inbox): LineEnd => ({
    send(body) {
      const { dropped, repeated, cut: cuts } = faults();
      if (random.chance(cuts)) cut();
      if (random.chance(dropped)) return;
      for (let copies = random.chance(repeated) ? 2 : 1; copies > 0; copies -= 1)
        deliver(theirs, () => theirs.bodies.push(body));
    },
    async receive(signal) {
      for (;;) {
        const body = mine.bodies.shift();
        if (body !== undefined) return body;
        if (mine.over) return undefined;
        signal?.throwIfAborted();
        await new Promise<void>((resolve, reject) => {
          const abort = (): void => reject(signal?.reason);
          signal?.addEventListener('abort', abort, { once: true });
          mine.wake = () => {
            signal?.removeEventListener('abort', abort);
            resolve();
          };
        });
      }
    },
    get isOver() {
      return mine.over;
    },
    close() {
      mine.over = true;
      wake(mine);
      end(theirs);
    },
  });
  return { party: endOf(toParty, toEnclave), enclave: endOf(toEnclave, toParty), cut };
}
