/** Key policies: reading them, and putting a new one under the checks that KMS makes. */
import { AwsError } from '../errors.ts';
import type { PolicyDocument } from '../iam/document.ts';
import { parsePolicyDocument, PolicyFault } from '../iam/document.ts';
import type { KmsKey } from '../state.ts';
import { principalExists, withKey } from '../state.ts';
import { authorizedKey, decideOnKey } from './authorize.ts';
import type { KmsCall, Operation } from './call.ts';
import { KEY_ID, keyNotFound, liveKey } from './key-ids.ts';
import { page } from './pages.ts';

/** 32 KiB. The service model takes 131,072 characters; the quota on the document is this. */
const MAX_POLICY = 32_768;
const POLICY_NAME = { min: 1, max: 128, pattern: /^\w+$/ } as const;

export const getKeyPolicy: Operation = async (call) => {
  const keyId = call.input.text('KeyId', KEY_ID);
  const name = call.input.text('PolicyName', { ...POLICY_NAME, optional: true }) ?? 'default';
  call.input.done();
  const key = authorizedKey(call, keyId, 'kms:GetKeyPolicy');
  checkName(name);
  return { Policy: key.policy, PolicyName: 'default' };
};

export const listKeyPolicies: Operation = async (call) => {
  const keyId = call.input.text('KeyId', KEY_ID);
  page(call, { max: 1000, usual: 100 });
  authorizedKey(call, keyId, 'kms:ListKeyPolicies');
  return { PolicyNames: ['default'], Truncated: false };
};

export const putKeyPolicy: Operation = async (call) => {
  const keyId = call.input.text('KeyId', KEY_ID);
  const name = call.input.text('PolicyName', { ...POLICY_NAME, optional: true }) ?? 'default';
  const policy = readPolicyText(call);
  const bypass = call.input.flag('BypassPolicyLockoutSafetyCheck');
  call.input.done();
  const { arn } = authorizedKey(call, keyId, 'kms:PutKeyPolicy', {
    more: { 'kms:BypassPolicyLockoutSafetyCheck': [String(bypass)] },
  });
  checkName(name);
  await call.store.change((state) => {
    const key = liveKey(state, arn, call.now);
    if (key === undefined) throw keyNotFound(arn);
    if (key.state === 'PendingDeletion') {
      throw new AwsError('KMSInvalidStateException', `${key.arn} is pending deletion.`);
    }
    checkNewPolicy(call, key, policy, bypass);
    return [withKey(state, { ...key, policy }), undefined];
  });
  return {};
};

export function readPolicyText(call: KmsCall): string {
  return call.input.text('Policy', { min: 1, max: 131_072, pattern: /^[\t\n\r\u0020-\u00FF]+$/ });
}

/**
 * What KMS demands of a policy before it takes it: a size, a grammar, principals that exist, and that the caller could put
 * the next one (the lockout safety check). Beyond AWS, what the evaluator here would not understand is refused too.
 */
export function checkNewPolicy(call: KmsCall, key: KmsKey, policy: string, bypassLockoutCheck: boolean): void {
  if (Buffer.byteLength(policy) > MAX_POLICY) {
    throw new AwsError('LimitExceededException', `The key policy is larger than ${MAX_POLICY} bytes.`);
  }
  const document = parsed(policy);
  const state = call.store.current();
  const unknown = document.statements
    .flatMap(({ principals }) => principals?.names ?? [])
    .find((name) => name.startsWith('arn:') && !principalExists(state, name));
  if (unknown !== undefined) {
    throw malformed(`Policy contains a statement with one or more invalid principals: ${unknown} does not exist.`);
  }
  if (bypassLockoutCheck) return;
  const facts = { more: { 'kms:BypassPolicyLockoutSafetyCheck': ['false'] } };
  // Without grants: only the policy itself can let its owner back in.
  if (!decideOnKey(call, { ...key, grants: [] }, 'kms:PutKeyPolicy', facts, policy).allowed) {
    throw malformed('The new key policy will not allow you to update the key policy in the future.');
  }
}

function parsed(policy: string): PolicyDocument {
  try {
    return parsePolicyDocument(policy, 'resource');
  } catch (cause) {
    if (cause instanceof PolicyFault) throw malformed(cause.message);
    throw cause;
  }
}

function malformed(message: string): AwsError {
  return new AwsError('MalformedPolicyDocumentException', message);
}

function checkName(name: string): void {
  if (name !== 'default') throw new AwsError('NotFoundException', 'No such policy exists');
}
