/** Access keys of a user, two at most; the secret is told once, when the key is made. */
import { makeAccessKey } from '../accounts.ts';
import { AwsError } from '../errors.ts';
import type { IamOperation } from './call.ts';
import { authorizeOnUser, changeUser, noSuchEntity, required, userNamed } from './call.ts';
import { date } from './users.ts';

const MOST = 2;
const KEY_ID = { pattern: /^\w{16,128}$/, max: 128 } as const;

export const createAccessKey: IamOperation = async (call) => {
  const name = authorizeOnUser(call, 'iam:CreateAccessKey');
  const key = makeAccessKey(call.now);
  await changeUser(call, name, (user) => {
    if (user.accessKeys.length >= MOST) {
      throw new AwsError('LimitExceeded', `Cannot exceed quota for AccessKeysPerUser: ${MOST}`, 409);
    }
    return { ...user, accessKeys: [...user.accessKeys, key] };
  });
  return {
    AccessKey: {
      UserName: name,
      AccessKeyId: key.id,
      Status: 'Active',
      SecretAccessKey: key.secret,
      CreateDate: date(key.createdAt),
    },
  };
};

export const listAccessKeys: IamOperation = (call) => {
  const name = authorizeOnUser(call, 'iam:ListAccessKeys');
  const { accessKeys } = userNamed(call.store.current(), call, name);
  return {
    AccessKeyMetadata: {
      member: accessKeys.map(({ id, createdAt }) => ({
        UserName: name,
        AccessKeyId: id,
        Status: 'Active',
        CreateDate: date(createdAt),
      })),
    },
    IsTruncated: false,
  };
};

export const deleteAccessKey: IamOperation = async (call) => {
  const id = required(call, 'AccessKeyId', KEY_ID);
  const name = authorizeOnUser(call, 'iam:DeleteAccessKey');
  await changeUser(call, name, (user) => {
    const left = user.accessKeys.filter((key) => key.id !== id);
    if (left.length === user.accessKeys.length) {
      throw noSuchEntity(`The Access Key with id ${id} cannot be found.`);
    }
    return { ...user, accessKeys: left };
  });
  return {};
};
