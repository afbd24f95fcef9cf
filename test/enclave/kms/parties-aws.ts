/** A local AWS whose keys are pinned to the harness's PCR0, and what a party does with it. */
import { DecryptCommand, EncryptCommand, GenerateDataKeyCommand, PutKeyPolicyCommand } from '@aws-sdk/client-kms';
import { AssumeRoleCommand } from '@aws-sdk/client-sts';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EnclaveCredentials } from '../../../enclave/protocol/request.ts';
import { ENCLAVE_ROLE } from '../../../orchestrator/local/accounts.ts';
import type { LocalAws } from '../../../orchestrator/local/aws.ts';
import { startLocalAws } from '../../../orchestrator/local/aws.ts';
import { createKms, createSts } from '../../../parties/kms/client.ts';
import { keyPolicy, keyPolicyText } from '../../../parties/kms/key-policy.ts';
import { trialKeyPolicy } from '../../../parties/kms/trial-key-policy.ts';
import { parseKmsKeyArn } from '../../../policies/arn.ts';
import { canonicalPolicyText, toCanonicalPolicy } from '../../../policies/canonical.ts';
import { policyDigest } from '../../../policies/digest.ts';
import type { Policy } from '../../../policies/model.ts';
import { KEY_ARNS, POLICY } from '../harness.ts';

type PartyName = 'alice' | 'bob';

export interface PartiesAws {
  readonly aws: LocalAws;
  /** The harness's policy with this AWS as its trust. */
  readonly policy: Policy;
  /** Puts this PCR0 and the policy into both keys' policies. */
  pin(pcr0: string): Promise<void>;
  /** Makes both keys keys for trials. */
  forTrials(): Promise<void>;
  readonly encrypt: (
    keyArn: string,
    plaintext: Uint8Array,
    context: Readonly<Record<string, string>>,
  ) => Promise<Uint8Array>;
  dataKey(
    keyArn: string,
    context: Readonly<Record<string, string>>,
  ): Promise<{ readonly plaintext: Uint8Array; readonly ciphertext: Uint8Array }>;
  /** Decrypt with the party's own rights, outside of any enclave. */
  decrypt(keyArn: string, ciphertext: Uint8Array, context: Readonly<Record<string, string>>): Promise<unknown>;
  credentials(party: PartyName): Promise<EnclaveCredentials>;
  /** Decrypts that this AWS has seen so far. */
  decrypts(): number;
  close(): Promise<void>;
}

/** `changes` to the harness's policy. */
export async function startPartiesAws(
  now: () => number = Date.now,
  changes: Partial<Policy> = {},
): Promise<PartiesAws> {
  const dataDir = await mkdtemp(join(tmpdir(), 'aws-'));
  const aws = await startLocalAws({ dataDir, now });
  const policy: Policy = { ...POLICY, ...changes, trust: aws.trust };
  const digest = await policyDigest(canonicalPolicyText(await toCanonicalPolicy(policy)));
  const region = 'eu-west-1';
  const env = aws.environment();
  const skew = now() - Date.now();
  const kmsOf = (keyArn: string): ReturnType<typeof createKms> => {
    const profile = keyArn === KEY_ARNS.alice ? 'alice' : 'bob';
    const kms = createKms({ profile, region, env });
    kms.config.systemClockOffset = skew;
    return kms;
  };
  const stsOf = (profile: string): ReturnType<typeof createSts> => {
    const sts = createSts({ profile, region, env });
    sts.config.systemClockOffset = skew;
    return sts;
  };

  const putPolicies = async (write: typeof trialKeyPolicy): Promise<void> => {
    for (const party of ['alice', 'bob'] as const) {
      const keyArn = KEY_ARNS[party];
      const { account } = parseKmsKeyArn(keyArn);
      const principal = `arn:aws:iam::${account}:user/${party}`;
      const enclaveRoleArn = `arn:aws:iam::${account}:role/${ENCLAVE_ROLE}`;
      const document = write({ keyArn, account, enclaveRoleArn, callerArn: principal, contributorArn: principal });
      await kmsOf(keyArn).send(new PutKeyPolicyCommand({ KeyId: keyArn, Policy: keyPolicyText(document) }));
    }
  };

  return {
    aws,
    policy,
    pin: (pcr0) => putPolicies((terms) => keyPolicy({ ...terms, pins: [{ pcr0, policyDigest: digest }] })),
    forTrials: () => putPolicies(trialKeyPolicy),
    async encrypt(keyArn, plaintext, context) {
      const command = new EncryptCommand({ KeyId: keyArn, Plaintext: plaintext, EncryptionContext: { ...context } });
      return (await kmsOf(keyArn).send(command)).CiphertextBlob ?? new Uint8Array(0);
    },
    async dataKey(keyArn, context) {
      const command = new GenerateDataKeyCommand({
        KeyId: keyArn,
        KeySpec: 'AES_256',
        EncryptionContext: { ...context },
      });
      const { Plaintext: plaintext, CiphertextBlob: ciphertext } = await kmsOf(keyArn).send(command);
      if (plaintext === undefined || ciphertext === undefined) throw new Error('no data key');
      return { plaintext, ciphertext };
    },
    decrypt: (keyArn, ciphertext, context) =>
      kmsOf(keyArn).send(
        new DecryptCommand({ KeyId: keyArn, CiphertextBlob: ciphertext, EncryptionContext: { ...context } }),
      ),
    async credentials(party) {
      const { account } = parseKmsKeyArn(KEY_ARNS[party]);
      const RoleArn = `arn:aws:iam::${account}:role/${ENCLAVE_ROLE}`;
      const statement = { Effect: 'Allow', Action: ['kms:Decrypt', 'kms:GenerateDataKey'], Resource: KEY_ARNS[party] };
      const { Credentials: given } = await stsOf(party).send(
        new AssumeRoleCommand({
          RoleArn,
          RoleSessionName: 'session',
          Policy: JSON.stringify({ Version: '2012-10-17', Statement: [statement] }),
        }),
      );
      return {
        accessKeyId: given?.AccessKeyId ?? '',
        secretAccessKey: given?.SecretAccessKey ?? '',
        sessionToken: given?.SessionToken ?? '',
      };
    },
    decrypts: () => aws.requests().filter(({ operation }) => operation === 'Decrypt').length,
    async close() {
      await aws.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
