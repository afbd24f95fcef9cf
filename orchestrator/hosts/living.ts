/** However this process ends, as long as it still runs its exit handlers, its enclaves end first. */
import type { ChildProcess } from 'node:child_process';
import { sendSignal } from './processes.ts';

const living = new Set<ChildProcess>();

/** `child` leads a process group of its own. The result forgets it again. */
export function killWithThisProcess(child: ChildProcess): () => void {
  if (living.size === 0) process.on('exit', killLiving);
  living.add(child);
  return () => {
    living.delete(child);
    if (living.size === 0) process.off('exit', killLiving);
  };
}

function killLiving(): void {
  for (const { pid } of living) if (pid !== undefined) sendSignal(-pid, 'SIGKILL');
}
