/** `accord init`: makes a party's home, and pins in it what an enclave must prove. */
import { kmsKeyArnHash, policyDigest } from '../../policies/digest.ts';
import { parseCanonicalPolicy } from '../../policies/canonical.ts';
import { Failure } from '../../policies/failure.ts';
import type { CanonicalPolicy } from '../../policies/model.ts';
import { NAME } from '../../policies/name.ts';
import { weakenings } from '../../policies/weakenings.ts';
import { quotaOf } from '../../policies/quota.ts';
import { awsRoot, localRoot } from '../attestation/verify.ts';
import type { Root } from '../attestation/verify.ts';
import { createCoordinator } from '../coordinator/client.ts';
import { demandFolderPlace } from '../files.ts';
import { homePath, openHome, writeHome } from '../home.ts';
import type { HomeConfig, Pins } from '../home.ts';
import { parseMeasurements } from '../measurements.ts';
import { defaultEnclaveRole } from '../kms/client.ts';
import { demand, readArguments, readKeyArn, usage } from './arguments.ts';
import { readRoot } from './attest-input.ts';
import { readText } from './files.ts';
import { demandKeysAccount } from './init-account.ts';
import { renderWeakenings } from './render-policy.ts';
import { stepProgress } from './progress.ts';
import type { Io, Verb } from './verb.ts';

export type InitCode =
  | 'init/other-collaboration' // the orchestrator's id is of another policy than the measurements
  | 'init/other-policy' // the orchestrator offers another policy than the measurements name
  | 'init/unknown-party'
  | 'init/other-key' // the policy gives another key to this party
  | 'init/other-root';

const HELP = `usage: accord init --party NAME --orchestrator URL --collaboration ID --key ARN --measurements FILE [options]

Makes a party's home. It pins what an enclave must prove before anything is sent to it: the measurements that you
computed yourself, and the policy that they carry. The orchestrator is asked for the policy's text and not believed: it
must have the digest in your measurements, name you, and name your key.

  --party NAME         who you are in the policy
  --orchestrator URL   for example http://127.0.0.1:7400
  --collaboration ID   as \`accord run\` printed it
  --key ARN            your KMS key
  --measurements FILE  measurements.json of your own \`accord build\` of the policy
  --enclave-role ARN   role with which the enclave calls your KMS
                       (default: arn:aws:iam::ACCOUNT:role/accord-enclave)
  --root aws|FILE      the root of attestation, where you want to name it yourself; it must be the policy's
  --profile NAME       AWS profile to use from now on (default: the SDK's credential chain)
  --home DIR           default: ACCORD_HOME, else ./.accord/NAME
  --repin              replace what is pinned and set there: you have looked at the new image
  --json               what was pinned, as JSON

Exit codes: 0 done, 2 called wrongly, 10 a check said no, 30 malformed input, 40 orchestrator not reached.
`;

export const verb: Verb = {
  help: HELP,
  async run(argv, io) {
    const options = readOptions(argv);
    const path = await homePath(options, io.env, io.cwd);
    await demandFolderPlace(path);
    const measured = await readMeasurements(io, options.measurements);
    const { text, policy } = await fetchPolicy(options, measured, io);
    await demandParty(policy, options);
    if (options.profile !== undefined) await demandKeysAccount(options.key, options.profile, io);
    const root = await rootOf(policy, options.root, io);
    const config: HomeConfig = {
      party: options.party,
      orchestrator: options.orchestrator,
      collaboration: options.collaboration,
      keyArn: options.key,
      ...(options.profile === undefined ? {} : { profile: options.profile }),
      enclaveRoleArn: options.enclaveRole ?? defaultEnclaveRole(options.key),
    };
    const outcome = await writeHome(path, { config, pins: { ...measured, root }, policyText: text }, options.repin);
    // Read back as every later verb will read it.
    const { pins } = await openHome(path);
    const weak = weakenings(policy, { now: new Date() });
    if (options.json) {
      io.out(`${JSON.stringify({ home: path, outcome, ...config, ...pins, weakenings: weak })}\n`);
      return 0;
    }
    io.out(`${path}\n`);
    io.err(`${describe(outcome, config, pins)}\n${renderWeakenings(weak)}${nextOf(policy, options)}`);
    return 0;
  },
};

interface Options {
  readonly party: string;
  readonly orchestrator: string;
  readonly collaboration: string;
  readonly key: string;
  readonly measurements: string;
  readonly enclaveRole: string | undefined;
  readonly root: string | undefined;
  readonly profile: string | undefined;
  readonly home: string | undefined;
  readonly repin: boolean;
  readonly json: boolean;
}

function readOptions(argv: readonly string[]): Options {
  const { values } = readArguments('init', argv, {
    party: { type: 'string' },
    orchestrator: { type: 'string' },
    collaboration: { type: 'string' },
    key: { type: 'string' },
    measurements: { type: 'string' },
    'enclave-role': { type: 'string' },
    root: { type: 'string' },
    profile: { type: 'string' },
    home: { type: 'string' },
    repin: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  });
  if (values.measurements === undefined) {
    throw new Failure('usage', 'cli/arguments', '--measurements is missing: what would be pinned?', {
      hint: 'compute them yourself: accord build POLICY --target local -o DIR, then --measurements DIR/measurements.json',
    });
  }
  const party = demand('init', '--party', values.party);
  if (!NAME.test(party)) throw usage('init', `--party takes a name, not "${party}"`);
  const key = readKeyArn('init', values.key);
  return {
    party,
    orchestrator: createCoordinator(demand('init', '--orchestrator', values.orchestrator)).url.href,
    collaboration: demand('init', '--collaboration', values.collaboration),
    key,
    measurements: values.measurements,
    enclaveRole: values['enclave-role'],
    root: values.root,
    profile: values.profile,
    home: values.home,
    repin: values.repin,
    json: values.json,
  };
}

/** PCRs and policy digest as the party's own build wrote them. */
async function readMeasurements(io: Io, file: string): Promise<Omit<Pins, 'root'>> {
  const { policyDigest, ...pcrs } = parseMeasurements(await readText(io, file), file);
  return { policyDigest, pcrs };
}

/** The text is the orchestrator's, its digest the party's own: only together are they taken. */
async function fetchPolicy(
  options: Options,
  { policyDigest: pinned }: Omit<Pins, 'root'>,
  io: Io,
): Promise<{ readonly text: string; readonly policy: CanonicalPolicy }> {
  if (!options.collaboration.endsWith(`-${pinned.slice(0, 12)}`)) {
    throw new Failure<InitCode>(
      'refused',
      'init/other-collaboration',
      `${options.collaboration} is not the collaboration of these measurements (…-${pinned.slice(0, 12)})`,
      { hint: 'measure the policy that the collaboration was made from, or name the right collaboration' },
    );
  }
  const progress = stepProgress(io);
  try {
    progress.update('asking the orchestrator for the policy');
    const found = await createCoordinator(options.orchestrator).collaboration(options.collaboration, io.signal);
    const text = found.canonicalPolicy;
    if ((await policyDigest(text)) !== pinned) {
      throw new Failure<InitCode>(
        'refused',
        'init/other-policy',
        'the orchestrator offers another policy than the one in your measurements',
        {
          where: options.orchestrator,
          hint: 'do not go on: ask the coordinator which policy runs, then build that one',
        },
      );
    }
    return { text, policy: parseCanonicalPolicy(text) };
  } finally {
    progress.end();
  }
}

async function demandParty(policy: CanonicalPolicy, { party, key }: Options): Promise<void> {
  const found = Object.hasOwn(policy.parties, party) ? policy.parties[party] : undefined;
  if (found === undefined) {
    const known = Object.keys(policy.parties).join(', ');
    throw new Failure<InitCode>('refused', 'init/unknown-party', `the policy has no party ${party}; it has ${known}`, {
      where: '--party',
    });
  }
  const hash = await kmsKeyArnHash(key);
  const { region, arnHash } = found.kmsKey;
  if (arnHash === hash) return;
  const named = `one in ${region} whose ARN has the hash ${arnHash.slice(0, 16)}…; yours has ${hash.slice(0, 16)}…`;
  throw new Failure<InitCode>('refused', 'init/other-key', `the policy names another key for ${party}: ${named}`, {
    where: key,
    hint: 'give the ARN as it stands in the policy that the parties agreed on',
  });
}

/** The policy names the root by its hash, and the policy is pinned; a root that is named here must be the same. */
async function rootOf(policy: CanonicalPolicy, named: string | undefined, io: Io): Promise<Root> {
  const root = policy.trust === 'aws' ? awsRoot : localRoot(policy.trust.attestationRoot);
  if (named === undefined) return root;
  const own = await readRoot(io, named);
  if (own.sha256 === root.sha256) return root;
  throw new Failure<InitCode>('refused', 'init/other-root', 'the policy trusts another root of attestation', {
    where: `${named} has SHA-256 ${own.sha256}, the policy ${root.sha256}`,
    hint: 'a policy with a local root of somebody else proves nothing to you',
  });
}

function nextOf({ functions, anchors }: CanonicalPolicy, { party, home }: Options): string {
  const mine = home === undefined ? `--party ${party}` : `--home ${home}`;
  const keepsAnchor = anchors !== 'none' && anchors.stores.some(({ owner }) => owner === party);
  const ofAnchor = keepsAnchor ? [`accord anchor make ${mine}`, `accord anchor contribute ${mine}`] : [];
  const ofFunctions = Object.entries(functions).flatMap(([name, one]) => [
    ...(one.uses !== 'counter' && one.model.from === party
      ? [`accord contribute ${name} --model FILE.onnx --manifest FILE.json ${mine}`]
      : []),
    ...(quotaOf(one, party) > 0 ? [`accord call ${name} ${one.uses === 'counter' ? '' : '--input FILE '}${mine}`] : []),
  ]);
  const steps = [...ofAnchor, ...ofFunctions];
  return `\nNext: once your key opens to this image (\`accord key-policy … --apply\`):\n${steps.map((step) => `  ${step}\n`).join('')}`;
}

const OUTCOMES = {
  made: 'made a home for',
  unchanged: 'nothing changed in the home of',
  changed: 'changed the home of',
} as const;

function describe(outcome: keyof typeof OUTCOMES, config: HomeConfig, { pcrs, policyDigest, root }: Pins): string {
  return [
    `${OUTCOMES[outcome]} ${config.party} in ${config.collaboration}`,
    `  PCR0    ${pcrs.PCR0}`,
    `  PCR1    ${pcrs.PCR1}`,
    `  PCR2    ${pcrs.PCR2}`,
    `  policy  ${policyDigest}`,
    `  root    ${root.kind === 'aws' ? 'AWS Nitro Enclaves' : 'LOCAL'} ${root.sha256}`,
    `  role    ${config.enclaveRoleArn}`,
  ].join('\n');
}
