/**
 * Looks for broken promises under faults.
 *
 *     npm run faults -- [--runs N] [--seed S] [--json]     N simulated runs (default 1,000), from seed S (default 1)
 *     npm run faults -- --replay S [--rule NAME]           the trace of one run; with a rule switched off
 *     npm run faults -- --weakened [--runs N] [--rule NAME]  each rule switched off: must be found out in N runs (5,000)
 *     npm run faults -- --real N [--seed S] [--anchors folder|s3]  N runs of the real programs (default: half and half)
 *
 * Exit codes: 0 as it should be, 1 a violation, or a weakening that nobody noticed; 2 usage.
 */
import { parseArgs } from 'node:util';
import { seekReal } from './real/seek.ts';
import type { FoundViolation } from './seek.ts';
import { findOut, seek } from './seek.ts';
import { run } from './simulation/run.ts';
import { WEAKENINGS } from './weakened.ts';

const { values } = parseArgs({
  options: {
    runs: { type: 'string' },
    real: { type: 'string' },
    anchors: { type: 'string' },
    seed: { type: 'string', default: '1' },
    replay: { type: 'string' },
    rule: { type: 'string' },
    weakened: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const number = (text: string | undefined, usual: number): number => {
  const value = text === undefined ? usual : Number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  process.stderr.write(`not a number: ${String(text)}\n`);
  process.exit(2);
};
const rules = WEAKENINGS.filter(({ name }) => values.rule === undefined || values.rule === name);
if (rules.length === 0) {
  process.stderr.write(`no such rule; there are ${WEAKENINGS.map(({ name }) => name).join(', ')}\n`);
  process.exit(2);
}
const seed = number(values.seed, 1);

const tell = (violation: FoundViolation): void =>
  say(values.json ? JSON.stringify(violation) : `seed ${violation.seed}: ${violation.code}: ${violation.text}`);

if (values.replay !== undefined) {
  const weakening = values.rule === undefined ? undefined : rules[0];
  const { violations } = await run(number(values.replay, 1), { weakening, print: say });
  process.exitCode = violations.length === 0 ? 0 : 1;
} else if (values.weakened) {
  let unnoticed = 0;
  for (const weakening of rules) {
    const found = await findOut(weakening, seed, number(values.runs, 5_000));
    if (values.json) say(JSON.stringify({ rule: weakening.name, ...found }));
    else if (found.seed === undefined)
      say(`${weakening.name}: NOT FOUND OUT in ${found.runs} runs (${weakening.text})`);
    else say(`${weakening.name}: found out by seed ${found.seed}, run ${found.runs}: ${found.code}: ${found.text}`);
    if (found.seed === undefined) unnoticed += 1;
  }
  process.exitCode = unnoticed === 0 ? 0 : 1;
} else if (values.real !== undefined) {
  const kinds = (['folder', 's3'] as const).filter((kind) => values.anchors === undefined || values.anchors === kind);
  const total = await seekReal(number(values.real, 50), seed, kinds, tell, (line) => process.stderr.write(`${line}\n`));
  if (values.json) say(JSON.stringify(total));
  else
    say(
      `${total.runs} runs of the real programs: ${total.violating} with a violation; ${total.calls} questions, ` +
        `${total.answers} answers; ${JSON.stringify(total.blows)}; ${total.seconds} s`,
    );
  process.exitCode = total.violating === 0 ? 0 : 1;
} else {
  const total = await seek(seed, number(values.runs, 1_000), tell, (done) => {
    process.stderr.write(`${done} runs\n`);
  });
  if (values.json) say(JSON.stringify(total));
  else
    say(
      `${total.runs} runs from seed ${total.firstSeed}: ${total.violating} with a violation; ${total.calls} questions, ` +
        `${total.answers} answers, ${total.kills} enclaves killed, ${total.events} events; ${total.runsPerSecond} runs/s`,
    );
  process.exitCode = total.violating === 0 ? 0 : 1;
}
