/** Users, their access keys and inline policies, as the SDK asks for them; and what the keys are then good for. */
import {
  CreateAccessKeyCommand,
  CreateUserCommand,
  DeleteAccessKeyCommand,
  DeleteUserCommand,
  DeleteUserPolicyCommand,
  GetUserCommand,
  GetUserPolicyCommand,
  ListAccessKeysCommand,
  ListRolesCommand,
  ListUserPoliciesCommand,
  ListUsersCommand,
  PutUserPolicyCommand,
} from '@aws-sdk/client-iam';
import type { IAMClient } from '@aws-sdk/client-iam';
import { CreateBucketCommand, ListBucketsCommand } from '@aws-sdk/client-s3';
import { beforeEach, describe, expect, test } from 'vitest';
import { ALICE, REGION, localAws, outcome } from './fixture.ts';
import type { Credentials } from './fixture.ts';

const fixture = localAws();
const LIST = JSON.stringify({
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Action: 's3:ListAllMyBuckets', Resource: '*' }],
});
let iam: IAMClient;
let UserName: string;
let count = 0;

beforeEach(async () => {
  iam = fixture.iam('alice');
  UserName = `anchor-${++count}`;
  await iam.send(new CreateUserCommand({ UserName }));
});

async function newKey(): Promise<Credentials> {
  const { AccessKey } = await iam.send(new CreateAccessKeyCommand({ UserName }));
  return { accessKeyId: AccessKey?.AccessKeyId ?? '', secretAccessKey: AccessKey?.SecretAccessKey ?? '' };
}

const named = (wanted: Promise<unknown>): Promise<string> => outcome(wanted).then(({ name }) => name);
const listed = (who: Credentials): Promise<string> => named(fixture.s3(who).send(new ListBucketsCommand({})));

describe('a user', () => {
  test('is there once', async () => {
    const { User } = await iam.send(new GetUserCommand({ UserName }));
    expect(User).toMatchObject({
      UserName,
      Path: '/',
      Arn: `arn:aws:iam::${ALICE}:user/${UserName}`,
      UserId: expect.stringMatching(/^AIDA[A-Z2-7]{16}$/),
    });
    expect(User?.CreateDate).toBeInstanceOf(Date);
    const again = new CreateUserCommand({ UserName: UserName.toUpperCase() });
    expect(await named(iam.send(again))).toBe('EntityAlreadyExistsException');
    const { Users = [] } = await iam.send(new ListUsersCommand({}));
    expect(Users.map((user) => user.UserName)).toContain(UserName);
  });

  test('is whoever asks, where none is named', async () => {
    const { User } = await iam.send(new GetUserCommand({}));
    expect(User?.Arn).toBe(`arn:aws:iam::${ALICE}:user/alice`);
  });

  test('goes when it has nothing left', async () => {
    const key = await newKey();
    await iam.send(new PutUserPolicyCommand({ UserName, PolicyName: 'p', PolicyDocument: LIST }));
    const remove = (): Promise<{ name: string; message: string }> =>
      outcome(iam.send(new DeleteUserCommand({ UserName })));
    expect(await remove()).toMatchObject({ name: 'DeleteConflictException', message: /access keys first/ });
    await iam.send(new DeleteAccessKeyCommand({ UserName, AccessKeyId: key.accessKeyId }));
    expect(await remove()).toMatchObject({ name: 'DeleteConflictException', message: /policies first/ });
    await iam.send(new DeleteUserPolicyCommand({ UserName, PolicyName: 'p' }));
    expect(await remove()).toMatchObject({ name: 'success' });
    expect(await named(iam.send(new GetUserCommand({ UserName })))).toBe('NoSuchEntityException');
  });
});

describe('access keys', () => {
  test('two at most, each for itself; a removed one is nobody’s', async () => {
    const first = await newKey();
    const second = await newKey();
    expect(await named(newKey())).toBe('LimitExceededException');
    const { AccessKeyMetadata = [] } = await iam.send(new ListAccessKeysCommand({ UserName }));
    expect(AccessKeyMetadata.map(({ AccessKeyId }) => AccessKeyId)).toEqual([first.accessKeyId, second.accessKeyId]);
    expect(JSON.stringify(AccessKeyMetadata)).not.toContain(first.secretAccessKey);
    expect([await listed(first), await listed(second)]).toEqual(['AccessDenied', 'AccessDenied']);
    await iam.send(new PutUserPolicyCommand({ UserName, PolicyName: 'p', PolicyDocument: LIST }));
    expect([await listed(first), await listed(second)]).toEqual(['success', 'success']);
    await iam.send(new DeleteAccessKeyCommand({ UserName, AccessKeyId: first.accessKeyId }));
    expect([await listed(first), await listed(second)]).toEqual(['InvalidAccessKeyId', 'success']);
    const gone = new DeleteAccessKeyCommand({ UserName, AccessKeyId: first.accessKeyId });
    expect(await named(iam.send(gone))).toBe('NoSuchEntityException');
  });

  test('of a user who may do nothing are good for nothing', async () => {
    const key = await newKey();
    const own = fixture.iam(key);
    expect(await named(own.send(new GetUserCommand({})))).toBe('AccessDenied');
    expect(await named(own.send(new CreateAccessKeyCommand({})))).toBe('AccessDenied');
    const bucket = { Bucket: 'nobodys', CreateBucketConfiguration: { LocationConstraint: REGION } } as const;
    expect(await named(fixture.s3(key).send(new CreateBucketCommand(bucket)))).toBe('AccessDenied');
  });

  test('are told of by no file: profiles are those of the start', () => {
    expect(JSON.stringify(fixture.env)).not.toContain(UserName);
  });
});

describe('inline policies', () => {
  const Put = (PolicyDocument: string, PolicyName = 'p'): PutUserPolicyCommand =>
    new PutUserPolicyCommand({ UserName, PolicyName, PolicyDocument });

  test('read back as they were put, encoded', async () => {
    await iam.send(Put(LIST));
    const { PolicyDocument } = await iam.send(new GetUserPolicyCommand({ UserName, PolicyName: 'p' }));
    expect(decodeURIComponent(PolicyDocument ?? '')).toBe(LIST);
    expect(PolicyDocument).not.toContain('{');
    expect((await iam.send(new ListUserPoliciesCommand({ UserName }))).PolicyNames).toEqual(['p']);
    expect(await named(iam.send(new GetUserPolicyCommand({ UserName, PolicyName: 'q' })))).toBe(
      'NoSuchEntityException',
    );
  });

  test('count the moment they are put, changed and removed', async () => {
    const key = await newKey();
    await iam.send(Put(LIST));
    expect(await listed(key)).toBe('success');
    await iam.send(Put(LIST.replace('Allow', 'Deny'), 'q'));
    expect(await listed(key)).toBe('AccessDenied');
    await iam.send(new DeleteUserPolicyCommand({ UserName, PolicyName: 'q' }));
    expect(await listed(key)).toBe('success');
    expect(await named(iam.send(new DeleteUserPolicyCommand({ UserName, PolicyName: 'q' })))).toBe(
      'NoSuchEntityException',
    );
  });

  test.each([
    ['no JSON', 'x'],
    ['a principal', LIST.replace('"Action"', '"Principal":"*","Action"')],
    ['an unknown condition key', LIST.replace('"Action"', '"Condition":{"Bool":{"s3:none":"true"}},"Action"')],
  ])('that are not understood are refused: %s', async (_, document) => {
    expect(await named(iam.send(Put(document)))).toBe('MalformedPolicyDocumentException');
  });

  test('have 2048 characters together', async () => {
    const long = LIST.replace('"Effect"', `"Sid":"${'x'.repeat(1000)}","Effect"`);
    await iam.send(Put(long));
    expect(await named(iam.send(Put(long, 'q')))).toBe('LimitExceededException');
  });
});

describe('what is not of this account, or not here', () => {
  test('another account’s users are its own', async () => {
    expect(await named(fixture.iam('bob').send(new GetUserCommand({ UserName })))).toBe('NoSuchEntityException');
  });

  test('names that are none, and operations that are not in miniature', async () => {
    expect(await named(iam.send(new CreateUserCommand({ UserName: 'a/b' })))).toBe('ValidationError');
    expect(await named(iam.send(new CreateUserCommand({ UserName: 'x', Path: '/y/' })))).toBe(
      'UnsupportedOperationException',
    );
    expect(await named(iam.send(new ListRolesCommand({})))).toBe('UnsupportedOperationException');
  });
});
