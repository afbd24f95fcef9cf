/** What KMS demands of a key policy before it takes it, and grants beside the policy. */
import {
  CreateGrantCommand,
  CreateKeyCommand,
  DecryptCommand,
  DescribeKeyCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  GetKeyPolicyCommand,
  ListGrantsCommand,
  ListRetirableGrantsCommand,
  PutKeyPolicyCommand,
  RetireGrantCommand,
  RevokeGrantCommand,
} from '@aws-sdk/client-kms';
import { describe, expect, test } from 'vitest';
import {
  ADMIN_ROLE,
  ALICE,
  ALICE_ARN,
  ALICE_ENCLAVE_ROLE,
  ALICE_KEY,
  MALLORY_ARN,
  localAws,
  outcome,
} from './fixture.ts';

const fixture = localAws();
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const INTERN_ARN = `arn:aws:iam::${ALICE}:user/intern`;
const root = { AWS: `arn:aws:iam::${ALICE}:root` };
const delegate = { Effect: 'Allow', Principal: root, Action: 'kms:*', Resource: '*' };

type Json = Readonly<Record<string, unknown>>;
const policy = (...Statement: Json[]): string => JSON.stringify({ Version: '2012-10-17', Statement });

async function newKey(): Promise<string> {
  const { KeyMetadata } = await fixture.kms('alice').send(new CreateKeyCommand({}));
  return KeyMetadata?.Arn ?? '';
}

async function put(KeyId: string, Policy: string, bypass = false): Promise<{ name: string; message: string }> {
  return await outcome(
    fixture
      .kms('alice')
      .send(new PutKeyPolicyCommand({ KeyId, PolicyName: 'default', Policy, BypassPolicyLockoutSafetyCheck: bypass })),
  );
}

describe('PutKeyPolicy', () => {
  test('keeps the text as it was put', async () => {
    const KeyId = await newKey();
    const text = `${policy(delegate).replace('{', '{ ')}\n`;
    expect((await put(KeyId, text)).name).toBe('success');
    expect((await fixture.kms('alice').send(new GetKeyPolicyCommand({ KeyId, PolicyName: 'default' }))).Policy).toBe(
      text,
    );
  });

  test('refuses a policy that locks its author out, unless told to', async () => {
    const KeyId = await newKey();
    const onlyAdmin = policy({ ...delegate, Principal: { AWS: ADMIN_ROLE } });
    expect(await put(KeyId, onlyAdmin)).toEqual({
      name: 'MalformedPolicyDocumentException',
      message: 'The new key policy will not allow you to update the key policy in the future.',
    });
    const deniesItself = policy(delegate, { ...delegate, Effect: 'Deny', Principal: '*', Action: 'kms:Put*' });
    expect((await put(KeyId, deniesItself)).name).toBe('MalformedPolicyDocumentException');
    expect((await put(KeyId, onlyAdmin, true)).name).toBe('success');
    expect((await put(KeyId, policy(delegate))).name).toBe('AccessDeniedException');
  });

  test('refuses it at CreateKey, too', async () => {
    const locked = policy({ ...delegate, Principal: { AWS: ADMIN_ROLE } });
    expect((await outcome(fixture.kms('alice').send(new CreateKeyCommand({ Policy: locked })))).name).toBe(
      'MalformedPolicyDocumentException',
    );
  });

  test.each<[string, string, RegExp]>([
    ['no JSON', '{', /invalid Json/],
    ['no principals', policy({ Effect: 'Allow', Action: 'kms:*', Resource: '*' }), /must contain principals/],
    [
      'a principal that does not exist',
      policy(delegate, { ...delegate, Principal: { AWS: `arn:aws:iam::${ALICE}:role/nobody` } }),
      /invalid principals/,
    ],
    [
      'an account that does not exist',
      policy(delegate, { ...delegate, Principal: { AWS: '123456789012' } }),
      /invalid principals/,
    ],
    [
      'an unknown operator',
      policy({ ...delegate, Condition: { StringIs: { 'aws:userid': 'x' } } }),
      /operator StringIs/,
    ],
    [
      'an unknown key',
      policy(delegate, {
        ...delegate,
        Effect: 'Deny',
        Principal: '*',
        Action: 'kms:Decrypt',
        Condition: { StringNotEquals: { 'kms:RecipientAttestation:ImageSha348': 'aa' } },
      }),
      /ImageSha348/,
    ],
  ])('refuses %s', async (_, text, message) => {
    const refused = await put(ALICE_KEY, text);
    expect(refused.name).toBe('MalformedPolicyDocumentException');
    expect(refused.message).toMatch(message);
  });

  test('refuses more than 32 KiB, and another name than default', async () => {
    const filler = Array.from({ length: 330 }, (_, index) => ({ ...delegate, Sid: `s${index}` }));
    expect((await put(ALICE_KEY, policy(...filler))).name).toBe('LimitExceededException');
    const other = new PutKeyPolicyCommand({ KeyId: ALICE_KEY, PolicyName: 'other', Policy: policy(delegate) });
    expect((await outcome(fixture.kms('alice').send(other))).name).toBe('NotFoundException');
  });

  test('decides who may use the key from then on', async () => {
    const KeyId = await newKey();
    const administration = { ...delegate, Action: ['kms:PutKeyPolicy', 'kms:GetKeyPolicy', 'kms:DescribeKey'] };
    const encrypt = { Effect: 'Allow', Principal: { AWS: INTERN_ARN }, Action: 'kms:Encrypt', Resource: '*' };
    expect((await put(KeyId, policy(administration, encrypt))).name).toBe('success');
    const asAlice = await outcome(fixture.kms('alice').send(new EncryptCommand({ KeyId, Plaintext: bytes('x') })));
    expect(asAlice.message).toBe(
      `User: ${ALICE_ARN} is not authorized to perform: kms:Encrypt on resource: ${KeyId} because no resource-based policy allows the kms:Encrypt action`,
    );
    const intern = fixture.kms('intern');
    expect((await outcome(intern.send(new EncryptCommand({ KeyId, Plaintext: bytes('x') })))).name).toBe('success');
    const describe = await outcome(intern.send(new DescribeKeyCommand({ KeyId })));
    expect(describe.message).toContain('because no identity-based policy allows the kms:DescribeKey action');
  });
});

describe('grants', () => {
  async function grant(KeyId: string, more: Partial<ConstructorParameters<typeof CreateGrantCommand>[0]> = {}) {
    return await fixture
      .kms('alice')
      .send(
        new CreateGrantCommand({ KeyId, GranteePrincipal: INTERN_ARN, Operations: ['Encrypt', 'Decrypt'], ...more }),
      );
  }
  const use = async (KeyId: string, EncryptionContext: Record<string, string> = {}): Promise<string> =>
    (await outcome(fixture.kms('intern').send(new EncryptCommand({ KeyId, Plaintext: bytes('x'), EncryptionContext }))))
      .name;

  test('let the grantee in for the operations named, until revoked', async () => {
    const KeyId = await newKey();
    expect(await use(KeyId)).toBe('AccessDeniedException');
    const { GrantId } = await grant(KeyId);
    expect(await use(KeyId)).toBe('success');
    const dataKey = new GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256' });
    expect((await outcome(fixture.kms('intern').send(dataKey))).name).toBe('AccessDeniedException');
    const { Grants } = await fixture.kms('alice').send(new ListGrantsCommand({ KeyId }));
    expect(Grants).toMatchObject([{ GrantId, GranteePrincipal: INTERN_ARN, Operations: ['Encrypt', 'Decrypt'] }]);
    await fixture.kms('alice').send(new RevokeGrantCommand({ KeyId, GrantId }));
    expect(await use(KeyId)).toBe('AccessDeniedException');
    const again = await outcome(fixture.kms('alice').send(new RevokeGrantCommand({ KeyId, GrantId })));
    expect(again.name).toBe('NotFoundException');
  });

  test('hold only in the encryption context they name', async () => {
    const subset = await newKey();
    await grant(subset, { Constraints: { EncryptionContextSubset: { Team: 'blue' } } });
    expect(await use(subset)).toBe('AccessDeniedException');
    expect(await use(subset, { team: 'blue', more: 'yes' })).toBe('success');
    expect(await use(subset, { team: 'Blue' })).toBe('AccessDeniedException');
    const exact = await newKey();
    await grant(exact, { Constraints: { EncryptionContextEquals: { team: 'blue' } } });
    expect(await use(exact, { team: 'blue' })).toBe('success');
    expect(await use(exact, { team: 'blue', more: 'no' })).toBe('AccessDeniedException');
  });

  test('give way to an explicit deny', async () => {
    const KeyId = await newKey();
    await grant(KeyId);
    const deny = { Effect: 'Deny', Principal: '*', Action: 'kms:Encrypt', Resource: '*' };
    expect((await put(KeyId, policy(delegate, deny))).name).toBe('success');
    const refused = await outcome(fixture.kms('intern').send(new EncryptCommand({ KeyId, Plaintext: bytes('x') })));
    expect(refused.message).toContain('with an explicit deny in a resource-based policy');
  });

  test('of one name and content are one', async () => {
    const KeyId = await newKey();
    const [first, second] = [await grant(KeyId, { Name: 'once' }), await grant(KeyId, { Name: 'once' })];
    expect(second.GrantId).toBe(first.GrantId);
    expect((await fixture.kms('alice').send(new ListGrantsCommand({ KeyId }))).Grants).toHaveLength(1);
  });

  test('are retired by whom they name', async () => {
    const KeyId = await newKey();
    const { GrantId, GrantToken } = await grant(KeyId, { RetiringPrincipal: INTERN_ARN });
    const mine = new ListRetirableGrantsCommand({ RetiringPrincipal: INTERN_ARN });
    expect((await fixture.kms('intern').send(mine)).Grants).toMatchObject([{ GrantId }]);
    const host = await outcome(fixture.kms('host').send(new RetireGrantCommand({ GrantToken })));
    expect(host.name).toBe('AccessDeniedException');
    await fixture.kms('intern').send(new RetireGrantCommand({ GrantToken }));
    expect(await use(KeyId)).toBe('AccessDeniedException');
  });

  test('are listed for whom they name, page by page', async () => {
    const grants = [await grant(await newKey(), { RetiringPrincipal: MALLORY_ARN })];
    grants.push(await grant(await newKey(), { RetiringPrincipal: MALLORY_ARN }));
    const mallory = fixture.kms('mallory');
    const asked = { RetiringPrincipal: MALLORY_ARN, Limit: 1 };
    const first = await mallory.send(new ListRetirableGrantsCommand(asked));
    expect(first).toMatchObject({ Truncated: true, NextMarker: expect.any(String) });
    const second = await mallory.send(new ListRetirableGrantsCommand({ ...asked, Marker: first.NextMarker }));
    expect(second.Truncated).toBe(false);
    const listed = [...(first.Grants ?? []), ...(second.Grants ?? [])].map(({ GrantId }) => GrantId);
    expect(listed).toEqual(grants.map(({ GrantId }) => GrantId));
  });

  test('hand on no more than they hold', async () => {
    const KeyId = await newKey();
    await grant(KeyId, { Operations: ['Encrypt', 'CreateGrant'] });
    const hand = async (operations: ('Encrypt' | 'Decrypt')[]): Promise<string> =>
      (
        await outcome(
          fixture
            .kms('intern')
            .send(new CreateGrantCommand({ KeyId, GranteePrincipal: MALLORY_ARN, Operations: operations })),
        )
      ).name;
    expect(await hand(['Encrypt'])).toBe('success');
    expect(await hand(['Decrypt'])).toBe('AccessDeniedException');
  });

  test('are refused for what a symmetric key cannot do, and for whom there is not', async () => {
    const KeyId = await newKey();
    expect((await outcome(grant(KeyId, { Operations: ['Sign'] }))).name).toBe('ValidationException');
    expect((await outcome(grant(KeyId, { GranteePrincipal: `arn:aws:iam::${ALICE}:user/ghost` }))).name).toBe(
      'InvalidArnException',
    );
    const token = new DecryptCommand({ CiphertextBlob: bytes('x'), GrantTokens: ['made-up'] });
    expect((await outcome(fixture.kms('alice').send(token))).name).toBe('InvalidGrantTokenException');
  });

  test('to a role hold within what its session was limited to', async () => {
    const KeyId = await newKey();
    await grant(KeyId, { GranteePrincipal: ALICE_ENCLAVE_ROLE });
    const limited = await fixture.assume('alice', ALICE_ENCLAVE_ROLE, {
      Version: '2012-10-17',
      Statement: [{ Effect: 'Allow', Action: 'kms:Decrypt', Resource: KeyId }],
    });
    const refused = await outcome(limited.send(new EncryptCommand({ KeyId, Plaintext: bytes('x') })));
    expect(refused.message).toContain('because no session policy allows the kms:Encrypt action');
    const free = await fixture.assume('alice', ALICE_ENCLAVE_ROLE);
    expect((await outcome(free.send(new EncryptCommand({ KeyId, Plaintext: bytes('x') })))).name).toBe('success');
  });
});
