/** `accord console`: the last lines an enclave printed, and why it ended. */
import type { Verb } from '../../parties/cli/verb.ts';
import { readArguments } from '../../parties/cli/arguments.ts';
import { copyQuery, orchestratorOf, pathOf, shown } from './client.ts';

const PRODUCTION = 'a production enclave has no console: these are its life-cycle lines, and there is no more';

export const verb: Verb = {
  help: `usage: accord console ID [--copy N] [--orchestrator URL] [--json]

What a production image prints are life-cycle lines and nothing else. On the qemu host the serial console is shown too;
on the nitro host one is there in debug mode alone (\`accord up --debug\`).

  ID                  the collaboration, as \`accord run\` printed it
  --copy N            the enclave of that number, where several run (default: the first)
  --orchestrator URL  default: ACCORD_ORCHESTRATOR, else http://127.0.0.1:7400
  --json              lines, state and reason as JSON

Exit codes: 0 shown, 2 called wrongly or no such collaboration, 40 orchestrator not reached.
`,
  async run(argv, io) {
    const options = { orchestrator: { type: 'string' }, copy: { type: 'string' }, json: { type: 'boolean' } } as const;
    const { values, positionals } = readArguments('console', argv, options, ['ID']);
    const orchestrator = orchestratorOf(io, values.orchestrator);
    const path = pathOf(positionals[0] ?? '');
    const [{ lines }, { state, reason, enclave }] = await Promise.all([
      orchestrator.get(`${path}/console${copyQuery('console', values.copy)}`),
      orchestrator.get(path),
    ]);
    if (values.json === true) {
      io.out(`${JSON.stringify({ lines, state, reason })}\n`);
      return 0;
    }
    if (Array.isArray(lines)) for (const line of lines) io.out(`${shown(line)}\n`);
    if (isProduction(enclave)) io.err(`accord console: ${PRODUCTION}\n`);
    io.err(`accord console: ${shown(state)}${typeof reason === 'string' ? `: ${shown(reason)}` : ''}\n`);
    return 0;
  },
};

/** On Nitro and not in debug mode. */
function isProduction(enclave: unknown): boolean {
  if (typeof enclave !== 'object' || enclave === null || !('host' in enclave) || enclave.host !== 'nitro') return false;
  return !('isDebug' in enclave) || enclave.isDebug !== true;
}
