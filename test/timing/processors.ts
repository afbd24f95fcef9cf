/**
 * Who runs where: an enclave has processors of its own, which its parent has given away. Where both share them, the kernel
 * places the one by what the other last did, and the parent's own waking, some hundreds of microseconds, tells classes apart.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

export interface Processors {
  /** What this process starts from now on has the enclave's. */
  forEnclave(): void;
  /** This process has its own from now on; what it started keeps the others. */
  forParent(): void;
  /** As it was before. */
  all(): void;
}

/** The first for the parent, the others for the enclave. Where there is but one, or no `taskset`, that is said and left alone. */
export function divideProcessors(mention: (line: string) => void): Processors {
  const usable = usableProcessors(readFileSync('/proc/self/status', 'utf8'));
  const [first, ...others] = usable;
  if (first === undefined || others.length === 0) {
    mention('there is one processor, which the enclave and its parent share');
    return { forEnclave: () => {}, forParent: () => {}, all: () => {} };
  }
  let isDivided = true;
  const run = (on: readonly number[]): void => {
    if (!isDivided) return;
    try {
      // Every thread of it.
      execFileSync('taskset', ['-a', '-c', '-p', on.join(','), String(process.pid)], { stdio: 'pipe' });
    } catch (error) {
      isDivided = false;
      mention(`the enclave and its parent share processors: ${String(error)}`);
    }
  };
  return { forEnclave: () => run(others), forParent: () => run([first]), all: () => run(usable) };
}

/** Of `/proc/PID/status`: `0-2,5` is 0, 1, 2, 5. */
export function usableProcessors(status: string): readonly number[] {
  const list = /^Cpus_allowed_list:\s*(.*)$/m.exec(status)?.[1] ?? '';
  return list.split(',').flatMap((range) => {
    const [from = 0, to = from] = range.split('-').map(Number);
    return Array.from({ length: to - from + 1 }, (_, index) => from + index);
  });
}
