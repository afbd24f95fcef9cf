/** `accord key-policy`: writes the policy of a party's key, and puts it. */
import { DescribeKeyCommand, GetKeyPolicyCommand, PutKeyPolicyCommand } from '@aws-sdk/client-kms';
import type { KeyMetadata, KMSClient } from '@aws-sdk/client-kms';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { parseKmsKeyArn } from '../../policies/arn.ts';
import { Failure } from '../../policies/failure.ts';
import type { CallerIdentity } from '../kms/client.ts';
import { awsFailure, callerIdentity, createKms, createSts } from '../kms/client.ts';
import type { KeyPolicy, KeyPolicyTerms, Pin } from '../kms/key-policy.ts';
import { keyPolicy, keyPolicyText } from '../kms/key-policy.ts';
import type { KeyPolicyChange } from '../kms/key-policy-read.ts';
import { compareKeyPolicies, isSamePolicy, termsOf } from '../kms/key-policy-read.ts';
import type { Io, Verb } from './verb.ts';

export type KeyPolicyVerbCode =
  | 'key-policy/measurements' // the file says neither PCR0 nor digest
  | 'key-policy/add' // --add, and the policy in force is not one of ours
  | 'key-policy/lockout' // the caller could not put the next policy
  | 'key-policy/key' // not a single-Region symmetric key for encryption
  | 'key-policy/not-applied'; // AWS said yes, and reads back something else

const HELP = `usage: accord key-policy --key ARN --measurements FILE… [--profile NAME] [--apply] [--json]
       accord key-policy --key ARN --pcr0 HEX --policy-digest HEX … [options]

Writes the policy with which a KMS key opens to the named enclave images alone, each under its own agreement: not to its
owner, not to the host, not to an administrator. Prints it; with --apply also puts it, reads it back and says what changed.

  --key ARN            the key, by full ARN: symmetric, single-Region, used for nothing else
  --measurements FILE  measurements.json of \`accord build\`; may be repeated
  --pcr0 HEX           PCR0 of an image, with
  --policy-digest HEX  the digest of its policy; may be repeated, in pairs
  --add                keep the images pinned by the policy in force
  --caller ARN         user or role that opens sessions (default: whom the profile belongs to)
  --contributor ARN    user or role that contributes models and inputs (default: the same)
  --enclave-role ARN   role with which the enclave calls KMS (default: arn:aws:iam::ACCOUNT:role/accord-enclave)
  --profile NAME       AWS profile (default: the SDK's credential chain)
  --apply              put the policy; KMS's check that its owner is not locked out is never bypassed
  --json               the outcome as JSON

A role with a path must be named by --caller and --contributor; its session does not tell the path.

Exit codes: 0 done, 2 usage, 10 refused (by a check of this verb, or by AWS), 30 malformed input, 40 AWS not reached.
`;

export const verb: Verb = {
  name: 'key-policy',
  summary: 'let a KMS key open to the named enclave images alone',
  help: HELP,
  async run(argv, io) {
    const options = readOptions(argv);
    const { region, account, partition } = parseKmsKeyArn(options.key);
    const aws = { profile: options.profile, region, env: io.env };
    const kms = createKms(aws);
    const offline = !options.apply && !options.add && options.caller !== undefined && options.contributor !== undefined;
    const identity = offline ? undefined : await callerIdentity(createSts(aws), io.signal);
    if (identity !== undefined) demandOwnAccount(identity, account, options.key);
    const metadata = offline ? undefined : await describe(kms, options.key, io.signal);
    if (metadata !== undefined) demandUsableKey(metadata);
    const before = offline ? undefined : await policyInForce(kms, options.key, io.signal);
    const kept = options.add ? termsToKeep(before, options.key) : undefined;
    const terms: KeyPolicyTerms = {
      keyArn: options.key,
      account,
      pins: [...(kept?.pins ?? []), ...options.pins, ...(await pinsFromFiles(options.measurements, io))],
      callerArn: options.caller ?? kept?.callerArn ?? identity?.principalArn ?? '',
      contributorArn: options.contributor ?? kept?.contributorArn ?? identity?.principalArn ?? '',
      enclaveRoleArn:
        options.enclaveRole ?? kept?.enclaveRoleArn ?? `arn:${partition}:iam::${account}:role/accord-enclave`,
    };
    const policy = keyPolicy(terms);
    const text = keyPolicyText(policy);
    const change = compareKeyPolicies(before, policy, options.key);
    if (options.apply) await apply(kms, options.key, { before, policy, text }, io.signal);
    const outcome = { terms, policy, text, change, applied: options.apply, warnings: warnings(account, metadata) };
    if (options.json) io.out(`${JSON.stringify(asJson(outcome))}\n`);
    else report(outcome, io);
    return 0;
  },
};

interface Options {
  readonly key: string;
  readonly pins: readonly Pin[];
  readonly measurements: readonly string[];
  readonly add: boolean;
  readonly caller: string | undefined;
  readonly contributor: string | undefined;
  readonly enclaveRole: string | undefined;
  readonly profile: string | undefined;
  readonly apply: boolean;
  readonly json: boolean;
}

function readOptions(argv: readonly string[]): Options {
  const values = parse(argv);
  if (values.key === undefined) throw usage('--key ARN is missing');
  const pcr0s = values.pcr0 ?? [];
  const digests = values['policy-digest'] ?? [];
  if (pcr0s.length !== digests.length) {
    throw usage('--pcr0 and --policy-digest come in pairs: an image opens the key under its own agreement alone');
  }
  const add = values.add ?? false;
  if (pcr0s.length === 0 && (values.measurements ?? []).length === 0 && !add) {
    throw usage('--measurements FILE is missing (or --pcr0 with --policy-digest)');
  }
  return {
    key: values.key,
    pins: pcr0s.map((pcr0, index) => ({ pcr0, policyDigest: digests[index] ?? '' })),
    measurements: values.measurements ?? [],
    add,
    caller: values.caller,
    contributor: values.contributor,
    enclaveRole: values['enclave-role'],
    profile: values.profile,
    apply: values.apply ?? false,
    json: values.json ?? false,
  };
}

const OPTIONS = {
  key: { type: 'string' },
  pcr0: { type: 'string', multiple: true },
  'policy-digest': { type: 'string', multiple: true },
  measurements: { type: 'string', multiple: true },
  add: { type: 'boolean' },
  caller: { type: 'string' },
  contributor: { type: 'string' },
  'enclave-role': { type: 'string' },
  profile: { type: 'string' },
  home: { type: 'string' },
  apply: { type: 'boolean' },
  json: { type: 'boolean' },
} as const;

function parse(argv: readonly string[]): ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>['values'] {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, strict: true, allowPositionals: false }).values;
  } catch (error) {
    throw usage((error instanceof Error ? error.message : String(error)).split('. ')[0] ?? '');
  }
}

function usage(message: string): Failure<'cli/arguments'> {
  return new Failure('usage', 'cli/arguments', message, { hint: 'see accord key-policy --help' });
}

async function pinsFromFiles(files: readonly string[], io: Io): Promise<readonly Pin[]> {
  return await Promise.all(
    files.map(async (file) => {
      const wrong = (why: string, cause?: unknown): Failure<KeyPolicyVerbCode> =>
        new Failure('malformed', 'key-policy/measurements', `not a measurements file: ${why}`, {
          where: file,
          hint: 'accord build writes measurements.json beside the image',
          cause,
        });
      const text = file === '-' ? new TextDecoder().decode(await io.stdin()) : await readText(resolve(io.cwd, file));
      let found: unknown;
      try {
        found = JSON.parse(text);
      } catch (cause) {
        throw wrong('it is no JSON', cause);
      }
      const pcr0 = textAt(found, 'PCR0');
      const policyDigest = textAt(found, 'policyDigest');
      if (pcr0 === undefined) throw wrong('it has no PCR0');
      if (policyDigest === undefined) throw wrong('it has no policyDigest');
      return { pcr0, policyDigest };
    }),
  );
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new Failure<KeyPolicyVerbCode>('malformed', 'key-policy/measurements', 'the file cannot be read', {
      where: path,
      hint: 'give the measurements.json that accord build wrote',
      cause,
    });
  }
}

function textAt(value: unknown, key: string): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const found: unknown = Object.entries(value).find(([name]) => name === key)?.[1];
  return typeof found === 'string' ? found : undefined;
}

/** Another account's principal could never put the next policy: PutKeyPolicy does not work across accounts. */
function demandOwnAccount(identity: CallerIdentity, account: string, keyArn: string): void {
  if (identity.account === account) return;
  throw new Failure<KeyPolicyVerbCode>(
    'refused',
    'key-policy/lockout',
    `these credentials belong to account ${identity.account}, the key to ${account}: they could not put its policy again`,
    { where: keyArn, hint: 'use a profile of the account that owns the key' },
  );
}

async function describe(kms: KMSClient, keyArn: string, signal: AbortSignal): Promise<KeyMetadata | undefined> {
  try {
    return (await kms.send(new DescribeKeyCommand({ KeyId: keyArn }), { abortSignal: signal })).KeyMetadata;
  } catch (cause) {
    throw awsFailure(cause, 'describing the key');
  }
}

function demandUsableKey({ Arn, KeySpec, KeyUsage, MultiRegion, KeyState }: KeyMetadata): void {
  const wrong =
    KeySpec !== 'SYMMETRIC_DEFAULT' || KeyUsage !== 'ENCRYPT_DECRYPT'
      ? 'it is asymmetric or for signing: anybody can encrypt to a public key'
      : MultiRegion === true
        ? 'it is multi-Region: a replica has a policy of its own'
        : KeyState === 'PendingDeletion'
          ? 'it waits for its deletion'
          : undefined;
  if (wrong === undefined) return;
  throw new Failure<KeyPolicyVerbCode>('refused', 'key-policy/key', `this key cannot be used: ${wrong}`, {
    where: Arn ?? '',
    hint: 'make one with `aws kms create-key` (symmetric, single-Region), for Accord alone',
  });
}

async function policyInForce(kms: KMSClient, keyArn: string, signal: AbortSignal): Promise<string> {
  try {
    const command = new GetKeyPolicyCommand({ KeyId: keyArn, PolicyName: 'default' });
    return (await kms.send(command, { abortSignal: signal })).Policy ?? '';
  } catch (cause) {
    throw awsFailure(cause, "reading the key's policy");
  }
}

function termsToKeep(before: string | undefined, keyArn: string): KeyPolicyTerms {
  const terms = before === undefined ? undefined : termsOf(before, keyArn);
  if (terms !== undefined) return terms;
  throw new Failure<KeyPolicyVerbCode>(
    'refused',
    'key-policy/add',
    'the policy in force was not written by this verb, or was changed since: it is not known what it allows',
    { where: keyArn, hint: 'leave out --add and name every image to which the key shall open' },
  );
}

async function apply(
  kms: KMSClient,
  keyArn: string,
  { before, policy, text }: { readonly before: string | undefined; readonly policy: KeyPolicy; readonly text: string },
  signal: AbortSignal,
): Promise<void> {
  if (before !== undefined && isSamePolicy(before, policy)) return;
  try {
    // BypassPolicyLockoutSafetyCheck is left out on purpose, everywhere.
    const command = new PutKeyPolicyCommand({ KeyId: keyArn, PolicyName: 'default', Policy: text });
    await kms.send(command, { abortSignal: signal });
  } catch (cause) {
    if (cause instanceof Error && /will not allow you to update/.test(cause.message)) {
      throw new Failure<KeyPolicyVerbCode>(
        'refused',
        'key-policy/lockout',
        'KMS refuses the policy because these credentials could not put the next one',
        {
          where: keyArn,
          hint: 'allow them kms:PutKeyPolicy on this key in IAM first: the policy leaves it to IAM',
          cause,
        },
      );
    }
    throw awsFailure(cause, "putting the key's policy");
  }
  if (!isSamePolicy(await policyInForce(kms, keyArn, signal), policy)) {
    throw new Failure<KeyPolicyVerbCode>(
      'refused',
      'key-policy/not-applied',
      'the policy reads back differently from what was put: somebody else changed it meanwhile',
      { where: keyArn, hint: 'look at it with `aws kms get-key-policy`, then apply again' },
    );
  }
}

/** What the policy cannot close, in words. */
function warnings(account: string, metadata: KeyMetadata | undefined): readonly string[] {
  const origin = metadata?.Origin;
  return [
    `whoever may put this key's policy can open the key: everybody in account ${account} whom IAM allows kms:PutKeyPolicy`,
    ...(origin === undefined || origin === 'AWS_KMS'
      ? []
      : [`the key's material comes from outside of KMS (${origin}): whoever holds it there can open the key`]),
  ];
}

interface Outcome {
  readonly terms: KeyPolicyTerms;
  readonly policy: KeyPolicy;
  readonly text: string;
  readonly change: KeyPolicyChange;
  readonly applied: boolean;
  readonly warnings: readonly string[];
}

function asJson({ terms, policy, text, change, applied, warnings }: Outcome): Readonly<Record<string, unknown>> {
  return { ...terms, applied, bytes: text.length, change, warnings, policy };
}

function report({ terms, text, change, applied, warnings }: Outcome, io: Io): void {
  if (!applied) {
    io.out(`${text}\n`);
    for (const warning of warnings) io.err(`note: ${warning}\n`);
    io.err('Nothing was changed; --apply puts this policy.\n');
    return;
  }
  const short = ({ pcr0, policyDigest }: Pin): string => `PCR0 ${pcr0}\n      under policy ${policyDigest}`;
  const list = (title: string, entries: readonly string[]): string =>
    entries.length === 0 ? '' : `  ${title}\n${entries.map((entry) => `    ${entry}\n`).join('')}`;
  const changes =
    list('now opens to', change.pinsAdded.map(short)) +
    list('no longer opens to', change.pinsRemoved.map(short)) +
    list('statements added', change.statementsAdded) +
    list('statements removed', change.statementsRemoved) +
    list('statements changed', change.statementsChanged);
  io.out(`${terms.keyArn}\n${changes === '' ? '  nothing changed: this policy was already in force\n' : changes}`);
  io.out(
    `  caller ${terms.callerArn}\n  contributor ${terms.contributorArn}\n  enclave role ${terms.enclaveRoleArn}\n`,
  );
  for (const warning of warnings) io.out(`  note: ${warning}\n`);
}
