import { FUNCTION_FACTS } from './answer-size.ts';
import { parseKmsKeyArn } from './arn.ts';
import type { CanonicalParty, CanonicalPolicy, FunctionPolicy, Party, Policy, Role } from './model.ts';
import { formatSize } from './units.ts';
import { weakenings, type AppraisalOptions, type Weakening } from './weakenings.ts';
import { count, digits, enumerate, times } from './words.ts';

export { weakenings, type Weakening, type WeakeningCode } from './weakenings.ts';

export interface Explanation {
  readonly title: string;
  readonly sections: readonly Section[];
  /** All sentences, for those who do not care for headings. */
  readonly sentences: readonly string[];
  readonly weakenings: readonly Weakening[];
}

export interface Section {
  readonly heading: string;
  readonly sentences: readonly string[];
}

/** Who may do what, who learns what, and everything that protects less than it could: in plain words. */
export function explain(policy: Policy | CanonicalPolicy, options: AppraisalOptions = {}): Explanation {
  const names = Object.keys(policy.parties);
  const sections: Section[] = [
    { heading: 'The agreement', sentences: ofAgreement(policy) },
    ...names.map((name) => ({ heading: name, sentences: ofParty(policy, name) })),
    { heading: 'Whoever runs the host', sentences: ofHost(policy) },
  ];
  return {
    title: `${policy.collaboration}: ${enumerate(names)}, until ${policy.until}`,
    sections,
    sentences: sections.flatMap(({ sentences }) => sentences),
    weakenings: weakenings(policy, options),
  };
}

function ofAgreement(policy: Policy | CanonicalPolicy): string[] {
  const { until, trust, enclave } = policy;
  const functions = Object.entries(policy.functions);
  return [
    `Calls are served to the end of ${until} (UTC), by the clock of the enclave's hardware, and refused afterwards.`,
    `The enclave can do ${functions.length === 1 ? 'one thing' : `${functions.length} things`} and nothing else: ` +
      `${enumerate(functions.map(([name, { uses }]) => `${name} (${uses}: ${FUNCTION_FACTS[uses].does})`))}.`,
    ...functions.map(([name, one]) => ofFunction(name, one)),
    `It runs with ${enclave.memoryMiB} MiB of memory and ${count(enclave.cpus, 'CPU')}.`,
    trust === 'aws'
      ? 'Attestation ends at the pinned root of AWS Nitro, and KMS is that of AWS.'
      : `Attestation ends at a local root (SHA-256 ${trust.attestationRoot.slice(0, 16)}…), and KMS is at ${trust.endpoints.kms}.`,
  ];
}

function ofFunction(name: string, { input, output, release }: FunctionPolicy): string {
  const entries = output.topK === 1 ? 'one entry' : `${output.topK} entries`;
  return (
    `${name} takes at most ${formatSize(input.maxBytes)} and answers with at most ${entries}, numbers with ` +
    `${digits(output.decimals)}; every answer and every refusal is padded to ${formatSize(release.padTo)}.`
  );
}

const ROLES: Readonly<Record<Role, string>> = {
  'data-owner': 'data owner',
  'model-owner': 'model owner',
  coordinator: 'coordinator',
};

function ofParty(policy: Policy | CanonicalPolicy, name: string): string[] {
  const party = policy.parties[name];
  if (party === undefined) return [];
  const functions = Object.entries(policy.functions);
  return [
    `${name} is a ${ROLES[party.role]} and consents with ${keyOf(party)}: nothing of ${name}'s opens to an image ` +
      "whose measurements are not in that key's policy.",
    ...functions.flatMap(([id, one]) => ofContributor(id, one, name)),
    ...functions.map(([id, one]) => ofCaller(id, one, name)),
  ];
}

function keyOf(party: Party | CanonicalParty): string {
  if (!('kmsKeyArn' in party)) {
    return `the KMS key in ${party.kmsKey.region} whose ARN hashes to ${party.kmsKey.arnHash.slice(0, 16)}…`;
  }
  const { region, account, keyId } = parseKmsKeyArn(party.kmsKeyArn);
  return `KMS key ${keyId} of account ${account} in ${region}`;
}

function ofContributor(id: string, { model, calls }: FunctionPolicy, name: string): string[] {
  if (model.from !== name) return [];
  const which = model.sha256 === undefined ? 'a model' : `the model with SHA-256 ${model.sha256.slice(0, 16)}…`;
  const others = Object.keys(calls).filter((caller) => caller !== name && calls[caller] !== 0);
  const learns =
    others.length === 0
      ? []
      : [`${name} learns that ${enumerate(others)} called ${id}, but neither inputs nor answers.`];
  return [`${name} contributes ${which} for ${id}. Nobody else sees its weights.`, ...learns];
}

function ofCaller(id: string, { calls, model, output }: FunctionPolicy, name: string): string {
  const amount = calls[name] ?? 0;
  if (amount === 0) return `${name} may not call ${id}.`;
  const answers = output.topK === 1 ? 'one entry an answer' : `up to ${output.topK} entries an answer`;
  const weights = model.from === name ? '' : `, nothing else of the weights of ${model.from}`;
  return (
    `${name} may call ${id} ${times(amount)} and learns ${answers}${weights}. ` +
    `What ${name} puts in is seen by nobody; an input that cannot be read costs a call too.`
  );
}

function ofHost(policy: Policy | CanonicalPolicy): string[] {
  const regions = new Set(
    Object.values(policy.parties).map((party) =>
      'kmsKeyArn' in party ? parseKmsKeyArn(party.kmsKeyArn).region : party.kmsKey.region,
    ),
  );
  return [
    'The host carries ciphertext. It sees that sessions are opened and calls are made, when, how large the inputs are, ' +
      `and traffic to KMS in ${enumerate([...regions])}; it sees no input, no weights and no answer.`,
    'It can stop the enclave, delay it and cut its links. It is trusted with that and with nothing else.',
  ];
}
