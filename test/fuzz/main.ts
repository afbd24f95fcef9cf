/** Structured fuzzing of everything that reads bytes of somebody else. `HELP` says how to ask. */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { readOptions } from '../options.ts';
import { CORPUS } from './corpus.ts';
import type { Finding } from './explore.ts';
import { summaryOf } from './summary.ts';
import { supervise } from './supervise.ts';
import type { Supervision } from './supervise.ts';
import { TARGET_NAMES, isTargetName, openTarget } from './targets.ts';
import type { TargetName } from './targets.ts';

const HELP = `npm run fuzz [-- OPTIONS]

Without a target: all of them, as many at once as there are processors. Without a limit: 30 seconds each. What is found is
saved below .cache/fuzz. Ctrl-C ends those at work, with what they have counted.

  --target NAME                  one of them
  --seconds N                    so long each
  --runs N                       so many inputs each
  --seed S                       the same inputs again
  --target NAME --replay FILE    one input
  --target NAME --write-corpus   its seeds, into the corpus of the repository

Targets: ${TARGET_NAMES.join(', ')}.
Exit codes: 0 nothing was found, 1 something was, 2 usage.
`;

const { values, usage, number } = readOptions('fuzz', HELP, {
  target: { type: 'string' },
  seconds: { type: 'string' },
  runs: { type: 'string' },
  seed: { type: 'string' },
  replay: { type: 'string' },
  'write-corpus': { type: 'boolean' },
});

const program = join(import.meta.dirname, 'child.js');
const saved = join(CORPUS, '..', '..', '..', '.cache', 'fuzz');
const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interrupted.abort());

function numberOf(name: 'seconds' | 'runs' | 'seed'): number | undefined {
  const text = values[name];
  return text === undefined ? undefined : number(name, text, { least: name === 'seed' ? 0 : 1, whole: true });
}

function chosen(): readonly TargetName[] {
  const { target } = values;
  if (target === undefined) return TARGET_NAMES;
  return isTargetName(target) ? [target] : usage(`there is no target ${target}; there are ${TARGET_NAMES.join(', ')}`);
}

function save(target: string, { kind, what, input }: Finding): void {
  mkdirSync(saved, { recursive: true });
  const file = join(saved, `${target}-${kind}-${createHash('sha256').update(input).digest('hex').slice(0, 12)}`);
  writeFileSync(file, input);
  const path = relative(process.cwd(), file);
  process.stdout.write(
    `fuzz: ${target}: ${kind}: ${what.split('\n').slice(0, 6).join('\n    ')}\n` +
      `    ${input.length} bytes saved; again with: npm run fuzz -- --target ${target} --replay ${path}\n`,
  );
}

async function replay(target: TargetName, file: string): Promise<number> {
  const input = new Uint8Array(readFileSync(file));
  const { verdict, findings } = await supervise({ program, target, seed: 0, replay: input });
  const all = verdict?.is === 'finding' ? [...findings, { ...verdict, input }] : findings;
  for (const { kind, what } of all) process.stdout.write(`fuzz: ${target}: ${kind}: ${what}\n`);
  if (verdict?.is === 'taken') process.stdout.write(`fuzz: ${target}: taken (${verdict.what})\n`);
  if (verdict?.is === 'refused') process.stdout.write(`fuzz: ${target}: ${verdict.code}: ${verdict.message}\n`);
  return all.length === 0 ? 0 : 1;
}

async function writeCorpus(names: readonly TargetName[]): Promise<number> {
  for (const name of names) {
    const target = await openTarget(name);
    mkdirSync(join(CORPUS, name), { recursive: true });
    for (const [at, seed] of target.seeds.entries()) writeFileSync(join(CORPUS, name, `${at}.seed`), seed);
    await target.close?.();
    process.stdout.write(`fuzz: ${name}: ${target.seeds.length} seeds\n`);
  }
  return 0;
}

async function campaign(names: readonly TargetName[]): Promise<number> {
  const runs = numberOf('runs');
  const seconds = numberOf('seconds') ?? (runs === undefined ? 30 : undefined);
  const seed = numberOf('seed') ?? Date.now() % 2 ** 31;
  process.stdout.write(`fuzz: seed ${seed}\n`);
  let findings = 0;
  const left = [...names];
  const work = async (): Promise<void> => {
    const target = left.shift();
    if (target === undefined || interrupted.signal.aborted) return;
    const supervision: Supervision = {
      program,
      target,
      seed,
      signal: interrupted.signal,
      onFinding: (finding) => save(target, finding),
      ...(runs === undefined ? {} : { runs }),
      ...(seconds === undefined ? {} : { seconds }),
    };
    const done = await supervise(supervision);
    findings += done.findings.length;
    process.stdout.write(summaryOf(target, done));
    return work();
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  return findings === 0 ? 0 : 1;
}

const names = chosen();
const [only] = names;
if (values.replay !== undefined) {
  process.exitCode =
    names.length > 1 || only === undefined
      ? usage('--replay needs the --target whose input it is')
      : await replay(only, values.replay);
} else if (values['write-corpus'] === true) {
  process.exitCode = await writeCorpus(names);
} else {
  process.exitCode = await campaign(names);
}
