/**
 * When something is to happen at a moment, and not about then. One timer and one heap for all that waits: coarsely, with
 * the processor idle, until `coarseMs` before the earliest; from there in turns of the event loop, so that everything else
 * goes on meanwhile, to within one turn. Turns leave garbage behind, and to collect it takes half a millisecond, which must
 * not be the last one before the moment: so as long as nothing else goes on, most of that time is spent in naps.
 */
import type { Timers } from '../deadline.ts';
import { createHeap } from './heap.ts';
import { createRotation } from './rotation.ts';

export interface Schedule {
  /** Milliseconds from any start, never backwards, with fractions. */
  readonly now: () => number;
  /**
   * Runs `run` at `time`: never before, and as little after as can be had. Of equal times the one that was asked for
   * first comes first. What takes its time names the `party` for which it is done: of that, one has a turn of the event
   * loop to itself, the parties in rotation, and what names none goes before. `run` must not throw.
   */
  at(time: number, run: () => void, party?: string): void;
  /** Resolves in the next turn of the event loop: what is due has its turn before whoever waits for this goes on. */
  breathe(): Promise<void>;
}

/** For what holds this process up for some milliseconds, as the start of another one does. */
export interface Gaps {
  /**
   * Runs `run` where nothing is due for a while, in the order of asking, as many as fit: for `GAP_MS`, or for less where it
   * has waited long. `since`: when the waiting began, by the schedule's clock; default: now. `run` must not throw.
   */
  readonly inGap: (run: () => void, since?: number) => void;
}

/** Longer than the start of a process takes from this one, however much memory it holds. */
const GAP_MS = 60;
/** As long as such a start takes mostly; enough for what has waited for `LONG_MS`. */
const LEAST_GAP_MS = 25;
const LONG_MS = 150;
/** After so long it comes right after an answer that leaves: a party that keeps answers due cannot hold up others' jails. */
const MOST_MS = 300;

/** How one can wait here. */
export interface ScheduleParts {
  readonly now: () => number;
  readonly timers: Timers;
  /** The timers are wrong by less than this. 0 where they are exact, as in a simulation. */
  readonly coarseMs: number;
  /** Runs it in the next turn of the event loop. */
  readonly immediate: (run: () => void) => void;
  /** Holds this thread up for about so many milliseconds, with the processor idle. */
  readonly nap: (milliseconds: number) => void;
}

interface Entry {
  readonly time: number;
  readonly number: number;
  readonly run: () => void;
  readonly party: string | undefined;
}

/** With what a kernel adds to it, some 0.13 ms; 0.19 in one of a thousand. */
const NAP_MS = 0.05;
/** A moment as near as this is waited for without naps. */
const WAKEFUL_MS = 0.3;
/** A turn of the event loop that took longer had something to do. */
const IDLE_TURN_MS = 0.02;

/** A sum of fractions may miss the moment by less than this, half a microsecond. */
const TOLERANCE_MS = 0.000_5;

export function createSchedule({ now, timers, coarseMs, immediate, nap }: ScheduleParts): Schedule & Gaps {
  const heap = createHeap<Entry>((a, b) => (a.time === b.time ? a.number < b.number : a.time < b.time));
  let numbers = 0;
  /** What the one timer waits for; undefined where there is none. */
  let timer: { readonly time: number; readonly stop: () => void } | undefined;
  /** Every turn of the event loop is looked at. */
  let isNear = false;
  /** When it was looked at last. */
  let lookedAt = -Infinity;

  /** What is due and takes its time. */
  const due = createRotation<() => void>();
  const patient: { readonly since: number; readonly run: () => void }[] = [];

  const look = (): void => {
    isNear = false;
    rest();
    let hasLeft = false;
    for (let next = heap.first(); next !== undefined && next.time <= now() + TOLERANCE_MS; next = heap.first()) {
      heap.shift();
      if (next.party === undefined) {
        next.run();
        hasLeft = true;
      } else due.add(next.party, next.run);
    }
    const run = due.next();
    run?.();
    // What was due has the rest of this turn.
    if ((hasLeft || run !== undefined) && patient.length > 0) immediate(() => lookForGap(hasLeft));
    wait();
    lookedAt = now();
  };
  const rest = (): void => {
    const next = heap.first();
    const time = now();
    if (next === undefined || !due.isEmpty()) return;
    if (next.time - time > WAKEFUL_MS && time - lookedAt < IDLE_TURN_MS) nap(NAP_MS);
  };
  /** Where there is none, what is in its way is soon over, and then it is asked again. `hasLeft`: an answer, just now. */
  const lookForGap = (hasLeft: boolean): void => {
    for (let first = patient[0]; first !== undefined; first = patient[0]) {
      const next = heap.first();
      const gap = !due.isEmpty() ? 0 : next === undefined ? Infinity : next.time - now();
      const waited = now() - first.since;
      const isShort = gap < GAP_MS;
      const mayBeShort = (waited >= LONG_MS && gap >= LEAST_GAP_MS) || (waited >= MOST_MS && hasLeft);
      if (isShort && !mayBeShort) return;
      patient.shift();
      first.run();
      // No two take the same short one.
      if (isShort) return;
    }
  };
  const wait = (): void => {
    if (isNear) return;
    const next = heap.first();
    const time = due.isEmpty() ? next?.time : now();
    if (timer !== undefined && timer.time === time) return;
    timer?.stop();
    timer = undefined;
    if (time === undefined) return;
    const coarse = time - coarseMs - now();
    if (coarse > 0) {
      const stop = timers(coarse, () => {
        timer = undefined;
        look();
      });
      timer = { time, stop };
    } else {
      isNear = true;
      immediate(look);
    }
  };

  return {
    now,
    inGap(run, since = now()) {
      patient.push({ since, run });
      lookForGap(false);
    },
    at(time, run, party) {
      heap.push({ time, number: numbers++, run, party });
      wait();
    },
    breathe: () => new Promise((resolve) => immediate(resolve)),
  };
}
