/** `accord ps`: what the orchestrator has. */
import type { Verb } from '../../parties/cli/verb.ts';
import { readArguments } from '../../parties/cli/arguments.ts';
import { orchestratorOf, shown } from './client.ts';

export const verb: Verb = {
  help: `usage: accord ps [--orchestrator URL] [--json]

  --orchestrator URL  default: ACCORD_ORCHESTRATOR, else http://127.0.0.1:7400
  --json              the list as JSON
`,
  async run(argv, io) {
    const options = { orchestrator: { type: 'string' }, json: { type: 'boolean' } } as const;
    const { values } = readArguments('ps', argv, options);
    const answer = await orchestratorOf(io, values.orchestrator).get('/v1/collaborations');
    if (values.json === true) {
      io.out(`${JSON.stringify(answer)}\n`);
      return 0;
    }
    const listed: readonly unknown[] = Array.isArray(answer['collaborations']) ? answer['collaborations'] : [];
    if (listed.length === 0) io.err('no collaboration yet; start one with `accord run POLICY`\n');
    for (const one of listed) {
      const fields =
        typeof one === 'object' && one !== null
          ? new Map<string, unknown>(Object.entries(one))
          : new Map<string, unknown>();
      const reason = fields.get('reason');
      io.out(
        `${shown(fields.get('id'))}  ${shown(fields.get('state'))}${typeof reason === 'string' ? `  (${shown(reason)})` : ''}\n`,
      );
    }
    return 0;
  },
};
