/**
 * Time and order. Everything that happens in a simulation is an event at a moment of virtual time; between two events
 * the programs run until none of them has anything left to do. With the platform of `platform.ts` nothing in them waits
 * for a thread, so the order of events, and so the whole run, follows from the seed alone.
 */
import { createHeap } from '../../../enclave/pipeline/heap.ts';

export interface Simulation {
  /** Milliseconds since the run began. */
  now(): number;
  /** Runs `happen` after so many milliseconds, unless the returned function is called first. */
  after(milliseconds: number, happen: () => void): () => void;
  /** Resolves after so many milliseconds. */
  sleep(milliseconds: number): Promise<void>;
  /** Lets events happen until `done` says so, the time is over or nothing is left. True where it was `done`. */
  run(done: () => boolean, untilMs: number): Promise<boolean>;
  /** Notes a line of the trace. Cheap where nobody reads it. */
  trace(line: () => string): void;
  readonly events: number;
}

interface Event {
  readonly at: number;
  readonly number: number;
  happen: (() => void) | undefined;
}

/** So many events are a run that does not end. */
const MOST_EVENTS = 200_000;

export function createSimulation(print?: (line: string) => void): Simulation {
  const heap = createHeap<Event>((a, b) => (a.at === b.at ? a.number < b.number : a.at < b.at));
  let time = 0;
  let number = 0;
  let events = 0;

  const simulation: Simulation = {
    now: () => time,
    after(milliseconds, happen) {
      const event: Event = { at: time + Math.max(0, milliseconds), number: number++, happen };
      heap.push(event);
      return () => {
        event.happen = undefined;
      };
    },
    sleep: (milliseconds) => new Promise((resolve) => void simulation.after(milliseconds, resolve)),
    async run(done, untilMs) {
      await quiescence();
      for (;;) {
        if (done()) return true;
        const next = heap.first();
        if (next === undefined || next.at > untilMs) {
          time = Math.max(time, Math.min(untilMs, next?.at ?? untilMs));
          return false;
        }
        heap.shift();
        if (next.happen === undefined) continue;
        time = next.at;
        events += 1;
        if (events > MOST_EVENTS) throw new Error(`more than ${MOST_EVENTS} events: something never rests`);
        next.happen();
        await quiescence();
      }
    },
    trace(line) {
      print?.(`${time.toFixed(1).padStart(10)}  ${line()}`);
    },
    get events() {
      return events;
    },
  };
  return simulation;
}

/**
 * Promises and ticks that are due run before an immediate does; and those that they make due, too. A second round for
 * streams, which schedule ticks from ticks.
 */
function quiescence(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}
