/** KMS's table of contents: which operations there are. What AWS has and this has not is refused by name. */
import { AwsError, notInMiniature } from '../errors.ts';
import type { JsonObject } from '../wire/json.ts';
import type { KmsCall, Operation } from './call.ts';
import { createGrant, listGrants, listRetirableGrants, retireGrant, revokeGrant } from './grants.ts';
import { getKeyPolicy, listKeyPolicies, putKeyPolicy } from './key-policies.ts';
import {
  cancelKeyDeletion,
  createKey,
  describeKey,
  disableKey,
  enableKey,
  listAliases,
  listKeys,
  scheduleKeyDeletion,
} from './keys.ts';
import {
  decrypt,
  encrypt,
  generateDataKey,
  generateDataKeyWithoutPlaintext,
  generateRandom,
  reEncrypt,
} from './operations.ts';

const OPERATIONS: Readonly<Record<string, Operation>> = {
  CancelKeyDeletion: cancelKeyDeletion,
  CreateGrant: createGrant,
  CreateKey: createKey,
  Decrypt: decrypt,
  DescribeKey: describeKey,
  DisableKey: disableKey,
  EnableKey: enableKey,
  Encrypt: encrypt,
  GenerateDataKey: generateDataKey,
  GenerateDataKeyWithoutPlaintext: generateDataKeyWithoutPlaintext,
  GenerateRandom: generateRandom,
  GetKeyPolicy: getKeyPolicy,
  ListAliases: listAliases,
  ListGrants: listGrants,
  ListKeyPolicies: listKeyPolicies,
  ListKeys: listKeys,
  ListRetirableGrants: listRetirableGrants,
  PutKeyPolicy: putKeyPolicy,
  ReEncrypt: reEncrypt,
  RetireGrant: retireGrant,
  RevokeGrant: revokeGrant,
  ScheduleKeyDeletion: scheduleKeyDeletion,
};

const ABSENT: ReadonlySet<string> = new Set([
  'ConnectCustomKeyStore',
  'CreateAlias',
  'CreateCustomKeyStore',
  'DeleteAlias',
  'DeleteCustomKeyStore',
  'DeleteImportedKeyMaterial',
  'DeriveSharedSecret',
  'DescribeCustomKeyStores',
  'DisableKeyRotation',
  'DisconnectCustomKeyStore',
  'EnableKeyRotation',
  'GenerateDataKeyPair',
  'GenerateDataKeyPairWithoutPlaintext',
  'GenerateMac',
  'GetKeyRotationStatus',
  'GetParametersForImport',
  'GetPublicKey',
  'ImportKeyMaterial',
  'ListKeyRotations',
  'ListResourceTags',
  'ReplicateKey',
  'RotateKeyOnDemand',
  'Sign',
  'TagResource',
  'UntagResource',
  'UpdateAlias',
  'UpdateCustomKeyStore',
  'UpdateKeyDescription',
  'UpdatePrimaryRegion',
  'Verify',
  'VerifyMac',
]);

export async function callKms(call: KmsCall): Promise<JsonObject> {
  const operation = Object.hasOwn(OPERATIONS, call.operation) ? OPERATIONS[call.operation] : undefined;
  if (operation !== undefined) return await operation(call);
  if (ABSENT.has(call.operation)) throw notInMiniature(`kms:${call.operation}`);
  throw new AwsError('UnknownOperationException', '');
}
