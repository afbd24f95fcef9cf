/** When a verb that serves should stop: at Ctrl-C, or when whoever started it is gone. */
import type { Io } from '../../parties/cli/verb.ts';

export const UNTIL_EOF_HELP = 'also stop when stdin ends: with the program that started this one';

/** Resolves when it is time to stop. */
export function timeToStop(io: Io, untilEof: boolean): Promise<void> {
  const interrupted = new Promise<void>((resolve) => {
    if (io.signal.aborted) resolve();
    else io.signal.addEventListener('abort', () => resolve(), { once: true });
  });
  if (!untilEof) return interrupted;
  return Promise.race([interrupted, endOf(io)]);
}

async function endOf(io: Io): Promise<void> {
  try {
    for await (const _ of io.stdin());
  } catch {
    // a broken pipe is an end too
  }
}

/** The exit code of a service that stopped as asked; throws the signal's reason where it was interrupted. */
export function stopped(io: Io): number {
  if (io.signal.aborted) throw io.signal.reason;
  return 0;
}
