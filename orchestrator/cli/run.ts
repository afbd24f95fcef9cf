/** `accord run`: from a policy to a running enclave, through the orchestrator. */
import { readPolicy } from '../../parties/cli/policy-files.ts';
import type { Io, Verb } from '../../parties/cli/verb.ts';
import { Failure } from '../../policies/failure.ts';
import { weakenings } from '../../policies/weakenings.ts';
import { writtenPolicy } from '../../policies/written.ts';
import { readArguments, readNumber, usage } from '../../parties/cli/arguments.ts';
import { MOST_COPIES } from '../fleet.ts';
import { orchestratorOf, shown } from './client.ts';
import type { Answer, OrchestratorClient } from './client.ts';

export type RunCode = 'cli/build-failed' | 'cli/orchestrator-stopped';

const OPTIONS = {
  trust: { type: 'string' },
  orchestrator: { type: 'string' },
  'no-launch': { type: 'boolean' },
  copies: { type: 'string', default: '1' },
  json: { type: 'boolean' },
} as const;

export const verb: Verb = {
  help: `usage: accord run POLICY [PART…] [--trust FILE] [--copies N] [--orchestrator URL] [--no-launch] [--json]

Gives the policy to the orchestrator, waits for its image, and starts the enclave. The same policy again is the same
collaboration: what is built is not built again, what runs is left running. With \`anchors\` in the policy it may run as
several enclaves at once, which share its quotas and its state.

  POLICY              the policy, YAML or JSON; - is stdin
  PART                further files of the same policy, for example one of each party
  --trust FILE        the trust file that \`accord local-aws\` wrote
  --orchestrator URL  default: ACCORD_ORCHESTRATOR, else http://127.0.0.1:7400
  --copies N          so many enclaves of the one image, 1 to ${MOST_COPIES} (default: 1, or as many as run)
  --no-launch         build only
  --json              the outcome as JSON

What the orchestrator prints is relayed. Each party measures for itself (\`accord build\`, \`accord measure\`) before it pins.

Exit codes: 0 it runs, 2 called wrongly, 10 the policy trusts another root than the host's, 20 a policy that this version
does not enforce, 30 a policy with faults, 40 the build failed, or orchestrator not reached (run it again).
`,
  async run(argv, io) {
    const { values, positionals } = readArguments('run', argv, OPTIONS, 'any');
    const [first, ...parts] = positionals;
    if (first === undefined) throw usage('run', 'POLICY is missing');
    const copies = readNumber('run', 'copies', values.copies, MOST_COPIES, 1);
    const policy = await readPolicy(io, [first, ...parts], values.trust);
    const over = weakenings(policy, { now: new Date() }).find(({ code }) => code === 'expired');
    if (over !== undefined) io.err(`accord run: warning: ${over.text}\n`);
    const orchestrator = orchestratorOf(io, values.orchestrator);
    if (copies > 1 && policy.anchors === 'none') io.err(`accord run: warning: ${NO_ANCHORS}\n`);
    const created = await orchestrator.post('/v1/collaborations', { policy: writtenPolicy(policy) });
    const path = `/v1/collaborations/${encodeURIComponent(shown(created['id']))}`;
    if (created['state'] === 'building') await telling(BUILDS_ON, followBuild(orchestrator, path, io), io);
    if (values['no-launch'] !== true) io.err(`accord run: ${startOf(created, copies)}\n`);
    const result =
      values['no-launch'] === true
        ? await orchestrator.get(path)
        : await telling(STARTS_ON, orchestrator.post(`${path}/launch?copies=${copies}`), io);
    io.out(values.json === true ? `${JSON.stringify(result)}\n` : describe(result));
    if (values.json !== true && values['no-launch'] !== true) io.err(nextOf(result, orchestrator.url));
    return 0;
  },
};

const BUILDS_ON = 'the orchestrator goes on building, and starts nothing: run the same command again for that';
const STARTS_ON =
  'the orchestrator goes on starting the enclave: `accord ps` tells when it runs, `accord stop` ends it';

/** On Ctrl-C says what becomes of that which is no longer waited for. */
async function telling<T>(what: string, work: Promise<T>, io: Io): Promise<T> {
  const tell = (): void => io.err(`\naccord run: ${what}\n`);
  io.signal.addEventListener('abort', tell, { once: true });
  try {
    return await work;
  } finally {
    io.signal.removeEventListener('abort', tell);
  }
}

const NO_ANCHORS =
  'without anchors each copy counts calls by itself: two copies give every party twice the calls of the policy';

/** What the launch is going to do. `copies` in the answer: how many run. */
function startOf({ copies: running }: Answer, wanted: number): string {
  if (typeof running !== 'number' || running === 0) return 'starting the enclave…';
  if (running >= wanted) return 'it runs already';
  return `${running} of ${wanted} enclaves run already; starting the others…`;
}

function nextOf({ id, host }: Answer, url: string): string {
  const target = host === 'local' ? ' --target local' : '';
  return (
    'Next: each party builds the policy for itself, lets its key open to the image, and makes its home:\n' +
    `  accord build POLICY …${target} -o DIR\n` +
    '  accord key-policy --key ARN --measurements DIR/measurements.json --profile NAME --apply\n' +
    `  accord init --party NAME --profile NAME --key ARN --measurements DIR/measurements.json --orchestrator ${url} --collaboration ${shown(id)}\n`
  );
}

/** Progress on stderr until the image is there. */
async function followBuild(orchestrator: OrchestratorClient, path: string, io: Io): Promise<void> {
  let last = '';
  for await (const { event, data } of orchestrator.events(`${path}/events`)) {
    if (event === 'progress') {
      const line = progressLine(data);
      if (io.interactive) io.err(`\r\u001B[Kaccord run: ${line}`);
      else if (shown(data['text']) !== last) io.err(`accord run: ${shown(data['text'])}…\n`);
      last = shown(data['text']);
      continue;
    }
    if (data['state'] === 'building') continue;
    if (io.interactive && last !== '') io.err('\r\u001B[K');
    if (data['state'] !== 'failed') return;
    throw new Failure<RunCode>('environment', 'cli/build-failed', shown(data['reason']), {
      hint: 'mend what it says and run the same command again',
    });
  }
  throw new Failure<RunCode>(
    'environment',
    'cli/orchestrator-stopped',
    'the orchestrator stopped before the image was built',
    {
      where: orchestrator.url,
      hint: 'start it again (`accord up`) and run the same command again: it goes on',
    },
  );
}

function progressLine(data: Answer): string {
  const { done, total } = data;
  const percent =
    typeof done === 'number' && typeof total === 'number' && total > 0 ? Math.floor((100 * done) / total) : undefined;
  return `${shown(data['text'])}${percent === undefined ? '…' : ` ${percent} %`}`;
}

function describe(collaboration: Answer): string {
  const measurements = collaboration['measurements'];
  const pcrs = typeof measurements === 'object' && measurements !== null ? Object.entries(measurements) : [];
  const rows: readonly (readonly [string, unknown])[] = [
    ['collaboration', collaboration['id']],
    ['state', collaboration['state']],
    ['enclaves', collaboration['copies']],
    ['policy digest', collaboration['policyDigest']],
    ...pcrs,
  ];
  return rows.map(([name, value]) => `${name.padEnd(14)} ${shown(value)}\n`).join('');
}
