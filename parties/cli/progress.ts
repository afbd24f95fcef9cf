/**
 * How far a verb is, for people. On a terminal one line is redrawn; elsewhere a line is printed when a step has taken
 * longer than a second, and then now and again, so that logs stay short.
 */
import { printable } from '../printable.ts';
import type { Io } from './verb.ts';

export interface Progress {
  /** `done` of `total` bytes of the step that `text` names; without them the step alone. */
  readonly update: (text: string, done?: number, total?: number) => void;
  /** Leaves no half-drawn line behind. Call it when the work has ended, however. */
  readonly end: () => void;
}

const REDRAW_MS = 100;
const FIRST_LINE_MS = 1000;
const NEXT_LINE_MS = 5000;
const MB = 1_000_000;
const TICK_MS = 1_000;

/** Progress of work that is counted in bytes; a total of less than a megabyte counts steps, or is not worth its unit. */
export function byteProgress(
  io: Pick<Io, 'err' | 'interactive'>,
  now: () => number = () => performance.now(),
): Progress {
  let step = '';
  let due = 0;
  let drawn = false;
  const end = (): void => {
    if (drawn) io.err('\r\u001B[K');
    drawn = false;
  };
  return {
    update(name, done, total) {
      const text = printable(name); // an engine's or a stranger's words may be in it
      const time = now();
      if (text !== step) {
        step = text;
        due = io.interactive ? time : time + FIRST_LINE_MS;
      }
      if (time < due) return;
      const amount = done === undefined || total === undefined ? '' : `, ${percent(done, total)}${sizeOf(total)}`;
      due = time + (io.interactive ? REDRAW_MS : NEXT_LINE_MS);
      if (io.interactive) io.err(`\r\u001B[K${text}${amount}`);
      else io.err(`${text}${amount}\n`);
      drawn = io.interactive;
    },
    end,
  };
}

/**
 * Progress of steps that have no measure: whoever waits for another machine is told so after a second, and again. Shows the step under way even while nothing calls `update`. Call `end` whatever happens.
 */
export function stepProgress(io: Pick<Io, 'err' | 'interactive'>): Progress {
  const progress = byteProgress(io);
  let latest: Parameters<Progress['update']> | undefined;
  const timer = setInterval(() => {
    if (latest !== undefined) progress.update(...latest);
  }, TICK_MS);
  return {
    update(...step) {
      latest = step;
      progress.update(...step);
    },
    end() {
      clearInterval(timer);
      latest = undefined;
      progress.end();
    },
  };
}

function sizeOf(total: number): string {
  return total < MB ? '' : ` of ${Math.ceil(total / MB)} MB`;
}

function percent(done: number, total: number): string {
  return `${total === 0 ? 100 : Math.floor((100 * done) / total)} %`;
}
