/**
 * What a keyed enclave knows: everything that connections and the pipeline read. Whatever touches the world behind it
 * came in as an argument of `service.ts`.
 */
import { parseKmsKeyArn } from '../policies/arn.ts';
import { kmsKeyArnHash } from '../policies/digest.ts';
import { Failure } from '../policies/failure.ts';
import type { Confinement } from './jail/confinement.ts';
import type { CanonicalPolicy, ModelFunctionKind, ModelFunctionPolicy, PolicyDigest } from '../policies/model.ts';
import type { Issuer } from './attest/issue.ts';
import type { GivenAnswers } from './claims/given.ts';
import type { Contributions } from './contributor.ts';
import type { CallsUnderWay } from './calls-under-way.ts';
import type { RandomSource } from './crypto/random.ts';
import type { Timers } from './deadline.ts';
import type { ModelPackage } from './functions/model-package.ts';
import type { Computer } from './jail/gate-side.ts';
import type { AttestedDecrypt } from './kms/attested.ts';
import type { ModelShelf } from './models.ts';
import type { Schedule } from './pipeline/schedule.ts';
import type { Terms } from './pipeline/terms.ts';
import type { PaddedAnswer } from './protocol/answer.ts';
import type { Slots } from './slots.ts';
import type { Opening } from './state/opening.ts';
import type { Turns } from './state/turns.ts';
import type { Host } from './vsock/host.ts';

export type GateCode = 'launch/key-unknown' | 'launch/key-missing';

/** `startComputer` of the jail, its paths, timers and nursery already given. */
export type StartComputer = (options: {
  readonly kind: ModelFunctionKind;
  readonly model: ModelPackage;
  readonly policy: ModelFunctionPolicy;
  readonly signal?: AbortSignal;
}) => Promise<Computer>;

const LAUNCH_HINT = 'launch with the policy that the image was built from';

export interface Gate {
  readonly policy: CanonicalPolicy;
  readonly policyDigest: PolicyDigest;
  /** PCR0 is zero: the hypervisor lets the host look inside. */
  readonly debug: boolean;
  readonly issuer: Issuer;
  /** Key ARN -> party, as the host handed them over and the policy's hashes confirmed. */
  readonly keyring: ReadonlyMap<string, string>;
  readonly decrypt: AttestedDecrypt;
  /** Resolves when this boot's key for KMS is made, which takes a slow processor longer than a peer is given. */
  readonly recipientKeyMade: Promise<unknown>;
  /** Sizes and times of calls. */
  readonly terms: Terms;
  /** Tickets and records, once the state is open. */
  readonly opening: Opening;
  /** What was answered, for whoever asks again. */
  readonly given: GivenAnswers<PaddedAnswer>;
  readonly models: ModelShelf;
  readonly contributions: Contributions;
  /** One call in flight for each party, and one contribution. */
  readonly slots: Slots;
  readonly underWay: CallsUnderWay;
  /** Of each party one piece of what it asks is opened or answered at a time, whatever number of sessions it has; see `schedule.breathe`. */
  readonly intake: Turns;
  /** And one question for its status, which asks the anchors about every function. */
  readonly inquiries: Turns;
  /** When answers leave. */
  readonly schedule: Schedule;
  readonly startComputer: StartComputer;
  /** What holds the jails. */
  readonly confinement: () => Promise<Confinement>;
  readonly host: Host;
  readonly random: RandomSource;
  readonly timers: Timers;
  /** Told of an error of our own in one call. */
  readonly fault: (error: unknown) => void;
}

/**
 * The host knows the ARNs, the policy knows their hashes. Every party's must be there, and none besides: a host that
 * offers keys of its own gets nothing.
 */
export async function confirmKeys(
  policy: CanonicalPolicy,
  keyArns: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const keyring = new Map<string, string>();
  for (const arn of keyArns) {
    const hash = await kmsKeyArnHash(arn);
    const party = Object.entries(policy.parties).find(
      ([, { kmsKey }]) => kmsKey.arnHash === hash && kmsKey.region === parseKmsKeyArn(arn).region,
    );
    if (party === undefined) {
      throw new Failure<GateCode>(
        'refused',
        'launch/key-unknown',
        'the host offered a key that no party of the policy owns',
        {
          where: `${new Set(keyArns).size} key ARNs for ${Object.keys(policy.parties).length} parties`,
          hint: LAUNCH_HINT,
        },
      );
    }
    keyring.set(arn, party[0]);
  }
  const known = new Set(keyring.values());
  const missing = Object.keys(policy.parties).find((party) => !known.has(party));
  if (missing !== undefined) {
    throw new Failure<GateCode>(
      'refused',
      'launch/key-missing',
      `the host did not hand over the key ARN of ${missing}`,
      { where: missing, hint: LAUNCH_HINT },
    );
  }
  return keyring;
}
