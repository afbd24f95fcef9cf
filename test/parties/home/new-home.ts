/** A home for tests: alice (3 calls), and bob whose model it is. */
import { defaultEnclaveRole } from '../../../parties/kms/client.ts';
import { localRoot } from '../../../parties/attestation/verify.ts';
import type { NewHome } from '../../../parties/home.ts';
import { canonicalPolicyText, toCanonicalPolicy } from '../../../policies/canonical.ts';
import { policyDigest } from '../../../policies/digest.ts';
import type { Policy } from '../../../policies/model.ts';

export const ALICE_KEY = 'arn:aws:kms:eu-west-1:111122223333:key/a11ce000-0000-4000-8000-000000000001';
export const BOB_KEY = 'arn:aws:kms:eu-west-1:444455556666:key/b0b00000-0000-4000-8000-000000000002';

export const HOME_POLICY: Policy = {
  apiVersion: 'accord/v1',
  collaboration: 'home-test',
  until: '2030-06-30',
  parties: {
    alice: { role: 'data-owner', kmsKeyArn: ALICE_KEY },
    bob: { role: 'model-owner', kmsKeyArn: BOB_KEY },
  },
  functions: {
    classify: {
      uses: 'image-classification',
      model: { from: 'bob' },
      calls: { alice: 3 },
      input: { maxBytes: 1000, buckets: [1000] },
      output: { topK: 1, decimals: 2 },
      release: { afterMs: 0, padTo: 1024 },
    },
  },
  anchors: 'none',
  state: 'none',
  enclave: { memoryMiB: 512, cpus: 1 },
  trust: {
    attestationRoot: 'ab'.repeat(32),
    tlsRoots: ['cd'.repeat(32)],
    endpoints: {
      kms: 'https://kms.{region}.accord.test',
      sts: 'https://sts.{region}.accord.test',
      s3: 'https://s3.{region}.accord.test',
    },
  },
};

export async function newHome(
  party: 'alice' | 'bob' = 'alice',
  orchestrator = 'http://127.0.0.1:7400/',
): Promise<NewHome> {
  const policyText = canonicalPolicyText(await toCanonicalPolicy(HOME_POLICY));
  const digest = await policyDigest(policyText);
  const keyArn = party === 'alice' ? ALICE_KEY : BOB_KEY;
  return {
    config: {
      party,
      orchestrator,
      collaboration: `home-test-${digest.slice(0, 12)}`,
      keyArn,
      profile: party,
      enclaveRoleArn: defaultEnclaveRole(keyArn),
    },
    pins: {
      policyDigest: digest,
      pcrs: { PCR0: 'a0'.repeat(48), PCR1: 'a1'.repeat(48), PCR2: 'a2'.repeat(48) },
      root: localRoot('ab'.repeat(32)),
    },
    policyText,
  };
}
