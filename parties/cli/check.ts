import { canonicalPolicyText, toCanonicalPolicy } from '../../policies/canonical.ts';
import { policyDigest } from '../../policies/digest.ts';
import { EXIT_CODES, Failure } from '../../policies/failure.ts';
import { explain } from '../../policies/explain.ts';
import { PolicyFailure } from '../../policies/fault.ts';
import type { Policy } from '../../policies/model.ts';
import { fitting, readMeasurements, timesFolder } from '../measure-time/measured.ts';
import type { Measurement } from '../measure-time/measured.ts';
import { usage } from './arguments.ts';
import { computingMemory, memoryMissing, needs } from './computing-needs.ts';
import { readPolicyArguments } from './policy-arguments.ts';
import { readPolicy } from './policy-files.ts';
import { renderWeakenings, wrap } from './render-policy.ts';
import type { Io, Verb } from './verb.ts';

const HELP = `usage: accord check POLICY [PART…] [--trust FILE] [--at TIME] [--home DIR] [--json]

Checks a policy: every fault at once, with line, column and what to write instead. A policy without faults is summed up,
with its digest, what computing needs, and a warning for everything that protects less than it could. Where
\`accord measure-time\` has measured a function, a release time that is shorter than computing took is a warning too.

  POLICY       the policy, YAML or JSON; - is stdin
  PART         further files of the same policy, for example one of each party; none may say what another one says
  --trust FILE a local stand-in for AWS (\`accord local-aws\` writes the file)
  --at TIME    judge as of this time instead of now
  --home DIR   where \`accord measure-time\` kept its figures (default: ACCORD_HOME, else ./.accord)
  --json       the outcome as JSON

Exit codes: 0 no fault, 2 called wrongly, 20 it asks for something this version does not enforce, 30 it has faults.
`;

export const verb: Verb = {
  help: HELP,
  async run(argv, io) {
    const { files, trust, json, at, home } = readPolicyArguments('check', argv, ['home']);
    const [file, ...parts] = files;
    if (file === undefined) throw usage('check', 'POLICY is missing');
    try {
      const policy = await readPolicy(io, [file, ...parts], trust);
      const measured = await readOrNote(timesFolder(home, io), io);
      return await reportSound(policy, { now: at ?? new Date(), measured: fitting(policy, measured) }, json, io);
    } catch (error) {
      if (!(json && error instanceof PolicyFailure)) throw error;
      const { code, message, where, hint, faults } = error;
      io.out(`${JSON.stringify({ valid: false, error: { code, message, where, hint }, faults })}\n`);
      return EXIT_CODES[error.kind];
    }
  },
};

/** What was measured is a help here: where it cannot be read, that is said, and the policy is checked all the same. */
async function readOrNote(folder: string, io: Io): Promise<readonly Measurement[]> {
  try {
    return await readMeasurements(folder);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const hint = error.hint === undefined ? '' : `\n  ${error.hint}`;
    io.err(`note: release times were not compared with measured ones: ${error.message}${hint}\n`);
    return [];
  }
}

interface Appraisal {
  readonly now: Date;
  readonly measured: Readonly<Record<string, Measurement>>;
}

async function reportSound(policy: Policy, appraisal: Appraisal, json: boolean, io: Io): Promise<number> {
  const canonicalText = canonicalPolicyText(await toCanonicalPolicy(policy));
  const digest = await policyDigest(canonicalText);
  const { title, sentences, weakenings, information } = explain(policy, appraisal);
  const { measured } = appraisal;
  const memory = computingMemory(policy);
  if (json) {
    const { collaboration, until } = policy;
    const parties = Object.keys(policy.parties);
    const summary = { valid: true, collaboration, until, parties, policyDigest: digest };
    const judged = { inWords: sentences, weakenings, information, measured, memory };
    io.out(`${JSON.stringify({ ...summary, canonicalBytes: canonicalText.length, ...judged })}\n`);
    return 0;
  }
  io.out(`${title}\n\n${sentences.map((sentence) => wrap(sentence, '    ', '  - ')).join('')}\n`);
  io.out(
    `What computing needs:\n${needs(policy, memory, measured)
      .map((line) => wrap(line, '    ', '  - '))
      .join('')}\n`,
  );
  const missing = memoryMissing(policy, memory);
  if (missing !== undefined) io.out(`${wrap(missing, '    ', '  ! ')}\n`);
  io.out(renderWeakenings(weakenings));
  io.out(`\nNo fault. Policy digest (SHA-384): ${digest}\n`);
  return 0;
}
