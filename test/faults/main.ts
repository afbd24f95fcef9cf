/** Looks for broken promises under faults, on all processors. `HELP` says how to ask. */
import { readOptions } from '../options.ts';
import { MEMBER, createCrew, serveCrew } from './crew.ts';
import type { Crew } from './crew.ts';
import { ANCHOR_KINDS } from './real/place.ts';
import { seekReal } from './real/seek.ts';
import { findOut, searchAll } from './search.ts';
import type { FoundViolation } from './seek.ts';
import { run } from './simulation/run.ts';
import { WEAKENINGS } from './weakened.ts';

/** Runs of each bent plan with its rule in force. */
const CONTROLS = 50;
const TELL_EVERY = 500;

const HELP = `npm run faults [-- OPTIONS]

  --runs N        simulated runs (default: 1000)
  --seed S        from this seed on (default: 1)
  --replay S      the trace of one run; with --rule NAME, a rule switched off
  --weakened      each rule switched off: must be found out in N runs (default: 5000); and the same plans with the rule in
                  force, which are clean; with --rule NAME, this one alone
  --real N        runs of the real programs, of each kind of anchors a third
  --anchors KIND  of one kind alone: ${ANCHOR_KINDS.join(', ')}
  --json          JSON lines

Rules: ${WEAKENINGS.map(({ name }) => name).join(', ')}.
Exit codes: 0 as it should be, 1 a violation, or a weakening that nobody noticed; 2 usage.
`;

const {
  values,
  usage,
  number: numberOf,
} = readOptions('faults', HELP, {
  runs: { type: 'string' },
  real: { type: 'string' },
  anchors: { type: 'string' },
  seed: { type: 'string', default: '1' },
  replay: { type: 'string' },
  rule: { type: 'string' },
  weakened: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  [MEMBER.slice(2)]: { type: 'boolean' },
});

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const mention = (line: string): void => void process.stderr.write(`${line}\n`);
const number = (option: 'runs' | 'real' | 'seed' | 'replay', usual: number): number => {
  const text = values[option];
  const least = option === 'runs' || option === 'real' ? 1 : 0;
  return text === undefined ? usual : numberOf(option, text, { least, whole: true });
};
const rules = WEAKENINGS.filter(({ name }) => values.rule === undefined || values.rule === name);
if (rules.length === 0) usage(`no such rule; there are ${WEAKENINGS.map(({ name }) => name).join(', ')}`);
const seed = number('seed', 1);

const tell = (violation: FoundViolation): void =>
  say(values.json ? JSON.stringify(violation) : `seed ${violation.seed}: ${violation.code}: ${violation.text}`);

async function replay(): Promise<boolean> {
  const weakening = values.rule === undefined ? undefined : rules[0];
  const { violations } = await run(number('replay', 1), { weakening, print: say });
  return violations.length === 0;
}

async function simulated(crew: Crew): Promise<boolean> {
  let told = 0;
  const total = await searchAll(crew, { firstSeed: seed, runs: number('runs', 1_000) }, tell, (done, perSecond) => {
    if (done < told + TELL_EVERY) return;
    told = done;
    mention(`${done} runs, ${perSecond.toFixed(1)} runs/s`);
  });
  if (values.json) say(JSON.stringify(total));
  else
    say(
      `${total.runs} runs from seed ${total.firstSeed}: ${total.violating} with a violation; ${total.calls} questions, ` +
        `${total.answers} answers, ${total.kills} enclaves killed, ${total.events} events; ${total.runsPerSecond} runs/s`,
    );
  return total.violating === 0;
}

async function weakened(crew: Crew): Promise<boolean> {
  let wrong = 0;
  for (const { name, text, plan } of rules) {
    const runs = number('runs', 5_000);
    const found = await findOut(crew, name, seed, runs);
    const bent = plan === undefined ? {} : { rule: name };
    const control = await searchAll(crew, { firstSeed: seed, runs: CONTROLS, ...bent }, tell);
    if (values.json) say(JSON.stringify({ rule: name, ...found, control: control.violating }));
    else if (found === undefined) say(`${name}: NOT FOUND OUT in ${runs} runs (${text})`);
    else say(`${name}: found out by seed ${found.seed}: ${found.code}: ${found.text}`);
    if (!values.json && control.violating > 0)
      say(`${name}: ${control.violating} of ${CONTROLS} runs with it in force have a violation`);
    if (found === undefined || control.violating > 0) wrong += 1;
  }
  return wrong === 0;
}

async function real(): Promise<boolean> {
  const kinds = ANCHOR_KINDS.filter((kind) => values.anchors === undefined || values.anchors === kind);
  if (kinds.length === 0) usage(`no such anchors; there are ${ANCHOR_KINDS.join(', ')}`);
  const total = await seekReal({ runs: number('real', 50), firstSeed: seed, kinds }, tell, mention);
  if (values.json) say(JSON.stringify(total));
  else {
    say(
      `${total.runs} runs of the real programs from seed ${total.firstSeed} (${JSON.stringify(total.anchors)}): ` +
        `${total.violating} with a violation; ${total.calls} questions, ${total.answers} answers; ${total.seconds} s, ` +
        `${total.runsPerSecond} runs/s, ${total.processorSecondsPerRun} s of processor time a run`,
    );
    for (const [what, times] of Object.entries(total.faults)) say(`${String(times).padStart(7)} ${what}`);
  }
  return total.violating === 0;
}

async function withCrew(work: (crew: Crew) => Promise<boolean>): Promise<boolean> {
  const crew = createCrew();
  try {
    return await work(crew);
  } finally {
    crew.end();
  }
}

async function main(): Promise<void> {
  const isFine = await (values.replay !== undefined
    ? replay()
    : values.real !== undefined
      ? real()
      : withCrew(values.weakened ? weakened : simulated));
  process.exitCode = isFine ? 0 : 1;
}

if (process.argv.includes(MEMBER)) serveCrew();
else await main();
