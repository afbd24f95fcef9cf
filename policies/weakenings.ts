import { parseKmsKeyArn } from './arn.ts';
import { endOfDay } from './date.ts';
import type { CanonicalPolicy, Policy } from './model.ts';
import type { Weakening } from './weakening.ts';
import { ofDurability } from './weakenings-anchors.ts';
import { ofMeasuredTimes, type MeasuredTimes } from './weakenings-time.ts';
import { enumerate } from './words.ts';

export type { Weakening, WeakeningCode } from './weakening.ts';

export interface AppraisalOptions {
  /** With it, a policy whose last day has passed is named. */
  readonly now?: Date;
  /** With it, release times that are shorter than computing takes are named. */
  readonly measured?: MeasuredTimes;
}

/** More decimals than this show small differences between inputs, from which weights can be worked out. */
const COARSE_DECIMALS = 3;
/** So many answers are enough to imitate a small model. */
const MANY_CALLS = 10_000;

/** Everything about this policy that protects less than it could. Allowed, and never silent. */
export function weakenings(policy: Policy | CanonicalPolicy, options: AppraisalOptions = {}): readonly Weakening[] {
  return [
    ...ofTrust(policy),
    ...ofDurability(policy),
    ...ofTime(policy, options),
    ...ofRelease(policy),
    ...ofMeasuredTimes(policy, options.measured ?? {}),
    ...ofParties(policy),
    ...Object.entries(policy.functions).flatMap(([name]) => ofFunction(policy, name)),
    ...ofEnclave(policy),
  ];
}

function ofTrust({ trust }: Policy | CanonicalPolicy): Weakening[] {
  if (trust === 'aws') return [];
  const text =
    "Local trust: attestation, KMS, STS and S3 are stand-ins on somebody's own machine, whose owner can read and change " +
    `everything (${trust.endpoints.kms}). For trying it out with data that is not secret, and for nothing else.`;
  return [{ code: 'local-trust', text }];
}

function ofTime({ until }: Policy | CanonicalPolicy, { now }: AppraisalOptions): Weakening[] {
  if (now === undefined || now.getTime() < endOfDay(until)) return [];
  return [{ code: 'expired', text: `Its last day (${until}) has passed: every call will be refused.` }];
}

function ofRelease({ functions }: Policy | CanonicalPolicy): Weakening[] {
  const names = Object.keys(functions).filter((name) => functions[name]?.release.afterMs === 0);
  if (names.length === 0) return [];
  const text =
    `No release time (afterMs) for ${enumerate(names)}: answers leave when they are ready. Their sizes are equal, their ` +
    'times are not: the host learns how long computing took, and often an answer from a refusal.';
  return [{ code: 'no-release-time', text }];
}

function ofParties(policy: Policy | CanonicalPolicy): Weakening[] {
  const names = Object.keys(policy.parties);
  if (names.length === 1) {
    return [{ code: 'one-party', text: `Only ${enumerate(names)} takes part: nobody is protected from anybody.` }];
  }
  const byAccount = new Map<string, string[]>();
  for (const [name, party] of Object.entries(policy.parties)) {
    if (!('kmsKeyArn' in party)) continue;
    const { account } = parseKmsKeyArn(party.kmsKeyArn);
    byAccount.set(account, [...(byAccount.get(account) ?? []), name]);
  }
  return [...byAccount]
    .filter(([, owners]) => owners.length > 1)
    .map(([account, owners]) => ({
      code: 'one-account',
      text:
        `The keys of ${enumerate(owners)} are in one account (${account}): its administrators can open each of them, ` +
        'so these parties are not protected from each other.',
    }));
}

function ofFunction(policy: Policy | CanonicalPolicy, name: string): Weakening[] {
  const found: Weakening[] = [];
  const one = policy.functions[name];
  if (one === undefined || one.uses === 'counter') return found;
  const { model, calls } = one;
  if (model.sha256 === undefined) {
    found.push({
      code: 'model-not-pinned',
      text: `${name}: the model is not pinned by its SHA-256, so ${model.from} may contribute another one at any time.`,
    });
  }
  if (one.uses !== 'decision-tree' && one.output.decimals > COARSE_DECIMALS) {
    found.push({
      code: 'fine-answers',
      text: `${name}: ${one.output.decimals} decimals let a caller work out more about the weights of ${model.from} from each answer.`,
    });
  }
  for (const [caller, amount] of Object.entries(calls)) {
    if (caller === model.from || amount < MANY_CALLS) continue;
    found.push({
      code: 'many-calls',
      text: `${name}: ${amount} calls can be enough for ${caller} to train an imitation of the model of ${model.from}.`,
    });
  }
  return found;
}

function ofEnclave({ enclave }: Policy | CanonicalPolicy): Weakening[] {
  if (enclave.cpus % 2 === 0) return [];
  const text =
    `${enclave.cpus} CPUs are not full cores where a core has two threads: Nitro gives full cores only, and elsewhere ` +
    'a neighbour on the other thread could watch.';
  return [{ code: 'half-a-core', text }];
}
