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
   * Runs `run` at `time`: never before, and as little after as can be had. What takes its time names the `party` for which
   * it is done: one such has a turn of the event loop to itself, the parties in rotation, and what is due and names none
   * goes before. Otherwise, of equal times, the one that was asked for first comes first. `run` must not throw.
   */
  at(time: number, run: () => void, party?: string): void;
  /** Resolves in the next turn of the event loop: between two of these it is looked whether anything is due. */
  breathe(): Promise<void>;
}

/** For what holds this process up for some milliseconds, as the start of another one does. */
export interface Gaps {
  /**
   * Runs `run` where nothing is due for a while, the longest wanted first, as many as fit: see `GAPS`. `since`: when it was
   * first wanted, by the schedule's clock. `run` must not throw.
   */
  readonly inGap: (run: () => void, since: number) => void;
}

/** Enough for several, one after the other, each of which asks how much of it is left. */
const WHOLE_GAP_MS = 60;
/**
 * Milliseconds: from when it has been wanted for so long, a gap of so many is enough. At first longer than the start of a
 * process takes from this one, however much memory it holds; then as long as it mostly takes; then longer than an answer
 * that was sealed waits to leave (`MARGIN_MS` of lateness.ts). A party that keeps answers due has none of these gaps, and holds
 * others' jails up for a second at most. How long each is waited for is chosen, not measured: a party has two jails of a kind,
 * and misses the second one's successor at its third call.
 */
const GAPS = [
  { wantedFor: 1_000, gap: 0 },
  { wantedFor: 300, gap: 5 },
  { wantedFor: 150, gap: 25 },
  { wantedFor: 0, gap: WHOLE_GAP_MS },
] as const;

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
  let isLookPlanned = false;
  /** The longest wanted first. */
  const patient: { readonly since: number; readonly run: () => void }[] = [];

  const look = (): void => {
    isNear = false;
    rest();
    let hasHappened = false;
    for (let next = heap.first(); next !== undefined && next.time <= now() + TOLERANCE_MS; next = heap.first()) {
      heap.shift();
      if (next.party === undefined) {
        next.run();
        hasHappened = true;
      } else due.add(next.party, next.run);
    }
    const run = due.next();
    run?.();
    // What was due has the rest of this turn.
    if ((hasHappened || run !== undefined) && patient.length > 0) lookSoon();
    wait();
    lookedAt = now();
  };
  const rest = (): void => {
    const next = heap.first();
    const time = now();
    if (next === undefined || !due.isEmpty()) return;
    if (next.time - time > WAKEFUL_MS && time - lookedAt < IDLE_TURN_MS) nap(NAP_MS);
  };
  /**
   * In the next turn: what has just happened may be about to name the moment of something else. An answer that was decided
   * has its own only once it is sealed.
   */
  const lookSoon = (): void => {
    if (isLookPlanned) return;
    isLookPlanned = true;
    immediate(lookForGap);
  };
  /** Where there is none, what is in its way is soon over, and then it is asked again. */
  const lookForGap = (): void => {
    isLookPlanned = false;
    for (let first = patient[0]; first !== undefined; first = patient[0]) {
      const time = now();
      const next = due.isEmpty() ? (heap.first()?.time ?? Infinity) : time;
      const wantedFor = time - first.since;
      if (!GAPS.some((one) => wantedFor >= one.wantedFor && next - time >= one.gap)) return;
      patient.shift();
      first.run();
      // No two take the same short one.
      if (next - time < WHOLE_GAP_MS) return;
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
    inGap(run, since) {
      const behind = patient.findIndex((other) => other.since > since);
      patient.splice(behind === -1 ? patient.length : behind, 0, { since, run });
      lookSoon();
    },
    at(time, run, party) {
      heap.push({ time, number: numbers++, run, party });
      wait();
    },
    breathe: () => new Promise((resolve) => immediate(resolve)),
  };
}
