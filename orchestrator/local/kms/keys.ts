/** Making keys, describing them, switching them off and letting them go. */
import { randomUUID } from 'node:crypto';
import { defaultKeyPolicy, makeKey } from '../accounts.ts';
import { AwsError, notInMiniature } from '../errors.ts';
import type { KmsKey, State } from '../state.ts';
import { withKey } from '../state.ts';
import type { JsonObject } from '../wire/json.ts';
import { authorizeAccountAction, authorizedKey } from './authorize.ts';
import type { KmsCall, Operation } from './call.ts';
import { KEY_ID, keyNotFound, liveKey, liveKeys, materialId } from './key-ids.ts';
import { checkNewPolicy, readPolicyText } from './key-policies.ts';
import { page } from './pages.ts';

const SPECS = [
  'RSA_2048',
  'RSA_3072',
  'RSA_4096',
  'ECC_NIST_P256',
  'ECC_NIST_P384',
  'ECC_NIST_P521',
  'ECC_SECG_P256K1',
  'ECC_NIST_EDWARDS25519',
  'SYMMETRIC_DEFAULT',
  'HMAC_224',
  'HMAC_256',
  'HMAC_384',
  'HMAC_512',
  'ML_DSA_44',
  'ML_DSA_65',
  'ML_DSA_87',
  'SM2',
];
const USAGES = ['SIGN_VERIFY', 'ENCRYPT_DECRYPT', 'GENERATE_VERIFY_MAC', 'KEY_AGREEMENT'];
const ORIGINS = ['AWS_KMS', 'EXTERNAL', 'AWS_CLOUDHSM', 'EXTERNAL_KEY_STORE'];
const DAY = 86_400_000;

export const createKey: Operation = async (call) => {
  const { input, principal, region, now } = call;
  const description = input.text('Description', { max: 8192, optional: true }) ?? '';
  const spec =
    input.text('KeySpec', { oneOf: SPECS, optional: true }) ??
    input.text('CustomerMasterKeySpec', { oneOf: SPECS, optional: true }) ??
    'SYMMETRIC_DEFAULT';
  const usage = input.text('KeyUsage', { oneOf: USAGES, optional: true }) ?? 'ENCRYPT_DECRYPT';
  const origin = input.text('Origin', { oneOf: ORIGINS, optional: true }) ?? 'AWS_KMS';
  const multiRegion = input.flag('MultiRegion');
  const policy = input.has('Policy') ? readPolicyText(call) : undefined;
  const bypass = input.flag('BypassPolicyLockoutSafetyCheck');
  input.done();
  if (spec !== 'SYMMETRIC_DEFAULT') throw notInMiniature(`A key of spec ${spec}`);
  if (usage !== 'ENCRYPT_DECRYPT') {
    throw new AwsError('ValidationException', `KeyUsage ${usage} is not compatible with KeySpec SYMMETRIC_DEFAULT`);
  }
  if (origin !== 'AWS_KMS') throw notInMiniature(`A key of origin ${origin}`);
  if (multiRegion) throw notInMiniature('A multi-Region key');
  for (const absent of ['CustomKeyStoreId', 'XksKeyId', 'Tags']) {
    if (input.has(absent)) throw notInMiniature(`CreateKey with ${absent}`);
  }
  authorizeAccountAction(call, 'kms:CreateKey', {
    more: {
      'kms:KeySpec': [spec],
      'kms:KeyUsage': [usage],
      'kms:KeyOrigin': [origin],
      'kms:MultiRegion': ['false'],
      'kms:BypassPolicyLockoutSafetyCheck': [String(bypass)],
    },
  });
  const key = makeKey({
    account: principal.account,
    region,
    keyId: randomUUID(),
    now,
    description,
    policy: policy ?? defaultKeyPolicy(principal.account),
  });
  if (policy !== undefined) checkNewPolicy(call, key, policy, bypass);
  call.trace.key = key.arn;
  await call.store.change((state) => [withKey(state, key), undefined]);
  return { KeyMetadata: metadata(key) };
};

export const describeKey: Operation = async (call) => {
  const keyId = call.input.text('KeyId', KEY_ID);
  call.input.done();
  return { KeyMetadata: metadata(authorizedKey(call, keyId, 'kms:DescribeKey')) };
};

export const listKeys: Operation = async (call) => {
  const cut = page(call, { max: 1000, usual: 100 });
  authorizeAccountAction(call, 'kms:ListKeys');
  const mine = liveKeys(call.store.current(), call.now)
    .filter(({ account, region }) => account === call.principal.account && region === call.region)
    .map(({ keyId, arn }) => ({ KeyId: keyId, KeyArn: arn }));
  return cut('Keys', mine);
};

/** None exist here; asking is answered as AWS does for an account without one. */
export const listAliases: Operation = async (call) => {
  const cut = page(call, { max: 100, usual: 50 });
  authorizeAccountAction(call, 'kms:ListAliases');
  return cut('Aliases', []);
};

export const enableKey: Operation = (call) =>
  changeKey(call, 'kms:EnableKey', (key) => {
    notPendingDeletion(key);
    return [{ ...key, state: 'Enabled' }, {}];
  });

export const disableKey: Operation = (call) =>
  changeKey(call, 'kms:DisableKey', (key) => {
    notPendingDeletion(key);
    return [{ ...key, state: 'Disabled' }, {}];
  });

export const scheduleKeyDeletion: Operation = (call) => {
  const days = call.input.integer('PendingWindowInDays', { min: 1, max: 365 }) ?? 30;
  return changeKey(
    call,
    'kms:ScheduleKeyDeletion',
    (key) => {
      if (days < 7 || days > 30) {
        throw new AwsError('ValidationException', 'PendingWindowInDays must be between 7 and 30.');
      }
      notPendingDeletion(key);
      const deleteAt = call.now + days * DAY;
      return [
        { ...key, state: 'PendingDeletion', deleteAt },
        { KeyId: key.arn, DeletionDate: deleteAt / 1000, KeyState: 'PendingDeletion', PendingWindowInDays: days },
      ];
    },
    { 'kms:ScheduleKeyDeletionPendingWindowInDays': [String(days)] },
  );
};

export const cancelKeyDeletion: Operation = (call) =>
  changeKey(call, 'kms:CancelKeyDeletion', ({ deleteAt, ...key }) => {
    if (deleteAt === undefined) throw new AwsError('KMSInvalidStateException', `${key.arn} is not pending deletion.`);
    // The key comes back switched off, as in AWS.
    return [{ ...key, state: 'Disabled' }, { KeyId: key.arn }];
  });

async function changeKey(
  call: KmsCall,
  action: string,
  change: (key: KmsKey) => readonly [KmsKey, JsonObject],
  more: Readonly<Record<string, readonly string[]>> = {},
): Promise<JsonObject> {
  const keyId = call.input.text('KeyId', KEY_ID);
  call.input.done();
  const { arn } = authorizedKey(call, keyId, action, { more });
  return await call.store.change((state): readonly [State, JsonObject] => {
    const key = liveKey(state, arn, call.now);
    if (key === undefined) throw keyNotFound(arn);
    const [next, answer] = change(key);
    return [withKey(state, next), answer];
  });
}

function notPendingDeletion(key: KmsKey): void {
  if (key.state === 'PendingDeletion') {
    throw new AwsError('KMSInvalidStateException', `${key.arn} is pending deletion.`);
  }
}

function metadata(key: KmsKey): JsonObject {
  return {
    AWSAccountId: key.account,
    KeyId: key.keyId,
    Arn: key.arn,
    CreationDate: key.createdAt / 1000,
    Enabled: key.state === 'Enabled',
    Description: key.description,
    KeyUsage: 'ENCRYPT_DECRYPT',
    KeyState: key.state,
    ...(key.deleteAt === undefined ? {} : { DeletionDate: key.deleteAt / 1000 }),
    Origin: 'AWS_KMS',
    KeyManager: 'CUSTOMER',
    CustomerMasterKeySpec: 'SYMMETRIC_DEFAULT',
    KeySpec: 'SYMMETRIC_DEFAULT',
    EncryptionAlgorithms: ['SYMMETRIC_DEFAULT'],
    MultiRegion: false,
    CurrentKeyMaterialId: materialId(key),
  };
}
