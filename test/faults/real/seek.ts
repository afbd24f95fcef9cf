/** Runs of the real programs: by their seeds, over anchors in folders, in the local AWS's buckets and in moto's. */
import { motoIsAbsent } from '../../orchestrator/local/moto.ts';
import type { FoundViolation } from '../seek.ts';
import type { AnchorKind } from './place.ts';
import { openRealPlace } from './place.ts';
import { watchProcessorTime } from './processor-time.ts';
import type { RealRun } from './run.ts';
import { realRuns } from './run.ts';
import { createStorm } from './storm.ts';
import { createTally } from './tally.ts';

export interface RealTotal {
  readonly firstSeed: number;
  readonly runs: number;
  readonly violating: number;
  readonly calls: number;
  readonly answers: number;
  /** What befell them, and how often. */
  readonly faults: Readonly<Record<string, number>>;
  readonly anchors: Readonly<Partial<Record<AnchorKind, number>>>;
  readonly seconds: number;
  readonly runsPerSecond: number;
  readonly processorSecondsPerRun: number;
}

/** One image has so many counters; the next one is built when they are used up. */
const COUNTERS = 64;
/** Runs at a time, over the same enclaves. */
const TOGETHER = 8;
const CALLED: Readonly<Record<AnchorKind, string>> = {
  folder: 'folders',
  s3: "the local AWS's buckets",
  moto: "moto's buckets",
};

export interface RealSearch {
  readonly runs: number;
  readonly firstSeed: number;
  /** A seed takes one of them, each in its turn. */
  readonly kinds: readonly AnchorKind[];
}

export async function seekReal(
  { runs, firstSeed, kinds: wanted }: RealSearch,
  tell: (violation: FoundViolation) => void,
  progress: (line: string) => void,
): Promise<RealTotal> {
  const reason = wanted.includes('moto') ? motoIsAbsent() : undefined;
  if (reason !== undefined) progress(`without moto: ${reason}`);
  const kinds = wanted.filter((kind) => kind !== 'moto' || reason === undefined);
  const start = performance.now();
  const work = watchProcessorTime();
  const tally = createTally();
  const total = { violating: 0, calls: 0, answers: 0 };
  const anchors: Partial<Record<AnchorKind, number>> = {};
  let done = 0;
  const soFar = async (): Promise<Pick<RealTotal, 'seconds' | 'runsPerSecond' | 'processorSecondsPerRun'>> => {
    const seconds = (performance.now() - start) / 1000;
    return {
      seconds: Math.round(seconds),
      runsPerSecond: rounded(done / seconds),
      processorSecondsPerRun: rounded((await work.seconds()) / Math.max(1, done)),
    };
  };
  const real = await openRealPlace(kinds, tally);
  try {
    for (const [kind, seeds] of stretches(kinds, firstSeed, runs)) {
      const collaboration = await real.collaborate(kind, seeds.length);
      const storm = createStorm(real, collaboration, tally);
      for (let first = 0; first < seeds.length; first += TOGETHER) {
        const together = seeds.slice(first, first + TOGETHER).map((seed, i): RealRun => ({ seed, counter: first + i }));
        const results = await realRuns(collaboration, storm, together);
        done += results.length;
        anchors[kind] = (anchors[kind] ?? 0) + results.length;
        for (const { seed, attempts, answers, violations } of results) {
          total.calls += attempts;
          total.answers += answers;
          if (violations.length > 0) total.violating += 1;
          for (const violation of violations) tell({ seed, ...violation });
        }
        const { seconds, runsPerSecond, processorSecondsPerRun } = await soFar();
        progress(
          `${done} of ${runs} (${CALLED[kind]}): ${total.answers} answers to ${total.calls} questions; ${seconds} s, ` +
            `${runsPerSecond} runs/s, ${processorSecondsPerRun} s of processor time a run`,
        );
      }
      await collaboration.terminate();
    }
    return { firstSeed, runs: done, ...total, faults: tally.counts(), anchors, ...(await soFar()) };
  } finally {
    work.stop();
    await real.close();
  }
}

/** Seeds that share an image, of each kind in turn. */
function* stretches(
  kinds: readonly AnchorKind[],
  firstSeed: number,
  runs: number,
): Generator<readonly [AnchorKind, readonly number[]]> {
  const seeds = Array.from({ length: runs }, (_, i) => firstSeed + i);
  for (let first = 0; first < runs; first += COUNTERS * kinds.length) {
    const some = seeds.slice(first, first + COUNTERS * kinds.length);
    for (const [turn, kind] of kinds.entries()) {
      const own = some.filter((seed) => seed % kinds.length === turn);
      if (own.length > 0) yield [kind, own];
    }
  }
}

const rounded = (value: number): number => Math.round(100 * value) / 100;
