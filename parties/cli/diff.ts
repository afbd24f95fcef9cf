import { canonicalPolicyText, toCanonicalPolicy } from '../../policies/canonical.ts';
import { policyDigest } from '../../policies/digest.ts';
import { diffPolicies, type PolicyDiff } from '../../policies/diff.ts';
import type { CanonicalPolicy, Policy } from '../../policies/model.ts';
import { printableLines } from '../printable.ts';
import { usage } from './arguments.ts';
import { readPolicyArguments } from './policy-arguments.ts';
import { readAgreement } from './policy-files.ts';
import { wrap } from './render-policy.ts';
import type { Verb } from './verb.ts';

const HELP = `usage: accord diff BEFORE AFTER [--trust FILE] [--json]
       accord diff [--trust FILE] [--json] BEFORE [PART…] -- AFTER [PART…]

Says what a change of policy means for each party.

  BEFORE, AFTER  two policies, YAML or JSON, or the canonical policies of images
  PART           further files of the same policy
  --trust FILE   a local stand-in for AWS, composed into both
  --json         {same, changes: [{path, before, after}], everyone: [text], parties: {name: [text]}}

Exit codes: 0 compared, 2 called wrongly, 20 a policy that this version does not enforce, 30 a policy with faults.
`;

export const verb: Verb = {
  help: HELP,
  async run(argv, io) {
    const { before, after, trust, json } = readSides(argv);
    const [old, next] = await inOneForm(await readAgreement(io, before, trust), await readAgreement(io, after, trust));
    const beforeDigest = await policyDigest(canonicalPolicyText(await toCanonicalPolicy(old)));
    const diff = diffPolicies(old, next, { beforeDigest });
    io.out(json ? `${JSON.stringify(diff)}\n` : printableLines(render(diff)));
    return 0;
  },
};

type Agreement = Policy | CanonicalPolicy;

/** Where an image's policy has the hash of an ARN and the other the ARN itself, both are compared by their hashes. */
async function inOneForm(before: Agreement, after: Agreement): Promise<readonly [Agreement, Agreement]> {
  const isCanonical = ({ parties }: Agreement): boolean => Object.values(parties).some((party) => 'kmsKey' in party);
  if (isCanonical(before) === isCanonical(after)) return [before, after];
  return [await toCanonicalPolicy(before), await toCanonicalPolicy(after)];
}

type Files = readonly [string, ...string[]];

/** Without `--` a file a side; with it, all that stands before it and all that stands after it. */
function readSides(argv: readonly string[]): {
  readonly before: Files;
  readonly after: Files;
  readonly trust: string | undefined;
  readonly json: boolean;
} {
  const split = argv.indexOf('--');
  const { files, trust, json } = readPolicyArguments('diff', split === -1 ? argv : argv.slice(0, split));
  const [[before, ...beforeParts], [after, ...afterParts]] =
    split === -1 ? [files.slice(0, 1), files.slice(1, 2)] : [files, argv.slice(split + 1)];
  if (before === undefined || after === undefined) throw usage('diff', 'it takes two policies: BEFORE AFTER');
  if (split === -1 && files[2] !== undefined) {
    throw usage('diff', `"${files[2]}" is one argument too many; policies of several files are parted by --`);
  }
  return { before: [before, ...beforeParts], after: [after, ...afterParts], trust, json };
}

function render({ same, changes, everyone, parties }: PolicyDiff): string {
  const items = (texts: readonly string[]): string => texts.map((text) => wrap(text, '    ', '  - ')).join('');
  if (same) return `${everyone.join('\n')}\n`;
  const rows = changes.map(
    ({ path, before, after }) => `  ${path}: ${before ?? '(absent)'} → ${after ?? '(absent)'}\n`,
  );
  const sections = Object.entries(parties).map(([name, texts]) => `\n${name}\n${items(texts)}`);
  return `What changes\n${rows.join('')}\nFor everyone\n${items(everyone)}${sections.join('')}`;
}
