import { FUNCTION_DOES, PICTURE_FUNCTION_FACTS } from './answer-size.ts';
import { parseKmsKeyArn } from './arn.ts';
import { answerBudget, type AnswerBudget } from './budget.ts';
import { ofAnchorOwner, ofAnchorsAtHost, ofDurability } from './explain-anchors.ts';
import { ofInformation } from './explain-information.ts';
import { ofRelease, ofTimesAndSizes } from './explain-release.ts';
import type { CanonicalParty, CanonicalPolicy, FunctionPolicy, Party, PicturePolicy, Policy, Role } from './model.ts';
import { callersOf } from './quota.ts';
import { recordOf } from './reading/collections.ts';
import { formatSize } from './units.ts';
import { weakenings, type AppraisalOptions, type Weakening } from './weakenings.ts';
import { trustInWords } from './words-trust.ts';
import { count, digits, enumerate, times, treeInWords } from './words.ts';

export interface Explanation {
  readonly title: string;
  readonly sections: readonly Section[];
  /** All sentences, for those who do not care for headings. */
  readonly sentences: readonly string[];
  readonly weakenings: readonly Weakening[];
  /** What answers can carry, by function. */
  readonly information: Readonly<Record<string, AnswerBudget>>;
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
    { heading: 'What outlives the enclave', sentences: ofDurability(policy) },
    { heading: 'What answers can carry', sentences: ofInformation(policy) },
    { heading: 'Whoever runs the host', sentences: ofHost(policy) },
  ];
  return {
    title: `${policy.collaboration}: ${enumerate(names)}, until ${policy.until}`,
    sections,
    sentences: sections.flatMap(({ sentences }) => sentences),
    weakenings: weakenings(policy, options),
    information: recordOf(Object.entries(policy.functions).map(([name, one]) => [name, answerBudget(one)] as const)),
  };
}

function ofAgreement(policy: Policy | CanonicalPolicy): string[] {
  const { until, trust, enclave } = policy;
  const functions = Object.entries(policy.functions);
  return [
    `Calls are served to the end of ${until} (UTC), by the clock of the enclave's hardware, and refused afterwards.`,
    `The enclave can do ${functions.length === 1 ? 'one thing' : `${functions.length} things`} and nothing else: ` +
      `${enumerate(functions.map(([name, { uses }]) => `${name} (${uses}: ${FUNCTION_DOES[uses]})`))}.`,
    ...functions.map(([name, one]) => ofFunction(name, one)),
    `It runs with ${enclave.memoryMiB} MiB of memory and ${count(enclave.cpus, 'CPU')}.`,
    trustInWords(trust),
  ];
}

function ofFunction(name: string, one: FunctionPolicy): string {
  const leaves = ofRelease(one);
  const most = formatSize(one.input.maxBytes);
  if (one.uses === 'counter') {
    return `${name} takes at most ${most}, reads nothing of it, and answers with two whole numbers; ${leaves}`;
  }
  if (one.uses === 'decision-tree') {
    return (
      `${name} takes a record of at most ${count(one.tree.features, 'feature')} in at most ${most} and answers ` +
      `with one label; every tree is padded to ${treeInWords(one.tree)}; ${leaves}`
    );
  }
  return (
    `${name} takes at most ${most} and answers with at most ${entries(one)}, ` +
    `numbers with ${digits(one.output.decimals)}; ${leaves}`
  );
}

const entries = ({ uses, output }: PicturePolicy): string => count(output.topK, ...PICTURE_FUNCTION_FACTS[uses].entry);

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
    `${name} is a ${ROLES[party.role]} and consents with ${keyOf(party)}: what is sealed under that key opens to an ` +
      "image only while the key's policy names the image's measurements. Whoever may change that policy may change who " +
      `opens it; ${name} answers for them.`,
    ...functions.flatMap(([id, one]) => ofContributor(id, one, name)),
    ...functions.map(([id, one]) => ofCaller(id, one, name)),
    ...ofAnchorOwner(policy, name),
  ];
}

function keyOf(party: Party | CanonicalParty): string {
  if (!('kmsKeyArn' in party)) {
    return `the KMS key in ${party.kmsKey.region} whose ARN hashes to ${party.kmsKey.arnHash}`;
  }
  const { region, account, keyId } = parseKmsKeyArn(party.kmsKeyArn);
  return `KMS key ${keyId} of account ${account} in ${region}`;
}

function ofContributor(id: string, one: FunctionPolicy, name: string): string[] {
  if (one.uses === 'counter' || one.model.from !== name) return [];
  const { model } = one;
  const which = model.sha256 === undefined ? 'a model' : `the model with SHA-256 ${model.sha256}`;
  const others = callersOf(one).filter((caller) => caller !== name);
  const learns =
    others.length === 0
      ? []
      : [`${name} learns how often ${enumerate(others)} called ${id}, but neither inputs nor answers.`];
  return [
    `${name} contributes ${which} for ${id}. Nobody else sees its weights; every answer tells a little about them.`,
    ...learns,
  ];
}

function ofCaller(id: string, one: FunctionPolicy, name: string): string {
  const amount = one.calls[name] ?? 0;
  if (amount === 0) return `${name} may not call ${id}.`;
  if (one.uses === 'counter') {
    return (
      `${name} may call ${id} ${times(amount)}. From each call ${name} learns how many calls were counted, those of ` +
      'the others included, and a lot from 0 to 999 that was drawn for it.'
    );
  }
  const { model } = one;
  const answer =
    one.uses === 'decision-tree' ? 'one label' : `${one.output.topK === 1 ? '' : 'at most '}${entries(one)}`;
  const weights = model.from === name ? '' : `, and of the weights of ${model.from} only what these answers tell`;
  return (
    `${name} may call ${id} ${times(amount)}. From each call ${name} learns ` +
    `${answer}${weights}. ` +
    `What ${name} puts in is seen by nobody else; an input that cannot be read costs a call too.`
  );
}

/** Where answers leave when they are ready. */
const howLong = ({ functions }: Policy | CanonicalPolicy): string =>
  Object.values(functions).some(({ release }) => release.afterMs === 0) ? 'how long computing took, ' : '';

function ofHost(policy: Policy | CanonicalPolicy): string[] {
  const regions = new Set(
    Object.values(policy.parties).map((party) =>
      'kmsKeyArn' in party ? parseKmsKeyArn(party.kmsKeyArn).region : party.kmsKey.region,
    ),
  );
  return [
    `The host carries ciphertext. It sees that sessions are opened and calls are made, when, ${howLong(policy)}how large models ` +
      `are, and traffic to KMS in ${enumerate([...regions])}; it sees no input, no weights and no answer.`,
    ...ofTimesAndSizes(policy),
    ...ofAnchorsAtHost(policy),
    'It can stop the enclave, delay it, cut its links and start it again. Secrecy never depends on it; that the ' +
      `enclave is there does${policy.anchors === 'none' ? ', and so do the quotas, as long as spent calls are counted in memory alone (see below)' : ''}.`,
  ];
}
