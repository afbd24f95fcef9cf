/** Alice and Bob at the local AWS: their homes, their keys' policies, their sessions, Bob's model. */
import { PutKeyPolicyCommand } from '@aws-sdk/client-kms';
import { join } from 'node:path';
import type { Pcrs } from '../../build/measure/pcr.ts';
import { ENCLAVE_ROLE, HOME_REGION } from '../../orchestrator/local/accounts.ts';
import type { LocalAws } from '../../orchestrator/local/aws.ts';
import { localRoot } from '../../parties/attestation/verify.ts';
import { contributeModel, prepareModel } from '../../parties/contribute/contribute.ts';
import type { Coordinator } from '../../parties/coordinator/client.ts';
import type { Home } from '../../parties/home.ts';
import { createKms, createSts } from '../../parties/kms/client.ts';
import { kmsDataKeys } from '../../parties/kms/data-keys.ts';
import { keyPolicy, keyPolicyText } from '../../parties/kms/key-policy.ts';
import { challengeEncryption, enclaveCredentials } from '../../parties/session/aws.ts';
import type { FrameChannel } from '../../parties/session/channel.ts';
import { pinnedExpectation } from '../../parties/session/expectation.ts';
import { openSession } from '../../parties/session/session.ts';
import type { Session } from '../../parties/session/session.ts';
import { parseKmsKeyArn } from '../../policies/arn.ts';
import { parseCanonicalPolicy } from '../../policies/canonical.ts';
import { policyDigest } from '../../policies/digest.ts';
import { CALL_TERMS, FUNCTION, KEY_ARNS } from './samples.ts';
import type { Subject } from './samples.ts';

export type Party = keyof typeof KEY_ARNS;
export const PARTIES: readonly Party[] = ['alice', 'bob'];

export const random = (bytes: number): Uint8Array => crypto.getRandomValues(new Uint8Array(bytes));

/** What both have agreed to. */
export interface Agreement {
  readonly measurements: Pcrs;
  readonly canonicalPolicy: string;
  /** Where it is coordinated. */
  readonly orchestrator: string;
  readonly collaboration: string;
}

type Settings = Parameters<typeof createKms>[0];

const settings = (aws: LocalAws, profile: Party): Settings => ({
  profile,
  region: HOME_REGION,
  env: aws.environment(),
});

const roleOf = (keyArn: string): string => `arn:aws:iam::${parseKmsKeyArn(keyArn).account}:role/${ENCLAVE_ROLE}`;

/** What `accord init` would have written; here it lives in memory, and only the outbox is a folder below `folder`. */
export async function homeOf(aws: LocalAws, folder: string, party: Party, agreement: Agreement): Promise<Home> {
  const { measurements, canonicalPolicy, orchestrator, collaboration } = agreement;
  const keyArn = KEY_ARNS[party];
  return {
    path: join(folder, `home-${party}`),
    config: { party, orchestrator, collaboration, keyArn, profile: party, enclaveRoleArn: roleOf(keyArn) },
    pins: {
      policyDigest: await policyDigest(canonicalPolicy),
      pcrs: measurements,
      root: localRoot(aws.issuer.rootSha256),
    },
    policy: parseCanonicalPolicy(canonicalPolicy),
  };
}

/** Both parties' keys open to these images, and to nothing else. */
export async function pin(aws: LocalAws, images: readonly Pick<Home, 'pins'>[]): Promise<void> {
  for (const party of PARTIES) {
    const keyArn = KEY_ARNS[party];
    const { account } = parseKmsKeyArn(keyArn);
    const user = `arn:aws:iam::${account}:user/${party}`;
    const document = keyPolicy({
      keyArn,
      account,
      pins: images.map(({ pins }) => ({ pcr0: pins.pcrs.PCR0, policyDigest: pins.policyDigest })),
      enclaveRoleArn: roleOf(keyArn),
      callerArn: user,
      contributorArn: user,
    });
    const kms = createKms(settings(aws, party));
    try {
      await kms.send(new PutKeyPolicyCommand({ KeyId: keyArn, Policy: keyPolicyText(document) }));
    } finally {
      kms.destroy();
    }
  }
}

type Lent = Pick<Parameters<typeof openSession>[0], 'encryptChallenge' | 'credentials'>;

/** What a session asks of the party's own KMS and STS. */
export async function withAccount<T>(aws: LocalAws, party: Party, work: (lent: Lent) => Promise<T>): Promise<T> {
  const keyArn = KEY_ARNS[party];
  const [kms, sts] = [createKms(settings(aws, party)), createSts(settings(aws, party))];
  try {
    return await work({
      encryptChallenge: challengeEncryption(kms, keyArn),
      credentials: enclaveCredentials(sts, { roleArn: roleOf(keyArn), keyArn, sessionName: `bench-${party}` }),
    });
  } finally {
    kms.destroy();
    sts.destroy();
  }
}

/** As `accord call` opens it. */
export function openSessionOf(aws: LocalAws, party: Party, home: Home, channel: FrameChannel): Promise<Session> {
  return withAccount(aws, party, (lent) =>
    openSession({
      channel,
      party,
      keyArn: home.config.keyArn,
      policyDigest: home.pins.policyDigest,
      expectation: pinnedExpectation(home),
      ...lent,
      random,
      now: () => new Date(),
    }),
  );
}

export interface Delivery {
  readonly coordinator: Pick<Coordinator, 'contribute'>;
  readonly openSession: () => Promise<Session>;
}

/** As `accord contribute` brings Bob's model. */
export async function contribute(
  aws: LocalAws,
  bob: Home,
  subject: Pick<Subject, 'manifest' | 'onnx'>,
  delivery: Delivery,
  functionName: string = FUNCTION,
): Promise<void> {
  const policy = bob.policy.functions[functionName];
  if (policy === undefined || policy.uses === 'counter')
    throw new Error(`the policy has no function ${functionName} with a model`);
  const kms = createKms(settings(aws, 'bob'));
  try {
    await contributeModel({
      home: bob,
      functionName,
      ...prepareModel(subject.manifest, subject.onnx, policy),
      ...delivery,
      dataKeys: kmsDataKeys(kms),
      random,
      onProgress: () => {},
    });
  } finally {
    kms.destroy();
  }
}

/** The answer's JSON; throws where there is none, so that a refusal is never taken for a fast answer. */
export async function call(session: Session, picture: Uint8Array): Promise<string> {
  const answer = await session.call(FUNCTION, random(32), picture, CALL_TERMS);
  if (answer.t === 'answer') return answer.output;
  throw new Error(`the enclave refused: ${answer.refused} ${answer.detail ?? ''}`);
}

/** How many labels or objects an answer has. */
export function found(output: string): number {
  const answer: { readonly labels?: readonly unknown[]; readonly objects?: readonly unknown[] } = JSON.parse(output);
  return (answer.objects ?? answer.labels)?.length ?? 0;
}
