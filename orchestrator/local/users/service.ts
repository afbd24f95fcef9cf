/** IAM's table of contents: users, their access keys and inline policies. The rest is refused by name. */
import { AwsError, notInMiniature } from '../errors.ts';
import { VERSIONS } from '../wire/query.ts';
import type { XmlNode } from '../wire/xml.ts';
import { createAccessKey, deleteAccessKey, listAccessKeys } from './access-keys.ts';
import type { IamCall, IamOperation } from './call.ts';
import { deleteUserPolicy, getUserPolicy, listUserPolicies, putUserPolicy } from './user-policies.ts';
import { createUser, deleteUser, getUser, listUsers } from './users.ts';

const OPERATIONS: Readonly<Record<string, IamOperation>> = {
  CreateAccessKey: createAccessKey,
  CreateUser: createUser,
  DeleteAccessKey: deleteAccessKey,
  DeleteUser: deleteUser,
  DeleteUserPolicy: deleteUserPolicy,
  GetUser: getUser,
  GetUserPolicy: getUserPolicy,
  ListAccessKeys: listAccessKeys,
  ListUserPolicies: listUserPolicies,
  ListUsers: listUsers,
  PutUserPolicy: putUserPolicy,
};

export async function callIam(operation: string, call: IamCall): Promise<XmlNode> {
  const version = call.parameters.get('Version') ?? 'NO_VERSION_SPECIFIED';
  const found = Object.hasOwn(OPERATIONS, operation) ? OPERATIONS[operation] : undefined;
  if (found !== undefined && version === VERSIONS.iam) return await found(call);
  // IAM has some 170 operations: a name in their manner is one of them.
  if (
    /^(Add|Attach|Create|Delete|Detach|Enable|Generate|Get|List|Put|Remove|Set|Simulate|Tag|Untag|Update)[A-Z]/.test(
      operation,
    )
  ) {
    throw notInMiniature(`iam:${operation}`);
  }
  throw new AwsError('InvalidAction', `Could not find operation ${operation} for version ${version}`);
}
