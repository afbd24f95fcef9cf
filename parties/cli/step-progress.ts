/** Progress of steps that have no measure: whoever waits for another machine is told so after a second, and again. */
import { byteProgress } from './byte-progress.ts';
import type { ByteProgress } from './byte-progress.ts';
import type { Io } from './verb.ts';

const TICK_MS = 1_000;

/** Like `byteProgress`, and shows the step under way even while nothing calls `update`. Call `end` whatever happens. */
export function stepProgress(io: Pick<Io, 'err' | 'interactive'>): ByteProgress {
  const progress = byteProgress(io);
  let latest: Parameters<ByteProgress['update']> | undefined;
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
