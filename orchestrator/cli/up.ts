/** `accord up`: the orchestrator, in the foreground, until Ctrl-C. */
import { resolve } from 'node:path';
import type { Verb } from '../../parties/cli/verb.ts';
import { Failure } from '../../policies/failure.ts';
import { isLoopback } from '../guard.ts';
import { readArguments, readNumber, usage } from '../../parties/cli/arguments.ts';
import { stopped, timeToStop, UNTIL_EOF_HELP } from './service.ts';

export type UpCode = 'cli/host';

const DEFAULT_PORT = '7400';
const DEFAULT_DATA = '.accord/orchestrator';

export const verb: Verb = {
  help: `usage: accord up --local-aws DIR [--data DIR] [--port N] [--listen ADDRESS] [--host local] [--run-dir DIR]
                 [--until-eof] [--json]

Serves until Ctrl-C, then stops every enclave it started.

  --local-aws DIR    data folder of a running \`accord local-aws\` (default: ACCORD_LOCAL_AWS)
  --data DIR         what it remembers; one process a folder (default: ${DEFAULT_DATA})
  --port N           0 takes any free one (default: ${DEFAULT_PORT})
  --listen ADDRESS   default 127.0.0.1; there is no access control beyond the address, so think twice
  --host local       where enclaves run: as child processes of this machine, for trying it out
  --until-eof        ${UNTIL_EOF_HELP}
  --run-dir DIR      where enclaves are unpacked; must not lie below a node_modules folder
  --json             the address as one line of JSON

Exit codes: 0 ended with stdin (--until-eof), 2 called wrongly, 20 a host of a later version, 40 port or folder in use, disk,
130 stopped by Ctrl-C.
`,
  async run(argv, io) {
    const { values } = readArguments('up', argv, {
      'local-aws': { type: 'string' },
      data: { type: 'string', default: DEFAULT_DATA },
      port: { type: 'string', default: DEFAULT_PORT },
      listen: { type: 'string', default: '127.0.0.1' },
      host: { type: 'string', default: 'local' },
      'run-dir': { type: 'string' },
      'until-eof': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    });
    demandLocalHost(values.host);
    const localAws = values['local-aws'] ?? io.env['ACCORD_LOCAL_AWS'];
    if (localAws === undefined) throw usage('up', '--local-aws is missing: the local host needs an AWS in miniature');
    if (!isLoopback(values.listen)) {
      io.err(`accord up: warning: everybody who reaches ${values.listen} can start and stop collaborations\n`);
    }
    const { startOrchestrator } = await import('../main.ts');
    io.err('accord up: opening the data folder…\n');
    const runFolder = values['run-dir'];
    const orchestrator = await startOrchestrator({
      dataFolder: resolve(io.cwd, values.data),
      localAwsFolder: resolve(io.cwd, localAws),
      port: readNumber('up', 'port', values.port, 65_535),
      address: values.listen,
      runFolder: runFolder === undefined ? undefined : resolve(io.cwd, runFolder),
      now: () => new Date(),
      log: (line) => io.err(`accord up: ${line}\n`),
    });
    try {
      const { url } = orchestrator;
      io.out(values.json ? `${JSON.stringify({ url, pid: process.pid })}\n` : `${url}\n`);
      io.err('accord up: serving; stop with Ctrl-C\n');
      await timeToStop(io, values['until-eof']);
    } finally {
      io.err('accord up: stopping enclaves…\n');
      await orchestrator.close();
    }
    return stopped(io);
  },
};

function demandLocalHost(host: string): void {
  if (host === 'local') return;
  if (host === 'qemu' || host === 'nitro') {
    throw new Failure<UpCode>('unsupported', 'cli/host', `this version does not run enclaves on the ${host} host yet`, {
      hint: 'use --host local',
    });
  }
  throw usage('up', `--host takes local, not "${host}"`);
}
