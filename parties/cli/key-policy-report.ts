/** What `accord key-policy` says of the policy it wrote, or put. */
import type { KeyMetadata } from '@aws-sdk/client-kms';
import type { KeyPolicyChange } from '../kms/key-policy-read.ts';
import { describeForeignRoles, describeSuccessions } from '../kms/key-policy-words.ts';
import type { KeyPolicy, KeyPolicyTerms, Pin } from '../kms/key-policy.ts';
import type { Io } from './verb.ts';

export interface Outcome {
  readonly terms: KeyPolicyTerms;
  readonly policy: KeyPolicy;
  readonly text: string;
  readonly change: KeyPolicyChange;
  readonly applied: boolean;
  readonly warnings: readonly string[];
}

const TRIAL_WARNING =
  'this key is for trials: any program with the credentials of the enclave role opens what is under it, the credential of an anchor too: give a trial a bucket of its own';

/** What the policy cannot close, in words. */
export function warningsOf(
  terms: KeyPolicyTerms,
  trial: boolean,
  metadata: KeyMetadata | undefined,
  { pinsRemoved }: KeyPolicyChange,
): readonly string[] {
  const { account } = terms;
  const origin = metadata?.Origin;
  const shutOut = pinsRemoved.filter((removed) => !terms.pins.some(({ pcr0 }) => pcr0 === removed.pcr0));
  return [
    ...(shutOut.length === 0 ? [] : [describeShutOut(shutOut)]),
    ...(trial ? [TRIAL_WARNING] : []),
    ...describeSuccessions(terms.pins),
    ...describeForeignRoles(terms),
    `whoever may put this key's policy can open the key: everybody in account ${account} whom IAM allows kms:PutKeyPolicy`,
    ...(origin === undefined || origin === 'AWS_KMS'
      ? []
      : [`the key's material comes from outside of KMS (${origin}): whoever holds it there can open the key`]),
    ...(metadata?.KeyState === 'Disabled' ? ['the key is disabled: until it is enabled again no session opens'] : []),
  ];
}

function describeShutOut(pins: readonly Pin[]): string {
  const images = pins.length === 1 ? 'an image' : `${pins.length} images`;
  return `the key no longer opens to ${images} of before: where one still runs, it stops within the hour (--add keeps them)`;
}

export function asJson({ terms, policy, text, change, applied, warnings }: Outcome): Readonly<Record<string, unknown>> {
  return { ...terms, applied, bytes: text.length, change, warnings, policy };
}

export function report({ terms, text, change, applied, warnings }: Outcome, io: Io): void {
  if (!applied) {
    io.out(`${text}\n`);
    for (const warning of warnings) io.err(`note: ${warning}\n`);
    io.err('Nothing was changed; --apply puts this policy.\n');
    return;
  }
  const short = ({ pcr0, policyDigest, succeeds }: Pin): string =>
    `PCR0 ${pcr0}\n      under policy ${policyDigest}${succeeds === undefined ? '' : `\n      and, to take over its state, under ${succeeds}`}`;
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
    `  caller ${terms.callerArn}\n  contributor ${terms.contributorArn}\n  enclave role ${terms.enclaveRoleArn}\n` +
      (terms.hostRoleArn === undefined ? '' : `  host's role ${terms.hostRoleArn}\n`),
  );
  for (const warning of warnings) io.out(`  note: ${warning}\n`);
  io.err('Next: `accord init` makes the home of the party whose key this is, if there is none yet\n');
}
