/** `accord key-policy`: writes the policy of a party's key, and puts it. */
import type { KeyMetadata } from '@aws-sdk/client-kms';
import { parseKmsKeyArn } from '../../policies/arn.ts';
import { Failure } from '../../policies/failure.ts';
import { applyKeyPolicy, demandOwnAccount, describeUsableKey, policyInForce } from '../kms/apply-key-policy.ts';
import type { CallerIdentity } from '../kms/client.ts';
import { callerIdentity, createKms, createSts, defaultEnclaveRole } from '../kms/client.ts';
import type { KeyPolicyTerms, Pin } from '../kms/key-policy.ts';
import { keyPolicy, keyPolicyText } from '../kms/key-policy.ts';
import type { Predecessor } from './key-policy-succession.ts';
import { predecessorFrom, withPredecessor } from './key-policy-succession.ts';
import { lintInForce } from './key-policy-lint.ts';
import type { Outcome } from './key-policy-report.ts';
import { asJson, report, warningsOf } from './key-policy-report.ts';
import { compareKeyPolicies, termsOf } from '../kms/key-policy-read.ts';
import { trialKeyPolicy } from '../kms/trial-key-policy.ts';
import { parseMeasurements } from '../measurements.ts';
import { demand, readArguments, readKeyArn, usage } from './arguments.ts';
import { readText } from './files.ts';
import type { Io, Verb } from './verb.ts';

export type KeyPolicyVerbCode =
  | 'key-policy/add' // `--add`, and the policy in force is not one of ours
  | 'key-policy/trial'; // `--trial`, and the policy in force pins images

const HELP = `usage: accord key-policy --key ARN --measurements FILE… [--profile NAME] [--apply] [--json]
       accord key-policy --key ARN --pcr0 HEX --policy-digest HEX … [options]
       accord key-policy --key ARN --measurements FILE --succeed FILE|DIGEST [options]
       accord key-policy --key ARN --trial [options]
       accord key-policy --key ARN --lint [--profile NAME] [--json]

Writes the policy with which a KMS key opens to the named enclave images alone, each under its own agreement: not to its
owner, not to the host, not to an administrator. Prints it; with --apply also puts it, reads it back and says what changed.

  --key ARN            the key, by full ARN: symmetric, single-Region, used for nothing else
  --measurements FILE  measurements.json of \`accord build\`; may be repeated
  --pcr0 HEX           PCR0 of an image, with
  --policy-digest HEX  the digest of its policy; may be repeated, in pairs
  --add                keep the images pinned by the policy in force
  --succeed FILE|DIGEST the image named by --measurements takes over the state of this one: its measurements.json, or the
                       digest of its policy where it is pinned already. Both stay pinned until the policy is written anew
  --lint               say in words what the policy in force allows, and what is left around it
  --trial              a key for trials with enclaves in debug mode: it opens to any enclave, and serves for test data alone
  --caller ARN         user or role that opens sessions (default: whom the profile belongs to)
  --contributor ARN    user or role that contributes models and inputs (default: the same)
  --enclave-role ARN   role with which the enclave calls KMS (default: arn:aws:iam::ACCOUNT:role/accord-enclave)
  --host-role ARN      a role of the host's, beside it: the images can then open their state while you are away
  --profile NAME       AWS profile (default: the SDK's credential chain)
  --apply              put the policy; KMS's check that its owner is not locked out is never bypassed
  --json               the outcome as JSON

A role with a path must be named by --caller and --contributor; its session does not tell the path.

Exit codes: 0 done, 2 usage, 10 refused (by a check of this verb, or by AWS), 30 malformed input, 40 AWS not reached.
`;

export const verb: Verb = {
  help: HELP,
  async run(argv, io) {
    const options = readOptions(argv);
    if (options.lint) return await lintInForce(options, io);
    const pins = [...options.pins, ...(await pinsFromFiles(options.measurements, io))];
    const predecessor = options.succeed === undefined ? undefined : await predecessorFrom(options.succeed, io);
    const isOffline = namesEverything(options) && (predecessor === undefined || predecessor.pin !== undefined);
    const outcome = isOffline
      ? written(options, termsFor(options, succeeding(pins, predecessor)), undefined)
      : await withAws(options, pins, predecessor, io);
    if (options.json) io.out(`${JSON.stringify(asJson(outcome))}\n`);
    else report(outcome, io);
    return 0;
  },
};

const OPTIONS = {
  key: { type: 'string' },
  pcr0: { type: 'string', multiple: true },
  'policy-digest': { type: 'string', multiple: true },
  measurements: { type: 'string', multiple: true },
  add: { type: 'boolean', default: false },
  succeed: { type: 'string' },
  lint: { type: 'boolean', default: false },
  trial: { type: 'boolean', default: false },
  caller: { type: 'string' },
  contributor: { type: 'string' },
  'enclave-role': { type: 'string' },
  'host-role': { type: 'string' },
  profile: { type: 'string' },
  apply: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
} as const;

interface Options {
  readonly key: string;
  readonly pins: readonly Pin[];
  readonly measurements: readonly string[];
  readonly add: boolean;
  /** A file of measurements, or a policy digest. */
  readonly succeed: string | undefined;
  readonly lint: boolean;
  readonly trial: boolean;
  readonly caller: string | undefined;
  readonly contributor: string | undefined;
  readonly enclaveRole: string | undefined;
  readonly hostRole: string | undefined;
  readonly profile: string | undefined;
  readonly apply: boolean;
  readonly json: boolean;
}

function readOptions(argv: readonly string[]): Options {
  const { values } = readArguments('key-policy', argv, OPTIONS);
  const { pcr0 = [], 'policy-digest': digests = [], measurements = [], ...rest } = values;
  const pins = pcr0.flatMap((value, index) => {
    const policyDigest = digests[index];
    return policyDigest === undefined ? [] : [{ pcr0: value, policyDigest }];
  });
  if (pins.length < Math.max(pcr0.length, digests.length)) {
    throw usage(
      'key-policy',
      '--pcr0 and --policy-digest come in pairs: an image opens the key under its own agreement alone',
    );
  }
  const images = pins.length > 0 || measurements.length > 0;
  const named = images || rest.add;
  if (rest.lint && (named || rest.trial || rest.apply || rest.succeed !== undefined)) {
    throw usage('key-policy', '--lint looks at the policy in force: it takes --key, --profile and --json alone');
  }
  if (rest.succeed !== undefined && !images) {
    throw usage('key-policy', '--succeed says whose state the image takes over: name that image with --measurements');
  }
  if (rest.trial && named) throw usage('key-policy', '--trial names no image: a key is for trials or for images');
  if (!named && !rest.trial && !rest.lint) {
    throw usage('key-policy', '--measurements FILE is missing (or --pcr0 with --policy-digest)');
  }
  const { caller, contributor, 'enclave-role': enclaveRole, 'host-role': hostRole, ...others } = rest;
  const key = readKeyArn('key-policy', rest.key);
  const { profile, add, succeed, lint: look, trial, apply, json } = others;
  return {
    key,
    pins,
    measurements,
    enclaveRole,
    hostRole,
    caller,
    contributor,
    profile,
    add,
    succeed,
    lint: look,
    trial,
    apply,
    json,
  };
}

async function pinsFromFiles(files: readonly string[], io: Io): Promise<readonly Pin[]> {
  return Promise.all(
    files.map(async (file) => {
      const { PCR0: pcr0, policyDigest } = parseMeasurements(await readText(io, file), file);
      return { pcr0, policyDigest };
    }),
  );
}

/** All that the policy needs is named, and nothing is to be put: AWS is not asked. */
function namesEverything({ apply, add, caller, contributor }: Options): boolean {
  return !apply && !add && caller !== undefined && contributor !== undefined;
}

/** By the key and the policy in force; applied where that is asked for. */
async function withAws(
  options: Options,
  pins: readonly Pin[],
  predecessor: Predecessor | undefined,
  io: Io,
): Promise<Outcome> {
  const { key, profile } = options;
  const { region, account } = parseKmsKeyArn(key);
  const aws = { profile, region, env: io.env };
  const kms = createKms(aws);
  const sts = createSts(aws);
  try {
    const identity = await callerIdentity(sts, io.signal);
    demandOwnAccount(identity, account, key);
    const metadata = await describeUsableKey(kms, key, io.signal);
    const before = await policyInForce(kms, key, io.signal);
    const kept = termsKept(options, before);
    const all = succeeding(pins, predecessor, kept ?? undefined);
    if (options.trial) demandUnpinned(before, key);
    const outcome = written(options, termsFor(options, all, kept, identity), before, metadata);
    if (!options.apply) return outcome;
    await applyKeyPolicy(kms, key, { before, policy: outcome.policy }, io.signal);
    return { ...outcome, applied: true };
  } finally {
    kms.destroy();
    sts.destroy();
  }
}

/** What is named here goes before what the policy in force has, and that before whom the profile belongs to. */
function termsFor(
  { key, add, caller, contributor, enclaveRole, hostRole }: Options,
  pins: readonly Pin[],
  kept?: KeyPolicyTerms,
  identity?: CallerIdentity,
): KeyPolicyTerms {
  const owner = identity?.principalArn;
  const hostRoleArn = hostRole ?? kept?.hostRoleArn;
  return {
    keyArn: key,
    account: parseKmsKeyArn(key).account,
    pins: add ? [...(kept?.pins ?? []), ...pins] : pins,
    callerArn: demand('key-policy', '--caller', caller ?? kept?.callerArn ?? owner),
    contributorArn: demand('key-policy', '--contributor', contributor ?? kept?.contributorArn ?? owner),
    enclaveRoleArn: enclaveRole ?? kept?.enclaveRoleArn ?? defaultEnclaveRole(key),
    ...(hostRoleArn === undefined ? {} : { hostRoleArn }),
  };
}

/** What was encrypted in earnest under this key shall not come near an enclave in debug mode. */
function demandUnpinned(before: string, keyArn: string): void {
  const pins = termsOf(before, keyArn)?.pins ?? [];
  if (pins.length === 0) return;
  throw new Failure<KeyPolicyVerbCode>(
    'refused',
    'key-policy/trial',
    `this key opens to ${pins.length === 1 ? 'an image' : `${pins.length} images`} already: it is no key for trials`,
    { where: keyArn, hint: 'make another one with `aws kms create-key`, and name it in a policy for trials' },
  );
}

/** The terms in force, for what of them goes on: all with `--add`, with `--succeed` whom they name. */
function termsKept({ add, succeed, key }: Options, before: string): KeyPolicyTerms | undefined {
  if (add) return termsToKeep(before, key);
  return succeed === undefined ? undefined : termsOf(before, key);
}

function succeeding(
  pins: readonly Pin[],
  predecessor: Predecessor | undefined,
  inForce?: KeyPolicyTerms,
): readonly Pin[] {
  return predecessor === undefined ? pins : withPredecessor(pins, predecessor, inForce);
}

function termsToKeep(before: string, keyArn: string): KeyPolicyTerms {
  const terms = termsOf(before, keyArn);
  if (terms !== undefined) return terms;
  throw new Failure<KeyPolicyVerbCode>(
    'refused',
    'key-policy/add',
    'the policy in force was not written by this verb, or was changed since: it is not known what it allows',
    { where: keyArn, hint: 'leave out --add and name every image to which the key shall open' },
  );
}

/** The policy for these terms, and what it changes about the one in force. Nothing is put yet. */
function written(
  { trial }: Options,
  terms: KeyPolicyTerms,
  before: string | undefined,
  metadata?: KeyMetadata,
): Outcome {
  const policy = trial ? trialKeyPolicy(terms) : keyPolicy(terms);
  const change = compareKeyPolicies(before, policy, terms.keyArn);
  const warnings = warningsOf(terms, trial, metadata, change);
  return { terms, policy, text: keyPolicyText(policy), change, applied: false, warnings };
}
