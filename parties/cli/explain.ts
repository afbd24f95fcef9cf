import { explain } from '../../policies/explain.ts';
import { usage } from './arguments.ts';
import { readPolicyArguments } from './policy-arguments.ts';
import { readAgreement } from './policy-files.ts';
import { renderWeakenings, wrap } from './render-policy.ts';
import type { Verb } from './verb.ts';

const HELP = `usage: accord explain POLICY [PART…] [--trust FILE] [--at TIME] [--json]

Says in plain words who may do what and who learns what, party by party, and what protects less than it could.

  POLICY       the policy, YAML or JSON, or the canonical policy of an image; - is stdin
  PART         further files of the same policy
  --trust FILE a local stand-in for AWS
  --at TIME    judge as of this time instead of now
  --json       {title, sections: [{heading, sentences}], weakenings: [{code, text}],
               information: {function: {bitsPerCall, parties: {name: {calls, bits}}, answerBits}}}

Exit codes: 0 explained, 2 called wrongly, 20 a policy that this version does not enforce, 30 a policy with faults.
`;

export const verb: Verb = {
  help: HELP,
  async run(argv, io) {
    const { files, trust, json, at } = readPolicyArguments('explain', argv);
    const [file, ...parts] = files;
    if (file === undefined) throw usage('explain', 'POLICY is missing');
    const policy = await readAgreement(io, [file, ...parts], trust);
    const { title, sections, weakenings, information } = explain(policy, { now: at ?? new Date() });
    if (json) {
      io.out(`${JSON.stringify({ title, sections, weakenings, information })}\n`);
      return 0;
    }
    io.out(`${title}\n`);
    for (const { heading, sentences } of sections) {
      io.out(`\n${heading}\n${sentences.map((sentence) => wrap(sentence, '    ', '  - ')).join('')}`);
    }
    io.out(`\n${renderWeakenings(weakenings)}`);
    return 0;
  },
};
