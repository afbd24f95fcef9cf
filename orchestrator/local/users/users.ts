/** Users of an account: made with nothing, removed when they have nothing left. */
import { makeUser } from '../accounts.ts';
import { AwsError } from '../errors.ts';
import type { User } from '../state.ts';
import type { XmlNode } from '../wire/xml.ts';
import type { IamOperation } from './call.ts';
import { accountOf, authorizeOnUser, NAME, required, userNamed, withUsers } from './call.ts';
import { notInMiniature } from '../errors.ts';

export const createUser: IamOperation = async (call) => {
  const name = required(call, 'UserName', NAME);
  const beyond = [...call.parameters.keys()].find((key) => /^(PermissionsBoundary|Tags)\b/.test(key));
  if (beyond !== undefined || (call.parameters.get('Path') ?? '/') !== '/') {
    throw notInMiniature(`CreateUser with ${beyond ?? 'Path'}`);
  }
  authorizeOnUser(call, 'iam:CreateUser');
  const { account } = call.principal;
  const user = makeUser(account, name, call.now);
  await call.store.change((state) => {
    const taken = accountOf(state, account).users.some((each) => each.name.toLowerCase() === name.toLowerCase());
    if (taken) throw new AwsError('EntityAlreadyExists', `User with name ${name} already exists.`, 409);
    return [withUsers(state, call, (users) => [...users, user]), undefined];
  });
  return { User: written(user) };
};

export const getUser: IamOperation = (call) => {
  const name = authorizeOnUser(call, 'iam:GetUser');
  return { User: written(userNamed(call.store.current(), call, name)) };
};

export const listUsers: IamOperation = (call) => {
  authorizeOnUser(call, 'iam:ListUsers');
  const { users } = accountOf(call.store.current(), call.principal.account);
  return { Users: { member: users.map(written) }, IsTruncated: false };
};

export const deleteUser: IamOperation = async (call) => {
  const name = required(call, 'UserName', NAME);
  authorizeOnUser(call, 'iam:DeleteUser');
  await call.store.change((state) => {
    const user = userNamed(state, call, name);
    const left = user.accessKeys.length > 0 ? 'access keys' : user.policies.length > 0 ? 'policies' : undefined;
    if (left !== undefined) {
      throw new AwsError('DeleteConflict', `Cannot delete entity, must delete ${left} first.`, 409);
    }
    return [withUsers(state, call, (users) => users.filter((each) => each !== user)), undefined];
  });
  return {};
};

function written({ name, arn, userId, createdAt }: User): XmlNode {
  return { Path: '/', UserName: name, UserId: userId, Arn: arn, CreateDate: date(createdAt) };
}

/** IAM writes whole seconds. */
export function date(time: number): string {
  return new Date(time).toISOString().replace(/\.\d{3}/, '');
}
