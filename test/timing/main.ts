/** Can a host tell calls apart by when, or by how large, their answers are? `HELP` says how to ask; docs/timing.md what it means. */
import { createPrng } from '../faults/simulation/prng.ts';
import { readOptions } from '../options.ts';
import { PAIR_NAMES, UNPROVOKED } from './kinds.ts';
import type { PairName } from './kinds.ts';
import { trial } from './trial.ts';
import type { Trial } from './trial.ts';
import { KERNEL_CALLS, plantedTrials, sayKernel } from './planted.ts';
import { timeKernel } from './kernel.ts';

const HELP = `npm run timing [-- OPTIONS]

Times calls of two classes, pair after pair, at the parent's end of the relay. Nothing else should run meanwhile.

  --calls N          calls that count, of all pairs together, at least 1000 (default: 27600, fifteen minutes)
  --fresh SHARE      of the calls whose answer the enclave keeps, how many jails compute anew: 0 to 1 (default: 0.03)
  --pairs A,B        pairs by name or part of a name (default: all); each then has as many calls as it has among all
  --after-ms MS      release time of functions that need no jail (default: 10)
  --computing-ms MS  and of those that do (default: 40)
  --seed S           another order of calls (default: 1)
  --json             one JSON line a pair
  --planted          finds each of the leaks that are planted, and none without

Pairs: ${PAIR_NAMES.join(', ')}.
Exit codes: 0 no difference was found (with --planted: each was, and none without), 1 otherwise, 2 usage, 130 Ctrl-C.
`;

const { values, usage, number } = readOptions('timing', HELP, {
  calls: { type: 'string', default: '27600' },
  pairs: { type: 'string' },
  seed: { type: 'string', default: '1' },
  'after-ms': { type: 'string', default: '10' },
  'computing-ms': { type: 'string', default: '40' },
  fresh: { type: 'string', default: '0.03' },
  json: { type: 'boolean', default: false },
  planted: { type: 'boolean', default: false },
});

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const mention = (line: string): void => void process.stderr.write(`timing: ${line}\n`);

function pairsOf(text: string | undefined): readonly PairName[] {
  if (text === undefined) return PAIR_NAMES;
  const parts = text.split(',').map((part) => part.trim().toLowerCase());
  const found = PAIR_NAMES.filter((name) => parts.some((part) => name.toLowerCase().includes(part)));
  return found.length > 0 ? found : usage(`no such pair; there are: ${PAIR_NAMES.join(', ')}`);
}

const interrupted = new AbortController();
// Again and again: under npm a Ctrl-C comes twice, and what was made is removed in between.
for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => interrupted.abort());

const options: Trial = {
  calls: number('calls', values.calls, { least: 1_000, whole: true }),
  pairs: pairsOf(values.pairs),
  times: {
    quick: number('after-ms', values['after-ms'], { least: 5 }),
    computing: number('computing-ms', values['computing-ms'], { least: 5 }),
  },
  fresh: number('fresh', values.fresh, { least: 0, most: 1 }),
  signal: interrupted.signal,
  random: createPrng(number('seed', values.seed, { least: 0, whole: true })),
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
