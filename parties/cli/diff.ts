import { diffPolicies, type PolicyDiff } from '../../policies/diff.ts';
import { usage } from './arguments.ts';
import { readPolicyArguments } from './policy-arguments.ts';
import { readAgreement } from './policy-files.ts';
import { wrap } from './render-policy.ts';
import type { Verb } from './verb.ts';

const HELP = `usage: accord diff BEFORE AFTER [--trust FILE] [--json]

Says what a change of policy means for each party.

  BEFORE, AFTER  two policies, YAML or JSON, or the canonical policies of images
  --trust FILE   a local stand-in for AWS, composed into both
  --json         {same, changes: [{path, before, after}], everyone: [text], parties: {name: [text]}}
`;

export const verb: Verb = {
  help: HELP,
  async run(argv, io) {
    const { files, trust, json } = readPolicyArguments('diff', argv);
    const [before, after, ...more] = files;
    if (before === undefined || after === undefined) throw usage('diff', 'it takes two policies: BEFORE AFTER');
    if (more.length > 0) throw usage('diff', `"${more[0]}" is one argument too many`);
    const old = await readAgreement(io, [before], trust);
    const diff = diffPolicies(old, await readAgreement(io, [after], trust));
    io.out(json ? `${JSON.stringify(diff)}\n` : render(diff));
    return 0;
  },
};

function render({ same, changes, everyone, parties }: PolicyDiff): string {
  const items = (texts: readonly string[]): string => texts.map((text) => wrap(text, '    ', '  - ')).join('');
  if (same) return `${everyone.join('\n')}\n`;
  const rows = changes.map(
    ({ path, before, after }) => `  ${path}: ${before ?? '(absent)'} → ${after ?? '(absent)'}\n`,
  );
  const sections = Object.entries(parties).map(([name, texts]) => `\n${name}\n${items(texts)}`);
  return `What changes\n${rows.join('')}\nFor everyone\n${items(everyone)}${sections.join('')}`;
}
