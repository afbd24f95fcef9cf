/** `accord anchor`: makes and lints the store in which a party's spent calls are written down, and hands over its credential. */
import { parseKmsKeyArn } from '../../policies/arn.ts';
import { Failure } from '../../policies/failure.ts';
import type { AnchorClients } from '../anchors/clients.ts';
import { anchorClients } from '../anchors/clients.ts';
import type { AnchorAwsCode } from '../anchors/clients.ts';
import { contributeCredential } from '../anchors/contribute.ts';
import { checkFolder } from '../anchors/folder.ts';
import type { Finding } from '../anchors/lint.ts';
import { lintAnchor } from '../anchors/lint.ts';
import { planAnchor } from '../anchors/make.ts';
import type { Agreed, AnchorTerms } from '../anchors/terms.ts';
import { storeOf, termsFor } from '../anchors/terms.ts';
import type { AwsSettings } from '../kms/client.ts';
import { callerIdentity, createKms, createSts } from '../kms/client.ts';
import { kmsDataKeys } from '../kms/data-keys.ts';
import { printableLines } from '../printable.ts';
import { makePrivateFolder } from '../private-files.ts';
import { PARTY_HELP, PARTY_OPTIONS, demand, readArguments, usage } from './arguments.ts';
import { partyContext, systemRandom } from './party.ts';
import { readPolicy } from './policy-files.ts';
import { stepProgress } from './progress.ts';
import type { Io, Verb } from './verb.ts';

const HELP = `usage: accord anchor make [POLICY…] [options]
       accord anchor lint [POLICY…] [options]
       accord anchor contribute [options]

An anchor is the store in your own account where spent calls are written down: whoever runs the enclave cannot reset them,
and neither can you. The policy names it: anchors: { alice: { s3: "s3://alice-anchor" } }.

make         makes the bucket with Object Lock and versioning, blocks public access, puts its policy, and makes the IAM user
             as whom the enclave writes. Says first what it will do; the same again changes nothing.
lint         reads bucket, policies and user in force, and says every way around them.
contribute   makes an access key of that user and hands it to the enclave alone, encrypted under your KMS key. The secret
             is never shown and never on disk; the same again makes a new key, and removes the one before the last.

make and lint take the policy from files, with --party NAME, or from your home; contribute needs the home.

  --reader ARN     who else may read the entries, a user or a role; may be repeated: others whose calls stand here
  --trust FILE     a trust file, composed into the policy of the files
  --dry-run        say what make would do, and do nothing
${PARTY_HELP}
  --json           the outcome as JSON

Exit codes: 0 done, 2 usage, 10 refused (by AWS, or lint found a way), 30 malformed policy, 40 AWS not reached.
`;

const OPTIONS = {
  ...PARTY_OPTIONS,
  reader: { type: 'string', multiple: true },
  trust: { type: 'string' },
  'dry-run': { type: 'boolean', default: false },
} as const;

const ACTIONS = ['make', 'lint', 'contribute'] as const;
type Action = (typeof ACTIONS)[number];

interface Options {
  readonly action: Action;
  readonly files: readonly string[];
  readonly readers: readonly string[];
  readonly trust: string | undefined;
  readonly dryRun: boolean;
  readonly home: string | undefined;
  readonly party: string | undefined;
  readonly profile: string | undefined;
  readonly json: boolean;
}

export const verb: Verb = {
  help: HELP,
  async run(argv, io) {
    const options = readOptions(argv);
    const site = await siteOf(options, io);
    if ('folder' in site.store) return ofFolder(site.store.folder, options, io);
    if (options.action === 'contribute') return contribute(options, io);
    const terms = termsFor(site.agreed, site.party, site.keyArn, options.readers);
    const clients = await ownClients(site.aws, terms, io);
    try {
      return options.action === 'make'
        ? await make(terms, clients, options, io)
        : await lint(terms, clients, options, io);
    } finally {
      clients.destroy();
    }
  },
};

function readOptions(argv: readonly string[]): Options {
  const { values, positionals } = readArguments('anchor', argv, OPTIONS, 'any');
  const [name, ...files] = positionals;
  const action = ACTIONS.find((each) => each === name);
  if (action === undefined) throw usage('anchor', `say what to do: ${ACTIONS.join(', ')}`);
  const { reader = [], 'dry-run': dryRun, trust, home, party, profile, json } = values;
  if (dryRun && action !== 'make') throw usage('anchor', '--dry-run is for make: nothing else would be told');
  if (files.length > 0 && action === 'contribute')
    throw usage('anchor', 'contribute takes no policy: the credential is for the one that your home pins');
  if (files.length > 0 && home !== undefined)
    throw usage('anchor', 'the policy comes from files or from a home: name either, not both');
  for (const arn of reader) {
    if (!/^arn:[^:]+:iam::\d{12}:(user|role)\/[\w+=,.@/-]+$/.test(arn))
      throw usage('anchor', `--reader takes the ARN of a user or a role, not "${arn}"`);
  }
  return { action, files, readers: reader, dryRun, trust, home, party, profile, json };
}

interface Site {
  readonly agreed: Agreed;
  readonly party: string;
  readonly keyArn: string;
  readonly store: ReturnType<typeof storeOf>;
  readonly aws: AwsSettings;
}

/** By the files that are named, else by the home. */
async function siteOf(options: Options, io: Io): Promise<Site> {
  const [first, ...parts] = options.files;
  if (first === undefined) {
    const { home, aws } = await partyContext(options, io);
    const { party, keyArn } = home.config;
    return { agreed: home.policy, party, keyArn, store: storeOf(home.policy, party), aws };
  }
  const agreed = await readPolicy(io, [first, ...parts], options.trust);
  const party = demand('anchor', '--party NAME', options.party);
  const keyArn = Object.hasOwn(agreed.parties, party) ? agreed.parties[party]?.kmsKeyArn : undefined;
  if (keyArn === undefined) throw usage('anchor', `the policy has no party ${party}`);
  const { region } = parseKmsKeyArn(keyArn);
  return {
    agreed,
    party,
    keyArn,
    store: storeOf(agreed, party),
    aws: { profile: options.profile, region, env: io.env },
  };
}

/** An anchor of another account than the key's would be refused by the enclave. */
async function ownClients(aws: AwsSettings, terms: AnchorTerms, io: Io): Promise<AnchorClients> {
  const sts = createSts(aws);
  try {
    const { account } = await callerIdentity(sts, io.signal);
    if (account !== terms.account) {
      throw new Failure<AnchorAwsCode>(
        'refused',
        'anchor/other-account',
        `these credentials belong to account ${account}, the key of ${terms.party} to ${terms.account}`,
        { hint: `an anchor stands in the account of its owner's key: use a profile of ${terms.party} with --profile` },
      );
    }
    return anchorClients(aws, terms, io.signal);
  } finally {
    sts.destroy();
  }
}

async function make(terms: AnchorTerms, clients: AnchorClients, options: Options, io: Io): Promise<number> {
  const { json, dryRun } = options;
  const steps = await planAnchor(terms, clients, Date.now());
  if (dryRun) {
    if (json)
      io.out(`${JSON.stringify({ ...named(terms), steps: steps.map(({ what, document }) => ({ what, document })) })}\n`); // prettier-ignore
    else {
      for (const { what, document } of steps) io.out(`${what}\n${document === undefined ? '' : `${document}\n`}`);
      io.err(steps.length === 0 ? 'Nothing to do: the anchor is as it should be.\n' : 'Nothing was done; without --dry-run it is.\n'); // prettier-ignore
    }
    return 0;
  }
  for (const { what, run } of steps) {
    if (!json) io.err(`${what}\n`);
    await run();
  }
  if (json) io.out(`${JSON.stringify({ ...named(terms), done: steps.map(({ what }) => what) })}\n`);
  else {
    io.out(`s3://${terms.bucket}/${terms.prefix}\n`);
    if (steps.length === 0) io.err('nothing changed: the anchor was as it should be\n');
    io.err('Next: accord anchor lint; once the image is built and pinned, accord anchor contribute\n');
  }
  return 0;
}

async function lint(terms: AnchorTerms, clients: AnchorClients, { json }: Options, io: Io): Promise<number> {
  const found = await lintAnchor(terms, clients, Date.now());
  const ways = found.filter(({ kind }) => kind === 'way');
  if (json)
    io.out(`${JSON.stringify({ ...named(terms), ways, notes: found.filter(({ kind }) => kind === 'note') })}\n`); // prettier-ignore
  else io.out(printableLines(rendered(terms, found)));
  return ways.length === 0 ? 0 : 10;
}

function rendered(terms: AnchorTerms, found: readonly Finding[]): string {
  const ways = found.filter(({ kind }) => kind === 'way');
  const head =
    ways.length === 0
      ? `s3://${terms.bucket}/${terms.prefix}: no way around this anchor was found\n`
      : `s3://${terms.bucket}/${terms.prefix}: ${ways.length === 1 ? 'a way' : `${ways.length} ways`} around this anchor\n`;
  const rows = found.map(({ kind, text }) => `  ${kind === 'way' ? '!' : 'note:'} ${text}\n`);
  return `${head}${rows.join('')}${ways.length === 0 ? '' : '  accord anchor make repairs what can be repaired\n'}`;
}

async function contribute(options: Options, io: Io): Promise<number> {
  const context = await partyContext(options, io);
  const { home, coordinator, aws } = context;
  const terms = termsFor(home.policy, home.config.party, home.config.keyArn, options.readers);
  const clients = await ownClients(aws, terms, io);
  const kms = createKms(aws);
  const progress = stepProgress(io);
  try {
    const done = await contributeCredential({
      terms,
      clients,
      aws,
      home,
      coordinator,
      dataKeys: kmsDataKeys(kms),
      random: systemRandom,
      onProgress: progress.update,
    });
    progress.end();
    if (options.json) io.out(`${JSON.stringify(done)}\n`);
    else {
      io.out(`${done.accessKeyId}\n`);
      if (done.removed !== undefined) io.err(`removed the access key ${done.removed}: IAM keeps two of a user. An enclave that still writes with it must be started again\n`); // prettier-ignore
      io.err('The enclave takes it with your next session, for example: accord quota\n');
    }
    return 0;
  } finally {
    progress.end();
    kms.destroy();
    clients.destroy();
  }
}

async function ofFolder(folder: string, { action, json, dryRun }: Options, io: Io): Promise<number> {
  if (action === 'make' && !dryRun) await makePrivateFolder(folder);
  const fault = action === 'lint' ? await checkFolder(folder) : undefined;
  const text = {
    make: dryRun ? `would make the folder ${folder}` : folder,
    lint: fault ?? 'whoever may write to this folder can change every entry: it is for local trials alone',
    contribute: 'a folder needs no credential',
  }[action];
  io.out(json ? `${JSON.stringify({ folder, ...(fault === undefined ? {} : { fault }) })}\n` : `${text}\n`);
  return action === 'lint' ? 10 : 0;
}

function named({ bucket, prefix, region, user }: AnchorTerms): Readonly<Record<string, string>> {
  return { bucket, prefix, region, user };
}
