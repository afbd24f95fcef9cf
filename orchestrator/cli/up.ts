/** `accord up`: the orchestrator, in the foreground, until Ctrl-C. */
import { resolve } from 'node:path';
import { defaultCacheDir } from '../../build/cache.ts';
import type { Io, Verb } from '../../parties/cli/verb.ts';
import type { FindCredentials } from '../relay/launch-information.ts';
import { isLoopback } from '../guard.ts';
import { readArguments, readNumber, usage } from '../../parties/cli/arguments.ts';
import { engineOption } from '../../parties/cli/engine-option.ts';
import { HOST_NAMES } from '../hosts/names.ts';
import type { HostName } from '../hosts/names.ts';
import { stopped, timeToStop, UNTIL_EOF_HELP } from './service.ts';

const DEFAULT_PORT = '7400';
const DEFAULT_DATA = '.accord/orchestrator';

const OPTIONS = {
  'local-aws': { type: 'string' },
  data: { type: 'string', default: DEFAULT_DATA },
  port: { type: 'string', default: DEFAULT_PORT },
  listen: { type: 'string', default: '127.0.0.1' },
  host: { type: 'string', default: 'local' },
  debug: { type: 'boolean', default: false },
  engine: { type: 'string' },
  base: { type: 'string' },
  blobs: { type: 'string' },
  'run-dir': { type: 'string' },
  'enclave-role-credentials': { type: 'boolean', default: false },
  'until-eof': { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
} as const;

export const verb: Verb = {
  help: `usage: accord up [--host local|qemu] --local-aws DIR [--data DIR] [--port N] [--listen ADDRESS] [--run-dir DIR]
       accord up --host nitro [--debug] [--data DIR] [--port N] [--listen ADDRESS]

Serves until Ctrl-C, then stops every enclave it started.

  --host local       enclaves are processes of this machine, for trying it out (default)
  --host qemu        the real image in QEMU's Nitro machine; needs \`npm run setup:qemu\` once
  --host nitro       the real image in an enclave of this EC2 instance, by nitro-cli; policies must trust AWS
  --local-aws DIR    with local and qemu: data folder of a running \`accord local-aws\` (default: ACCORD_LOCAL_AWS)
  --debug            with nitro: enclaves in debug mode, with a console, for test data alone: their measurements are zeros
  --engine NAME      with qemu and nitro: docker, buildah or podman builds the images (default: the first that works)
  --base IMAGE       with qemu and nitro: their base, NAME@sha256:…, in place of the one made from locked packages
  --blobs DIR        with qemu and nitro: AWS's kernel and init in place of Accord's, as nitro-cli ships them
  --data DIR         what it remembers; one process a folder (default: ${DEFAULT_DATA})
  --port N           0 takes any free one (default: ${DEFAULT_PORT})
  --listen ADDRESS   default 127.0.0.1; there is no access control beyond the address, so think twice
  --enclave-role-credentials
                     lend enclaves this machine's own role (the SDK's credential chain), so that sealed state opens and stays
                     open without the parties; their key policies must name the role. Default: parties bring their own
  --until-eof        ${UNTIL_EOF_HELP}
  --run-dir DIR      with local and qemu: where enclaves are unpacked and run; must not lie below a node_modules folder
  --json             the address as one line of JSON: {url, pid, host}

Exit codes: 0 ended with stdin (--until-eof), 2 called wrongly, 20 a host that is not for this platform, 40 port or folder in
use, disk, no QEMU or no enclaves on this machine, 130 stopped by Ctrl-C.
`,
  async run(argv, io) {
    const { values } = readArguments('up', argv, OPTIONS);
    const host = hostOf(values.host);
    demandFitting(host, values);
    const localAws = host === 'nitro' ? undefined : (values['local-aws'] ?? io.env['ACCORD_LOCAL_AWS']);
    if (host !== 'nitro' && localAws === undefined) {
      throw usage('up', `--local-aws is missing: the ${host} host needs an AWS in miniature`);
    }
    const engine = engineOption('up', values.engine);
    const port = readNumber('up', 'port', values.port, 65_535);
    if (!isLoopback(values.listen)) {
      io.err(`accord up: warning: everybody who reaches ${values.listen} can start and stop collaborations\n`);
    }
    if (values.debug) {
      io.err('accord up: warning: enclaves in debug mode keep no secrets; they take test data and nothing else\n');
    }
    const findCredentials = values['enclave-role-credentials'] ? await hostRole(io) : undefined;
    const { startOrchestrator } = await import('../main.ts');
    io.err('accord up: opening the data folder…\n');
    const path = (value: string | undefined): string | undefined => value && resolve(io.cwd, value);
    const orchestrator = await startOrchestrator({
      dataFolder: resolve(io.cwd, values.data),
      host,
      localAwsFolder: path(localAws),
      port,
      address: values.listen,
      runFolder: path(values['run-dir']),
      image: { engine, base: values.base, blobs: path(values.blobs) },
      nitro: { isDebug: values.debug },
      cacheDir: defaultCacheDir(io.env),
      findCredentials,
      now: () => new Date(),
      log: (line) => io.err(`accord up: ${line}\n`),
    });
    try {
      const { url } = orchestrator;
      io.out(values.json ? `${JSON.stringify({ url, pid: process.pid, host })}\n` : `${url}\n`);
      io.err(`accord up: serving, with enclaves on the ${host} host; stop with Ctrl-C\n`);
      await timeToStop(io, values['until-eof']);
    } finally {
      io.err('accord up: stopping enclaves…\n');
      await orchestrator.close();
    }
    return stopped(io);
  },
};

/** Where no Region is set, that of STS's oldest endpoint: only the chain's own STS calls go there. */
const ANY_REGION = 'us-east-1';

async function hostRole(io: Io): Promise<FindCredentials> {
  const { openRoleCredentials } = await import('../role-credentials.ts');
  const region = io.env['AWS_REGION'] ?? io.env['AWS_DEFAULT_REGION'] ?? ANY_REGION;
  return openRoleCredentials({ region, env: io.env }, (line) => io.err(`accord up: ${line}\n`));
}

function hostOf(text: string): HostName {
  const host = HOST_NAMES.find((name) => name === text);
  if (host === undefined) throw usage('up', `--host takes ${HOST_NAMES.join(', ')}, not "${text}"`);
  return host;
}

/** An option that the host has no use for is a mistake, not a wish. */
function demandFitting(host: HostName, values: Readonly<Record<string, unknown>>): void {
  const ONLY: Readonly<Record<string, readonly HostName[]>> = {
    'local-aws': ['local', 'qemu'],
    'run-dir': ['local', 'qemu'],
    engine: ['qemu', 'nitro'],
    base: ['qemu', 'nitro'],
    blobs: ['qemu', 'nitro'],
    debug: ['nitro'],
  };
  for (const [option, hosts] of Object.entries(ONLY)) {
    const isGiven = values[option] !== undefined && values[option] !== false;
    if (isGiven && !hosts.includes(host)) {
      throw usage('up', `--${option} goes with --host ${hosts.join(' or ')}, not with --host ${host}`);
    }
  }
}
