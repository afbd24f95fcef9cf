/**
 * The policy of a key for trials: for enclaves in debug mode, which attest zeros whatever they run. No image is named, so
 * whoever holds the enclave role's credentials can open what is under this key, and it is written so that this can only be
 * test data: no data key is given for anything else, and nothing else is opened.
 */
import type { Purpose } from '../../enclave/protocol/context.ts';
import {
  CONDITION_KEYS,
  DATA_KEYS,
  KEY_POLICY_ID,
  TO_CALL,
  allow,
  allowAdministration,
  checkPrincipals,
  deny,
  denyForeignContexts,
  denyTheUnattestable,
} from './key-policy.ts';
import type { KeyPolicy, KeyPolicyTerms } from './key-policy.ts';

const { purpose: PURPOSE, principal: PRINCIPAL } = CONDITION_KEYS;
const TEST_DATA: Purpose = 'test-model';
const TO_KEEP: Purpose = 'state';
const TO_CONTRIBUTE: readonly Purpose[] = [TEST_DATA, 'anchor'];
const TO_OPEN: readonly Purpose[] = [TO_CALL, ...TO_CONTRIBUTE, TO_KEEP];

/** Throws `Failure<KeyPolicyCode>` for principals that cannot be meant. */
export function trialKeyPolicy(terms: Omit<KeyPolicyTerms, 'pins'>): KeyPolicy {
  checkPrincipals(terms);
  const { callerArn, contributorArn, enclaveRoleArn } = terms;
  return {
    Version: '2012-10-17',
    Id: KEY_POLICY_ID,
    Statement: [
      // Attack: a model that was encrypted in earnest is opened by an enclave whose host looks inside.
      deny('DenyOpeningAllButTestData', ['kms:Decrypt'], { StringNotEquals: { [PURPOSE]: TO_OPEN } }),
      // Attack, or slip: what is not marked as test data is encrypted under a key for trials.
      deny('DenyDataKeysForAllButTestData', DATA_KEYS, {
        StringNotEquals: { [PURPOSE]: [...TO_CONTRIBUTE, TO_KEEP] },
      }),
      deny('DenyDataKeysToOthers', DATA_KEYS, {
        StringNotEquals: { [PURPOSE]: TO_KEEP },
        ArnNotEquals: { [PRINCIPAL]: contributorArn },
      }),
      deny('DenyStateKeysToOthers', DATA_KEYS, {
        StringEquals: { [PURPOSE]: TO_KEEP },
        ArnNotEquals: { [PRINCIPAL]: enclaveRoleArn },
      }),
      deny('DenyKeyPairsAndSecrets', ['kms:GenerateDataKeyPair*', 'kms:DeriveSharedSecret']),
      denyTheUnattestable(),
      deny('DenyEncryptForOtherPurposes', ['kms:Encrypt'], { StringNotEquals: { [PURPOSE]: TO_CALL } }),
      deny('DenyEncryptToOthers', ['kms:Encrypt'], { ArnNotEquals: { [PRINCIPAL]: callerArn } }),
      denyForeignContexts(),
      allow('AllowAnyEnclave', enclaveRoleArn, 'kms:Decrypt', { StringEquals: { [PURPOSE]: TO_OPEN } }),
      allow('AllowAnyEnclaveToKeepState', enclaveRoleArn, 'kms:GenerateDataKey', {
        StringEquals: { [PURPOSE]: TO_KEEP },
      }),
      allow('AllowTheCaller', callerArn, 'kms:Encrypt', { StringEquals: { [PURPOSE]: TO_CALL } }),
      allow('AllowTheContributor', contributorArn, 'kms:GenerateDataKey', {
        StringEquals: { [PURPOSE]: TO_CONTRIBUTE },
      }),
      allowAdministration(terms),
    ],
  };
}
