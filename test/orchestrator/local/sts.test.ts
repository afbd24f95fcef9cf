/** STS over its Query protocol: identity and sessions, and what limits them. */
import { CreateKeyCommand, DecryptCommand, EncryptCommand, ListKeysCommand } from '@aws-sdk/client-kms';
import { AssumeRoleCommand, GetCallerIdentityCommand, GetSessionTokenCommand } from '@aws-sdk/client-sts';
import { describe, expect, test } from 'vitest';
import { callerIdentity } from '../../../parties/kms/client.ts';
import { ADMIN_ROLE, ALICE, ALICE_ARN, ALICE_ENCLAVE_ROLE, ALICE_KEY, BOB, localAws, outcome } from './fixture.ts';

const fixture = localAws();
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const assume = (profile: string, input: Partial<ConstructorParameters<typeof AssumeRoleCommand>[0]> = {}) =>
  fixture.sts(profile).send(new AssumeRoleCommand({ RoleArn: ADMIN_ROLE, RoleSessionName: 'test', ...input }));

describe('GetCallerIdentity', () => {
  test('names the user', async () => {
    const identity = await fixture.sts('alice').send(new GetCallerIdentityCommand({}));
    expect(identity).toMatchObject({ Account: ALICE, Arn: ALICE_ARN });
    expect(identity.UserId).toMatch(/^AIDA[A-Z2-7]{16}$/);
    expect(await callerIdentity(fixture.sts('host'))).toMatchObject({ account: '999900001111' });
  });
});

describe('AssumeRole', () => {
  test('gives credentials that act as the role', async () => {
    const { AssumedRoleUser, Credentials, PackedPolicySize } = await assume('alice');
    expect(AssumedRoleUser?.Arn).toBe(`arn:aws:sts::${ALICE}:assumed-role/admin/test`);
    expect(AssumedRoleUser?.AssumedRoleId).toMatch(/^AROA[A-Z2-7]{16}:test$/);
    expect(Credentials?.AccessKeyId).toMatch(/^ASIA/);
    expect(PackedPolicySize).toBeUndefined();
    const inAnHour = (Credentials?.Expiration?.getTime() ?? 0) - Date.now();
    expect(Math.abs(inAnHour - 3_600_000)).toBeLessThan(60_000);
    const kms = await fixture.assume('alice', ADMIN_ROLE);
    expect((await outcome(kms.send(new EncryptCommand({ KeyId: ALICE_KEY, Plaintext: bytes('x') })))).name).toBe(
      'success',
    );
  });

  test('is for whom the role trusts', async () => {
    for (const profile of ['bob', 'host']) {
      const refused = await outcome(assume(profile));
      expect(refused.name).toBe('AccessDenied');
      expect(refused.message).toContain(`is not authorized to perform: sts:AssumeRole on resource: ${ADMIN_ROLE}`);
    }
    // The same words for a role that is not there.
    const absent = await outcome(assume('alice', { RoleArn: `arn:aws:iam::${BOB}:role/nothing` }));
    expect(absent.name).toBe('AccessDenied');
  });

  test('with a session policy gives no more than both allow', async () => {
    const only = (Action: string, Resource: string): object => ({
      Version: '2012-10-17',
      Statement: [{ Effect: 'Allow', Action, Resource }],
    });
    const decryptOnly = await fixture.assume('alice', ADMIN_ROLE, only('kms:Decrypt', ALICE_KEY));
    const refused = await outcome(decryptOnly.send(new EncryptCommand({ KeyId: ALICE_KEY, Plaintext: bytes('x') })));
    expect(refused.name).toBe('AccessDeniedException');
    expect(refused.message).toContain('because no session policy allows the kms:Encrypt action');
    expect((await outcome(decryptOnly.send(new ListKeysCommand({})))).name).toBe('AccessDeniedException');
    const { CiphertextBlob } = await fixture
      .kms('alice')
      .send(new EncryptCommand({ KeyId: ALICE_KEY, Plaintext: bytes('x') }));
    expect((await outcome(decryptOnly.send(new DecryptCommand({ CiphertextBlob })))).name).toBe('success');
    // A session policy adds nothing: the enclave's role itself may do nothing here.
    const nothing = await fixture.assume('alice', ALICE_ENCLAVE_ROLE, only('kms:*', '*'));
    expect((await outcome(nothing.send(new CreateKeyCommand({})))).message).toContain(
      'because no identity-based policy allows the kms:CreateKey action',
    );
  });

  test.each<[string, object, string]>([
    ['too short a time', { DurationSeconds: 899 }, 'ValidationError'],
    ['too long a time', { DurationSeconds: 43_201 }, 'ValidationError'],
    ['longer than the role allows', { DurationSeconds: 3601 }, 'ValidationError'],
    ['a name with a space', { RoleSessionName: 'a b' }, 'ValidationError'],
    ['a name of one letter', { RoleSessionName: 'a' }, 'ValidationError'],
    ['what is no role', { RoleArn: `arn:aws:iam::${ALICE}:user/alice` }, 'ValidationError'],
    ['a policy that is none', { Policy: '{"Statement":' }, 'MalformedPolicyDocumentException'],
    [
      'a policy with an unknown condition',
      {
        Policy: JSON.stringify({
          Version: '2012-10-17',
          Statement: [
            { Effect: 'Allow', Action: '*', Resource: '*', Condition: { StringSame: { 'aws:userid': 'x' } } },
          ],
        }),
      },
      'MalformedPolicyDocumentException',
    ],
    [
      'a policy with a principal',
      {
        Policy: JSON.stringify({
          Version: '2012-10-17',
          Statement: [{ Effect: 'Allow', Principal: '*', Action: '*', Resource: '*' }],
        }),
      },
      'MalformedPolicyDocumentException',
    ],
    [
      'a policy over 2048 characters',
      { Policy: `{"Version":"2012-10-17",${' '.repeat(2048)}"Statement":[]}` },
      'ValidationError',
    ],
    [
      'managed policies',
      { PolicyArns: [{ arn: 'arn:aws:iam::aws:policy/ReadOnlyAccess' }] },
      'UnsupportedOperationException',
    ],
    ['tags', { Tags: [{ Key: 'a', Value: 'b' }] }, 'UnsupportedOperationException'],
  ])('refuses %s', async (_, input, name) => {
    expect((await outcome(assume('alice', input))).name).toBe(name);
  });

  test('other operations are refused by name', async () => {
    const refused = await outcome(fixture.sts('alice').send(new GetSessionTokenCommand({})));
    expect(refused.name).toBe('UnsupportedOperationException');
  });
});
