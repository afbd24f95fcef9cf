/** Inline policies of a user. */
import { AwsError } from '../errors.ts';
import { parsePolicyDocument, PolicyFault } from '../iam/document.ts';
import { encode } from '../signed-request.ts';
import type { IamOperation } from './call.ts';
import { authorizeOnUser, changeUser, NAME, noSuchEntity, POLICY_NAME, required, userNamed } from './call.ts';

/** Characters without white space, over all inline policies of a user. */
const MAX_POLICIES = 2048;
const DOCUMENT = { pattern: /^[\t\n\r\u0020-\u00FF]+$/, max: 131_072 } as const;

export const putUserPolicy: IamOperation = async (call) => {
  required(call, 'UserName', NAME);
  const policyName = required(call, 'PolicyName', POLICY_NAME);
  const document = required(call, 'PolicyDocument', DOCUMENT);
  const name = authorizeOnUser(call, 'iam:PutUserPolicy');
  checkDocument(document);
  await changeUser(call, name, (user) => {
    const policies = [...user.policies.filter((each) => each.name !== policyName), { name: policyName, document }];
    const size = policies.reduce((sum, each) => sum + each.document.replace(/\s/g, '').length, 0);
    if (size > MAX_POLICIES) {
      throw new AwsError(
        'LimitExceeded',
        `Maximum policy size of ${MAX_POLICIES} bytes exceeded for user ${name}`,
        409,
      );
    }
    return { ...user, policies };
  });
  return {};
};

function checkDocument(document: string): void {
  try {
    parsePolicyDocument(document, 'identity');
  } catch (cause) {
    if (cause instanceof PolicyFault) throw new AwsError('MalformedPolicyDocument', cause.message);
    throw cause;
  }
}

export const getUserPolicy: IamOperation = (call) => {
  required(call, 'UserName', NAME);
  const policyName = required(call, 'PolicyName', POLICY_NAME);
  const name = authorizeOnUser(call, 'iam:GetUserPolicy');
  const policy = userNamed(call.store.current(), call, name).policies.find((each) => each.name === policyName);
  if (policy === undefined) throw noSuchPolicy(policyName);
  // "The policy document returned is URL-encoded compliant with RFC 3986."
  return { UserName: name, PolicyName: policyName, PolicyDocument: encode(policy.document) };
};

export const listUserPolicies: IamOperation = (call) => {
  required(call, 'UserName', NAME);
  const name = authorizeOnUser(call, 'iam:ListUserPolicies');
  const { policies } = userNamed(call.store.current(), call, name);
  return { PolicyNames: { member: policies.map((each) => each.name) }, IsTruncated: false };
};

export const deleteUserPolicy: IamOperation = async (call) => {
  required(call, 'UserName', NAME);
  const policyName = required(call, 'PolicyName', POLICY_NAME);
  const name = authorizeOnUser(call, 'iam:DeleteUserPolicy');
  await changeUser(call, name, (user) => {
    const policies = user.policies.filter((each) => each.name !== policyName);
    if (policies.length === user.policies.length) throw noSuchPolicy(policyName);
    return { ...user, policies };
  });
  return {};
};

function noSuchPolicy(name: string): AwsError {
  return noSuchEntity(`The user policy with name ${name} cannot be found.`);
}
