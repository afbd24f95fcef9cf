/** How the program of every jail runs: it shuts itself in before it hears anything, serves what it is asked, and ends. */
import { refuseDebugger } from '../no-debugger.ts';
import { confine, type JailLimits } from './confine.ts';

/**
 * Ends the process: with 0 once `serve` is done, which is when the gate has closed the pipe, with 1 whatever goes wrong. The
 * gate then sees the pipe close and refuses the one call; nobody reads a stack trace in here.
 */
export async function runJail(limits: JailLimits, serve: () => Promise<void> | void): Promise<never> {
  try {
    refuseDebugger();
    confine(limits);
    await serve();
  } catch {
    process.exit(1);
  }
  process.exit(0);
}
