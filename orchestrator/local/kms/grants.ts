/**
 * Grants: permissions on a key that stand beside its policy. An explicit Deny in the policy beats them, and only what the
 * policy lets a caller grant (kms:CreateGrant) can be granted at all.
 */
import { createHash, randomBytes } from 'node:crypto';
import { AwsError } from '../errors.ts';
import { parseArn } from '../iam/arn.ts';
import { principalArn, reachOf } from '../iam/principal.ts';
import type { Grant, KmsKey } from '../state.ts';
import { principalExists, withKey } from '../state.ts';
import type { JsonObject } from '../wire/json.ts';
import type { RequestFacts } from './authorize.ts';
import { authorizedKey, authorizeOnKey, decideOnKey } from './authorize.ts';
import type { KmsCall, Operation } from './call.ts';
import { KEY_ID, keyNotFound, liveKey, liveKeys, resolveKeyArn } from './key-ids.ts';
import { page } from './pages.ts';

/** Operations a grant can allow at all, and those that fit a symmetric key. */
const SYMMETRIC_OPERATIONS = [
  'Decrypt',
  'Encrypt',
  'GenerateDataKey',
  'GenerateDataKeyWithoutPlaintext',
  'ReEncryptFrom',
  'ReEncryptTo',
  'CreateGrant',
  'RetireGrant',
  'DescribeKey',
  'GenerateDataKeyPair',
  'GenerateDataKeyPairWithoutPlaintext',
];
const OPERATIONS = [
  ...SYMMETRIC_OPERATIONS,
  'Sign',
  'Verify',
  'GetPublicKey',
  'GenerateMac',
  'VerifyMac',
  'DeriveSharedSecret',
];
const PRINCIPAL = { min: 1, max: 256, pattern: /^[\w+=,.@:/-]+$/ } as const;
const GRANT_ID = { min: 1, max: 128 } as const;
const TOKEN = { min: 1, max: 8192 } as const;
const MAX_GRANTS = 50_000;

export const createGrant: Operation = async (call) => {
  const { input } = call;
  const keyId = input.text('KeyId', KEY_ID);
  const grantee = input.text('GranteePrincipal', PRINCIPAL);
  const retiring = input.text('RetiringPrincipal', { ...PRINCIPAL, optional: true });
  const operations = input.texts('Operations', { oneOf: OPERATIONS });
  const limits = input.nested('Constraints');
  const constraints = {
    EncryptionContextSubset: limits?.textMap('EncryptionContextSubset'),
    EncryptionContextEquals: limits?.textMap('EncryptionContextEquals'),
  };
  const name = input.text('Name', { min: 1, max: 256, pattern: /^[a-zA-Z0-9:/_-]+$/, optional: true });
  readGrantTokens(call);
  input.done();
  if (operations === undefined || operations.length === 0) {
    throw new AwsError(
      'ValidationException',
      "1 validation error detected: Value null at 'operations' failed to satisfy constraint: Member must not be null",
    );
  }
  const constraintType = Object.entries(constraints).filter(([, value]) => value !== undefined);
  const facts: RequestFacts = {
    more: {
      'kms:GrantOperations': operations,
      'kms:GranteePrincipal': [grantee],
      // No AWS service calls on anybody's behalf here.
      'kms:GrantIsForAWSResource': ['false'],
      ...(retiring === undefined ? {} : { 'kms:RetiringPrincipal': [retiring] }),
      ...(constraintType.length === 0 ? {} : { 'kms:GrantConstraintType': constraintType.map(([type]) => type) }),
    },
  };
  const key = authorizedKey(call, keyId, 'kms:CreateGrant', facts);
  const wrong = operations.filter((operation) => !SYMMETRIC_OPERATIONS.includes(operation));
  if (wrong.length > 0) {
    throw new AwsError('ValidationException', `Grant operations contain unsupported operations: [${wrong.join(', ')}]`);
  }
  for (const principal of [grantee, ...(retiring === undefined ? [] : [retiring])]) checkPrincipal(call, principal);
  const wanted = {
    grantee,
    operations: [...new Set(operations)],
    ...(retiring === undefined ? {} : { retiring }),
    ...(name === undefined ? {} : { name }),
    ...(constraintType.length === 0 ? {} : { constraints: Object.fromEntries(constraintType) }),
  };
  checkDelegation(call, key, wanted, facts);
  const grant = await call.store.change((state) => {
    const current = liveKey(state, key.arn, call.now);
    if (current === undefined) throw keyNotFound(key.arn);
    if (current.state !== 'Enabled') throw new AwsError('KMSInvalidStateException', `${key.arn} is not enabled.`);
    if (current.grants.length >= MAX_GRANTS) throw new AwsError('LimitExceededException', 'Too many grants.');
    // The same named grant once more is the same grant: a retry makes no second one.
    const before = name === undefined ? undefined : current.grants.find((each) => sameGrant(each, wanted));
    if (before !== undefined) return [state, before];
    const made: Grant = {
      ...wanted,
      id: createHash('sha256').update(randomBytes(32)).digest('hex'),
      token: randomBytes(64).toString('base64'),
      createdAt: call.now,
      issuingAccount: `arn:aws:iam::${call.principal.account}:root`,
    };
    return [withKey(state, { ...current, grants: [...current.grants, made] }), made];
  });
  return { GrantToken: grant.token, GrantId: grant.id };
};

export const listGrants: Operation = async (call) => {
  const keyId = call.input.text('KeyId', KEY_ID);
  const id = call.input.text('GrantId', { ...GRANT_ID, optional: true });
  const grantee = call.input.text('GranteePrincipal', { ...PRINCIPAL, optional: true });
  const cut = page(call, { max: 100, usual: 50 });
  const key = authorizedKey(call, keyId, 'kms:ListGrants');
  const found = key.grants.filter(
    (grant) => (id === undefined || grant.id === id) && (grantee === undefined || grant.grantee === grantee),
  );
  if (id !== undefined && found.length === 0) throw grantNotFound();
  return cut(
    'Grants',
    found.map((grant) => entry(key, grant)),
  );
};

export const listRetirableGrants: Operation = async (call) => {
  const retiring = call.input.text('RetiringPrincipal', PRINCIPAL);
  const cut = page(call, { max: 100, usual: 50 });
  if (parseArn(retiring)?.account !== call.principal.account) {
    throw new AwsError(
      'AccessDeniedException',
      `${call.principal.arn} may list only grants that its own account retires.`,
    );
  }
  const grants = liveKeys(call.store.current(), call.now).flatMap((key) =>
    key.grants.filter((grant) => grant.retiring === retiring).map((grant) => entry(key, grant)),
  );
  return cut('Grants', grants);
};

export const revokeGrant: Operation = async (call) => {
  const keyId = call.input.text('KeyId', KEY_ID);
  const id = call.input.text('GrantId', GRANT_ID);
  call.input.done();
  const key = authorizedKey(call, keyId, 'kms:RevokeGrant');
  await removeGrant(call, key.arn, id);
  return {};
};

/** By the retiring principal, by a grantee whose grant says RetireGrant, or by whom a policy lets. */
export const retireGrant: Operation = async (call) => {
  const token = call.input.text('GrantToken', { ...TOKEN, optional: true });
  const keyId = call.input.text('KeyId', { ...KEY_ID, optional: true });
  const id = call.input.text('GrantId', { ...GRANT_ID, optional: true });
  call.input.done();
  const state = call.store.current();
  if (token === undefined && (keyId === undefined || id === undefined)) {
    throw new AwsError('ValidationException', 'Either a grant token, or both a key ARN and a grant id, must be given.');
  }
  const keys = liveKeys(state, call.now);
  const key =
    token === undefined
      ? keys.find(({ arn }) => arn === resolveKeyArn(keyId ?? '', call))
      : keys.find(({ grants }) => grants.some((grant) => grant.token === token));
  const grant = key?.grants.find((each) => (token === undefined ? each.id === id : each.token === token));
  if (key === undefined || grant === undefined) {
    if (token !== undefined) throw new AwsError('InvalidGrantTokenException', 'The grant token is not valid.');
    throw grantNotFound();
  }
  const mayRetire =
    (grant.retiring !== undefined && reachOf(grant.retiring, call.principal) !== undefined) ||
    (grant.operations.includes('RetireGrant') && reachOf(grant.grantee, call.principal) !== undefined);
  // An explicit Deny still counts, so the retiring principal's own right only stands in for a missing Allow.
  const decision = decideOnKey(call, key, 'kms:RetireGrant', {}, key.policy);
  if (!decision.allowed && (decision.explicit || !mayRetire)) authorizeOnKey(call, key, 'kms:RetireGrant');
  call.trace.key = key.arn;
  call.trace.decisions.push({ action: 'kms:RetireGrant', resource: key.arn, allowed: true });
  await removeGrant(call, key.arn, grant.id);
  return {};
};

/** Grants take effect at once here, so a token adds nothing; one that is not a grant's is refused all the same. */
export function readGrantTokens(call: KmsCall): void {
  const tokens = call.input.texts('GrantTokens', { ...TOKEN, items: 10 }) ?? [];
  const known = new Set(call.store.current().keys.flatMap(({ grants }) => grants.map(({ token }) => token)));
  if (tokens.some((token) => !known.has(token))) {
    throw new AwsError('InvalidGrantTokenException', 'The grant token is not valid.');
  }
}

/** Who may grant only because of a grant can hand on no more than that grant holds, under the same constraints. */
function checkDelegation(
  call: KmsCall,
  key: KmsKey,
  wanted: Pick<Grant, 'operations' | 'constraints'>,
  facts: RequestFacts,
): void {
  if (decideOnKey(call, { ...key, grants: [] }, 'kms:CreateGrant', facts, key.policy).allowed) return;
  const parents = key.grants.filter(
    ({ operations, grantee }) => operations.includes('CreateGrant') && reachOf(grantee, call.principal) !== undefined,
  );
  const covered = parents.some(
    (parent) =>
      wanted.operations.every((operation) => parent.operations.includes(operation)) &&
      (parent.constraints === undefined || JSON.stringify(parent.constraints) === JSON.stringify(wanted.constraints)),
  );
  if (!covered) {
    throw new AwsError(
      'AccessDeniedException',
      `User: ${principalArn(call.principal)} may grant no more than its own grant allows on ${key.arn}`,
    );
  }
}

function checkPrincipal(call: KmsCall, principal: string): void {
  if (parseArn(principal) === undefined || !principalExists(call.store.current(), principal)) {
    throw new AwsError('InvalidArnException', `ARN ${principal} is not a valid principal`);
  }
}

async function removeGrant(call: KmsCall, arn: string, id: string): Promise<void> {
  await call.store.change((state) => {
    const key = liveKey(state, arn, call.now);
    if (key === undefined) throw keyNotFound(arn);
    if (!key.grants.some((grant) => grant.id === id)) throw grantNotFound();
    return [withKey(state, { ...key, grants: key.grants.filter((grant) => grant.id !== id) }), undefined];
  });
}

function grantNotFound(): AwsError {
  return new AwsError('NotFoundException', 'The grant does not exist.');
}

function sameGrant(grant: Grant, wanted: Omit<Grant, 'id' | 'token' | 'createdAt' | 'issuingAccount'>): boolean {
  return (
    grant.name === wanted.name &&
    grant.grantee === wanted.grantee &&
    grant.retiring === wanted.retiring &&
    JSON.stringify(grant.operations) === JSON.stringify(wanted.operations) &&
    JSON.stringify(grant.constraints) === JSON.stringify(wanted.constraints)
  );
}

function entry(key: KmsKey, grant: Grant): JsonObject {
  return {
    KeyId: key.arn,
    GrantId: grant.id,
    Name: grant.name ?? '',
    CreationDate: grant.createdAt / 1000,
    GranteePrincipal: grant.grantee,
    ...(grant.retiring === undefined ? {} : { RetiringPrincipal: grant.retiring }),
    IssuingAccount: grant.issuingAccount,
    Operations: grant.operations,
    ...(grant.constraints === undefined ? {} : { Constraints: grant.constraints }),
  };
}
