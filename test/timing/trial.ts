/** One run: an enclave, a plan, calls, verdicts. */
import type { Bundle } from '../../build/bundle.ts';
import type { Prng } from '../faults/simulation/prng.ts';
import { measure, openBench } from './measure.ts';
import type { Bench, Progress, Seen } from './measure.ts';
import type { Release, ReleaseTimes } from './agreement.ts';
import { PAIRS, SHARES } from './kinds.ts';
import type { Kinds, PairName, Shares } from './kinds.ts';
import { needsJails, planOf } from './plan.ts';
import type { Plan } from './plan.ts';
import { calibrate } from './stats.ts';
import type { Thresholds } from './stats.ts';
import { judge, told } from './verdicts.ts';
import type { PairVerdict } from './verdicts.ts';

export interface Trial {
  readonly calls: number;
  readonly pairs: readonly PairName[];
  readonly times: ReleaseTimes;
  readonly fresh: number;
  readonly random: Prng;
  /** Aborted: it ends after the call under way, and leaves nothing behind. */
  readonly signal: AbortSignal;
  /** Default: `SHARES`. */
  readonly shares?: Shares;
  /** As many calls again are made until it says so, twelve times in all at most. Default: once is enough. */
  readonly enough?: (verdict: PairVerdict) => boolean;
  /** In place of the image's own programs. */
  readonly bundles?: readonly Bundle[];
  readonly say: (verdict: PairVerdict, text: string) => void;
  readonly mention: (line: string) => void;
}

/** What a call and what follows it take, roughly, on two cores: said before anything is measured. */
const CALL_MS = 2.5;
const JAILS_MS = 450;
const MOST_ROUNDS = 12;

export async function trial(options: Trial): Promise<readonly PairVerdict[]> {
  const { times, pairs, bundles, shares = SHARES, enough = () => true, signal, say, mention } = options;
  const bench = await openBench({ times, bundles, mention });
  try {
    const planned = (): Plan => planOf({ ...options, shares, kinds: bench.kinds });
    const plan = planned();
    mention(expectation(plan, bench, times));
    const tell = ({ done, of, milliseconds }: Progress): void =>
      mention(
        `${done} of ${of} calls, ${(milliseconds / done).toFixed(1)} ms each; ${left(milliseconds, done, of)} left`,
      );
    const before = await measure(bench, plan.before, tell, signal);
    const releases = pairs.map((pair) => releaseOfPair(pair, bench.kinds));
    const thresholds = new Map(releases.map((release) => [release, thresholdsOf(before, release, bench.kinds)]));
    for (const [release, { crops }] of thresholds) {
      mention(
        `thresholds, from calls before due at ${times[release]}: ${crops.map((ms) => ms.toFixed(3)).join(' ')} ms`,
      );
    }
    const judged = (seen: readonly Seen[]): readonly PairVerdict[] =>
      pairs.map((pair) => {
        const fixed = thresholds.get(releaseOfPair(pair, bench.kinds));
        if (fixed === undefined) throw new Error(`no thresholds for ${pair}`);
        return judge(pair, seen, fixed, bench.kinds);
      });
    const seen = [...(await measure(bench, plan.counted, tell, signal))];
    for (let round = 1; round < MOST_ROUNDS && !judged(seen).every(enough); round++) {
      seen.push(...(await measure(bench, planned().counted, tell, signal)));
    }
    const verdicts = judged(seen);
    for (const verdict of verdicts) say(verdict, told(verdict));
    return verdicts;
  } finally {
    await bench.close();
  }
}

/** Both classes of a pair have one. */
const releaseOfPair = (pair: PairName, kinds: Kinds): Release => kinds[PAIRS[pair][0]].release;

function thresholdsOf(before: readonly Seen[], release: Release, kinds: Kinds): Thresholds {
  const alike = before.filter(({ kind }) => kinds[kind].release === release);
  return calibrate(alike.map(({ milliseconds }) => milliseconds));
}

function expectation({ before, counted }: Plan, bench: Bench, times: ReleaseTimes): string {
  const all = [...before, ...counted];
  const jailed = all.filter((step) => needsJails(step, bench.kinds)).length;
  const waiting = all.reduce((sum, { kind }) => sum + CALL_MS + times[bench.kinds[kind].release], 0);
  const minutes = (waiting + jailed * JAILS_MS) / 60_000;
  return `${counted.length} calls after ${before.length} before, ${jailed} of them with jails: about ${minutes.toFixed(1)} minutes`;
}

function left(milliseconds: number, done: number, of: number): string {
  const seconds = (milliseconds / done) * (of - done) * 1e-3;
  return seconds < 120 ? `${seconds.toFixed(0)} s` : `${(seconds / 60).toFixed(1)} min`;
}
