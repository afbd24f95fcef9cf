/** `accord ps`: what the orchestrator has. */
import type { Verb } from '../../parties/cli/verb.ts';
import { readArguments } from '../../parties/cli/arguments.ts';
import { jsonFields } from '../../parties/json-fields.ts';
import { orchestratorOf, shown } from './client.ts';
import type { ClientCode } from './client.ts';

const ANSWER: ClientCode = 'cli/answer';

export const verb: Verb = {
  help: `usage: accord ps [--orchestrator URL] [--json]

Lists each collaboration with its state and, while it runs, how many enclaves of it on what kind of host: local, qemu or
nitro. \`accord status ID\` tells more of one.

  --orchestrator URL  default: ACCORD_ORCHESTRATOR, else http://127.0.0.1:7400
  --json              the list as JSON

Exit codes: 0 listed, 2 called wrongly, 40 orchestrator not reached.
`,
  async run(argv, io) {
    const options = { orchestrator: { type: 'string' }, json: { type: 'boolean' } } as const;
    const { values } = readArguments('ps', argv, options);
    const answer = await orchestratorOf(io, values.orchestrator).get('/v1/collaborations');
    if (values.json === true) {
      io.out(`${JSON.stringify(answer)}\n`);
      return 0;
    }
    const listed = jsonFields(answer, ANSWER, 'the answer').list('collaborations');
    if (listed.length === 0) io.err('no collaboration yet; start one with `accord run POLICY`\n');
    for (const one of listed) {
      const reason = one.optionalText('reason');
      const why = reason === undefined ? '' : `  (${shown(reason)})`;
      const host = one.optionalText('host');
      const copies = one.count('copies');
      const where = host === undefined ? '' : `${copies > 1 ? ` as ${copies} copies` : ''} on ${shown(host)}`;
      io.out(`${shown(one.text('id'))}  ${shown(one.text('state'))}${where}${why}\n`);
    }
    return 0;
  },
};
