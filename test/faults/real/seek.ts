/** Runs of the real programs, half of them with anchors in folders, half in buckets; two counters under each storm. */
import type { FoundViolation } from '../seek.ts';
import type { AnchorKind } from './place.ts';
import { openRealPlace } from './place.ts';
import { realRun } from './run.ts';

export interface RealTotal {
  readonly runs: number;
  readonly violating: number;
  readonly calls: number;
  readonly answers: number;
  readonly blows: Readonly<Record<string, number>>;
  readonly seconds: number;
}

/** One image has so many counters; the next one is built when they are used up. */
const COUNTERS = 100;
const TOGETHER = 2;
const CALLED: Readonly<Record<AnchorKind, string>> = { folder: 'folders', s3: "the local AWS's buckets" };

export async function seekReal(
  runs: number,
  firstSeed: number,
  kinds: readonly AnchorKind[],
  tell: (violation: FoundViolation) => void,
  progress: (line: string) => void,
): Promise<RealTotal> {
  const start = performance.now();
  const blows: Record<string, number> = {};
  const total = { violating: 0, calls: 0, answers: 0 };
  let done = 0;
  for (const [i, kind] of kinds.entries()) {
    const share = Math.floor(runs / kinds.length) + (i < runs % kinds.length ? 1 : 0);
    for (let left = share; left > 0; left -= COUNTERS) {
      const counters = Math.min(left, COUNTERS);
      const real = await openRealPlace(kind, counters);
      try {
        for (let run = 0; run < counters; run += TOGETHER) {
          const together = Array.from({ length: Math.min(TOGETHER, counters - run) }, (_, more) => run + more);
          const seed = firstSeed + done;
          const result = await realRun(real, together, seed);
          done += together.length;
          total.calls += result.attempts;
          total.answers += result.answers;
          if (result.violations.length > 0) total.violating += 1;
          for (const violation of result.violations) tell({ seed, ...violation });
          for (const blow of result.blows) blows[blow] = (blows[blow] ?? 0) + 1;
          progress(
            `${done} of ${runs} (${CALLED[kind]}): ${result.answers} answers to ${result.attempts} questions in ${result.ms} ms; ${result.blows.join(', ')}`,
          );
        }
      } finally {
        await real.close();
      }
    }
  }
  return { runs, ...total, blows, seconds: Math.round((performance.now() - start) / 1000) };
}
