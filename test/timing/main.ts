/**
 * Can a host tell calls apart by when, or by how large, their answers are?
 *
 *     npm run timing                                 as CI does: 18,000 calls
 *     npm run timing -- --calls 100000 --fresh 0.05  the documented run
 *         --pairs a,b      pairs by name or part of a name; default all
 *         --seed S         another order of calls (default 1)
 *         --after-ms MS      release time of functions that need no jail (default 10)
 *         --computing-ms MS  and of those that do (default 30)
 *         --fresh SHARE    of the calls whose answer the enclave keeps, how many jails compute anew (default 0.03)
 *         --json           one JSON line a pair
 *     npm run timing -- --planted                    finds each of the leaks that are planted, and none without
 *
 * Exit codes: 0 no difference was found (with --planted: each was, and none without), 1 otherwise, 2 usage, 130 Ctrl-C.
 */
import { parseArgs } from 'node:util';
import { createPrng } from '../faults/simulation/prng.ts';
import { PAIR_NAMES, UNPROVOKED } from './kinds.ts';
import type { PairName } from './kinds.ts';
import { trial } from './trial.ts';
import type { Trial } from './trial.ts';
import { KERNEL_CALLS, plantedTrials, sayKernel } from './planted.ts';
import { timeKernel } from './kernel.ts';

const { values } = parseArgs({
  options: {
    calls: { type: 'string', default: '18000' },
    pairs: { type: 'string' },
    seed: { type: 'string', default: '1' },
    'after-ms': { type: 'string', default: '10' },
    'computing-ms': { type: 'string', default: '30' },
    fresh: { type: 'string', default: '0.03' },
    json: { type: 'boolean', default: false },
    planted: { type: 'boolean', default: false },
  },
});

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const mention = (line: string): void => void process.stderr.write(`timing: ${line}\n`);
const usage = (why: string): never => {
  mention(why);
  process.exit(2);
};
const number = (text: string, least: number): number => {
  const value = Number(text);
  return Number.isFinite(value) && value >= least ? value : usage(`not a number of at least ${least}: ${text}`);
};

function pairsOf(text: string | undefined): readonly PairName[] {
  if (text === undefined) return PAIR_NAMES;
  const parts = text.split(',').map((part) => part.trim().toLowerCase());
  const found = PAIR_NAMES.filter((name) => parts.some((part) => name.toLowerCase().includes(part)));
  return found.length > 0 ? found : usage(`no such pair; there are: ${PAIR_NAMES.join(', ')}`);
}

const interrupted = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interrupted.abort());

const options: Trial = {
  calls: number(values.calls, 1_000),
  pairs: pairsOf(values.pairs),
  times: { quick: number(values['after-ms'], 0), computing: number(values['computing-ms'], 0) },
  fresh: Math.min(1, number(values.fresh, 0)),
  signal: interrupted.signal,
  random: createPrng(number(values.seed, 0)),
  say: values.json ? (verdict) => say(JSON.stringify(verdict)) : (_, text) => say(text),
  mention,
};

async function main(): Promise<boolean> {
  if (values.planted) return plantedTrials(options, say);
  for (const [refusal, why] of Object.entries(UNPROVOKED)) mention(`not tested: ${refusal} (${why})`);
  const verdicts = await trial(options);
  // With pairs named it is about these alone.
  const kernelLeaks =
    values.pairs === undefined && sayKernel(timeKernel(KERNEL_CALLS, options.random), say, values.json);
  return !kernelLeaks && verdicts.every(({ passes }) => passes);
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  if (!interrupted.signal.aborted) throw error;
  mention('ended; nothing is said of calls that were not all made');
  process.exitCode = 130;
}
