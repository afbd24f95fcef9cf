/** `accord status`: one collaboration, as the orchestrator sees it. */
import { readArguments } from '../../parties/cli/arguments.ts';
import type { Verb } from '../../parties/cli/verb.ts';
import { jsonFields } from '../../parties/json-fields.ts';
import type { Fields } from '../../parties/json-fields.ts';
import { orchestratorOf, pathOf, shown } from './client.ts';
import type { ClientCode } from './client.ts';

const ANSWER: ClientCode = 'cli/answer';

export const verb: Verb = {
  help: `usage: accord status ID [--orchestrator URL] [--json]

Tells which enclaves of a collaboration run, what does not hold their jails, whether their sealed state is open, whose anchors
have a credential, what was contributed, and how much sealed state is stored here. Relayed, not verified: a party asks its own
verified enclave and its own anchor (\`accord quota\`).

  ID                  the collaboration, as \`accord run\` printed it
  --orchestrator URL  default: ACCORD_ORCHESTRATOR, else http://127.0.0.1:7400
  --json              the whole collaboration as JSON

Exit codes: 0 shown, 2 called wrongly or no such collaboration, 40 orchestrator not reached.
`,
  async run(argv, io) {
    const options = { orchestrator: { type: 'string' }, json: { type: 'boolean' } } as const;
    const { values, positionals } = readArguments('status', argv, options, ['ID']);
    const answer = await orchestratorOf(io, values.orchestrator).get(pathOf(positionals[0] ?? ''));
    io.out(values.json === true ? `${JSON.stringify(answer)}\n` : render(jsonFields(answer, ANSWER, 'the answer')));
    return 0;
  },
};

function render(found: Fields): string {
  const reason = found.optionalText('reason');
  const records = found.fields('records');
  const rows: readonly (readonly [string, string])[] = [
    ['collaboration', shown(found.text('id'))],
    ['state', shown(found.text('state')) + (reason === undefined ? '' : ` (${shown(reason)})`)],
    ...found.list('enclaves').flatMap((one) => renderedEnclave(one)),
    ...found.list('anchors').map((one) => ['anchor', renderAnchor(one)] as const),
    ...found.list('contributions').map((one) => ['contribution', renderContribution(one)] as const),
    ['sealed state', `${records.count('records')} records of ${records.count('bytes')} bytes`],
  ];
  return rows.map(([name, value]) => `${name.padEnd(14)} ${value}\n`).join('');
}

function renderedEnclave(one: Fields): readonly (readonly [string, string])[] {
  const missing: unknown = new Map(one.entries()).get('unconfined');
  const words = Array.isArray(missing) ? missing.map(shown) : [];
  return [
    [`enclave ${one.count('copy')}`, renderEnclave(one)],
    ...words.map((word): readonly [string, string] => ['  weakened', word]),
  ];
}

function renderEnclave(one: Fields): string {
  const sealed = one.optionalFields('sealedState');
  const where = `${shown(one.text('id'))} on ${shown(one.text('host'))}`;
  if (sealed === undefined) return where;
  const names = new Map(sealed.entries()).get('parties');
  const parties = Array.isArray(names) && names.length > 0 ? ` (${names.map(shown).join(', ')})` : '';
  const why = sealed.optionalText('reason');
  return `${where}; sealed state: ${shown(sealed.text('state'))}${parties}${why === undefined ? '' : `, ${shown(why)}`}`;
}

const CREDENTIAL: Readonly<Record<string, string>> = {
  contributed: 'its credential is here, sealed',
  missing: 'its credential is missing: its owner gives it with `accord anchor contribute`',
  'not-needed': 'a folder, on the local host alone',
};

function renderAnchor(one: Fields): string {
  return `of ${shown(one.text('owner'))}: ${CREDENTIAL[one.text('credential')] ?? ''}`;
}

function renderContribution(one: Fields): string {
  return `${shown(one.text('function'))}: ${one.count('bytes')} bytes as encrypted, with SHA-256 ${shown(one.text('sha256'))}`;
}
