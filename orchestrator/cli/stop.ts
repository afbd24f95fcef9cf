/** `accord stop`: ends enclaves. What was contributed and what they sealed stays; `accord run` starts them again. */
import type { Verb } from '../../parties/cli/verb.ts';
import { readArguments } from '../../parties/cli/arguments.ts';
import { copyQuery, orchestratorOf, pathOf, shown } from './client.ts';

export const verb: Verb = {
  help: `usage: accord stop ID [--copy N] [--orchestrator URL] [--json]

Returns when nothing of the enclave is left. Contributions, sealed records and the image stay.

  ID                  the collaboration, as \`accord run\` printed it
  --copy N            that one alone, where several run (default: all)
  --orchestrator URL  default: ACCORD_ORCHESTRATOR, else http://127.0.0.1:7400
  --json              the collaboration as JSON

Exit codes: 0 stopped, 2 called wrongly or no such collaboration, 40 orchestrator not reached, or that
copy does not run.
`,
  async run(argv, io) {
    const options = { orchestrator: { type: 'string' }, copy: { type: 'string' }, json: { type: 'boolean' } } as const;
    const { values, positionals } = readArguments('stop', argv, options, ['ID']);
    const path = `${pathOf(positionals[0] ?? '')}/terminate${copyQuery('stop', values.copy)}`;
    const stopped = await orchestratorOf(io, values.orchestrator).post(path);
    io.out(
      values.json === true ? `${JSON.stringify(stopped)}\n` : `${shown(stopped['id'])}  ${shown(stopped['state'])}\n`,
    );
    return 0;
  },
};
