import { describe, expect, test } from 'vitest';
import { parsePolicyDocument, PolicyFault } from '../../../../orchestrator/local/iam/document.ts';
import type { Decision } from '../../../../orchestrator/local/iam/evaluate.ts';
import { evaluate } from '../../../../orchestrator/local/iam/evaluate.ts';
import type { Principal } from '../../../../orchestrator/local/iam/principal.ts';
import { principalArn } from '../../../../orchestrator/local/iam/principal.ts';

const HERE = '111122223333';
const THERE = '444455556666';
const KEY = `arn:aws:kms:eu-west-1:${HERE}:key/a11ce000-0000-4000-8000-000000000001`;
const ROLE = `arn:aws:iam::${HERE}:role/reader`;
const ALL = { Effect: 'Allow', Action: '*', Resource: '*' };

type Json = Readonly<Record<string, unknown>>;

function identity(...statements: Json[]): ReturnType<typeof parsePolicyDocument> {
  return parsePolicyDocument(JSON.stringify({ Version: '2012-10-17', Statement: statements }), 'identity');
}

function user(name: string, account = HERE, ...statements: Json[]): Principal {
  return {
    kind: 'user',
    account,
    arn: `arn:aws:iam::${account}:user/${name}`,
    userId: 'AIDAEXAMPLE',
    userName: name,
    identityPolicies: statements.length === 0 ? [] : [identity(...statements)],
  };
}

function session(options: { identity?: Json[]; limit?: Json[]; account?: string } = {}): Principal {
  const account = options.account ?? HERE;
  return {
    kind: 'session',
    account,
    arn: `arn:aws:sts::${account}:assumed-role/reader/one`,
    userId: 'AROAEXAMPLE:one',
    roleArn: `arn:aws:iam::${account}:role/reader`,
    issuedAt: 0,
    identityPolicies: options.identity === undefined ? [] : [identity(...options.identity)],
    sessionPolicy: options.limit === undefined ? undefined : identity(...options.limit),
  };
}

function decide(
  principal: Principal,
  keyStatements: readonly Json[],
  options: { grantees?: string[]; action?: string; context?: Readonly<Record<string, string>> } = {},
): string {
  const context = { 'aws:PrincipalArn': principalArn(principal), ...options.context };
  const decision: Decision = evaluate({
    principal,
    action: options.action ?? 'kms:Decrypt',
    resource: KEY,
    resourceAccount: HERE,
    context: new Map(Object.entries(context).map(([key, value]) => [key.toLowerCase(), [value]])),
    resourcePolicy: parsePolicyDocument(
      JSON.stringify({ Version: '2012-10-17', Statement: keyStatements }),
      'resource',
    ),
    grantees: options.grantees ?? [],
  });
  return decision.allowed ? 'allowed' : `${decision.explicit ? 'explicit' : 'implicit'} ${decision.because}`;
}

const to = (principal: unknown, more: Json = {}): Json => ({
  Effect: 'Allow',
  Principal: principal,
  Action: 'kms:Decrypt',
  Resource: '*',
  ...more,
});
const root = { AWS: `arn:aws:iam::${HERE}:root` };
const EMPTY = to({ AWS: `arn:aws:iam::${HERE}:user/nobody` });

describe('within the account', () => {
  test.each<[string, Principal, Json[], string]>([
    ['IAM alone never opens a key', user('alice', HERE, ALL), [EMPTY], 'implicit resource-based'],
    [
      'a user named by the key needs no IAM',
      user('alice'),
      [to({ AWS: `arn:aws:iam::${HERE}:user/alice` })],
      'allowed',
    ],
    ['everybody means everybody', user('alice'), [to('*')], 'allowed'],
    ['the account hands on to IAM, which allows', user('alice', HERE, ALL), [to(root)], 'allowed'],
    ['the account hands on to IAM, which does not', user('alice'), [to(root)], 'implicit identity-based'],
    ['the account by its number is the same', user('alice', HERE, ALL), [to({ AWS: HERE })], 'allowed'],
    ['a role named by the key needs no IAM', session(), [to({ AWS: ROLE })], 'allowed'],
    [
      'a session policy limits what a role was given',
      session({ limit: [{ ...ALL, Action: 'kms:Encrypt' }] }),
      [to({ AWS: ROLE })],
      'implicit session',
    ],
    [
      'a session policy that allows does',
      session({ limit: [{ ...ALL, Action: 'kms:Decrypt', Resource: KEY }] }),
      [to({ AWS: ROLE })],
      'allowed',
    ],
    ['a session policy gives nothing by itself', session({ limit: [ALL] }), [to(root)], 'implicit identity-based'],
    [
      'what the session itself was given is not limited',
      session({ limit: [{ ...ALL, Action: 'kms:Encrypt' }] }),
      [to({ AWS: `arn:aws:sts::${HERE}:assumed-role/reader/one` })],
      'allowed',
    ],
    [
      'another session of the role is another',
      session(),
      [to({ AWS: `arn:aws:sts::${HERE}:assumed-role/reader/two` })],
      'implicit resource-based',
    ],
    [
      'IAM and session policy both count where the account hands on',
      session({ identity: [ALL], limit: [{ ...ALL, Action: 'kms:Encrypt' }] }),
      [to(root)],
      'implicit session',
    ],
    [
      'a service principal is nobody here',
      user('alice', HERE, ALL),
      [to({ Service: 'ec2.amazonaws.com' })],
      'implicit resource-based',
    ],
  ])('%s', (_, principal, statements, expected) => {
    expect(decide(principal, statements)).toBe(expected);
  });
});

describe('an explicit deny', () => {
  const deny = (more: Json = {}): Json => ({ ...to('*', more), Effect: 'Deny' });
  test('in the key policy beats the key policy, IAM and grants', () => {
    const alice = user('alice', HERE, ALL);
    expect(decide(alice, [to('*'), deny()], { grantees: [alice.arn] })).toBe('explicit resource-based');
  });
  test('in IAM beats the key policy', () => {
    const alice = user('alice', HERE, ALL, { ...ALL, Effect: 'Deny', Action: 'kms:D*' });
    expect(decide(alice, [to('*')])).toBe('explicit identity-based');
  });
  test('in a session policy beats the key policy', () => {
    const limited = session({ limit: [ALL, { ...ALL, Effect: 'Deny', Action: 'kms:Decrypt' }] });
    expect(decide(limited, [to({ AWS: limited.arn })])).toBe('explicit session');
  });
  test('of the account denies everybody in it', () => {
    expect(decide(user('alice', HERE, ALL), [to('*'), { ...deny(), Principal: root }])).toBe('explicit resource-based');
    expect(decide(user('eve', THERE, ALL), [to('*'), { ...deny(), Principal: root }])).toBe('allowed');
  });
  test('with NotPrincipal spares only whose every name is listed', () => {
    const spare = (...names: string[]): Json[] => {
      const { Principal: _, ...rest } = deny();
      return [to('*'), { ...rest, NotPrincipal: { AWS: names } }];
    };
    const alice = user('alice');
    expect(decide(alice, spare(alice.arn))).toBe('explicit resource-based');
    expect(decide(alice, spare(alice.arn, root.AWS))).toBe('allowed');
    expect(decide(session(), spare(ROLE, root.AWS))).toBe('explicit resource-based');
    expect(decide(session(), spare(ROLE, root.AWS, session().arn))).toBe('allowed');
    expect(decide(user('bob'), spare(alice.arn, root.AWS))).toBe('explicit resource-based');
  });
  test('with NotAction covers all but what it names', () => {
    const { Action: _, ...rest } = deny();
    expect(decide(user('alice'), [to('*'), { ...rest, NotAction: 'kms:Decrypt' }])).toBe('allowed');
    expect(decide(user('alice'), [to('*'), { ...rest, NotAction: ['kms:E*', 'kms:L*'] }])).toBe(
      'explicit resource-based',
    );
  });
  test('compares the role behind a session, not the session', () => {
    const others = deny({ Condition: { ArnNotEquals: { 'aws:PrincipalArn': ROLE } } });
    expect(decide(session(), [to('*'), others])).toBe('allowed');
    expect(decide(user('alice'), [to('*'), others])).toBe('explicit resource-based');
  });
});

describe('across accounts', () => {
  test('both sides must allow', () => {
    const eve = `arn:aws:iam::${THERE}:user/eve`;
    expect(decide(user('eve', THERE, ALL), [to({ AWS: eve })])).toBe('allowed');
    expect(decide(user('eve', THERE), [to({ AWS: eve })])).toBe('implicit identity-based');
    expect(decide(user('eve', THERE, ALL), [EMPTY])).toBe('implicit resource-based');
    expect(decide(user('eve', THERE, ALL), [to({ AWS: THERE })])).toBe('allowed');
    expect(decide(user('eve', THERE), [to('*')])).toBe('implicit identity-based');
  });
  test('a session is limited there too, even where the key names it', () => {
    const far = session({ account: THERE, identity: [ALL], limit: [{ ...ALL, Action: 'kms:Encrypt' }] });
    expect(decide(far, [to({ AWS: far.arn })])).toBe('implicit session');
  });
  test('a grant does not replace the other side', () => {
    const eve = user('eve', THERE);
    expect(decide(eve, [EMPTY], { grantees: [eve.arn] })).toBe('implicit identity-based');
    const able = user('eve', THERE, ALL);
    expect(decide(able, [EMPTY], { grantees: [able.arn] })).toBe('allowed');
  });
});

describe('grants', () => {
  test('let the grantee in, a role within its session policy', () => {
    expect(decide(user('alice'), [EMPTY], { grantees: [`arn:aws:iam::${HERE}:user/alice`] })).toBe('allowed');
    expect(decide(session(), [EMPTY], { grantees: [ROLE] })).toBe('allowed');
    const limited = session({ limit: [{ ...ALL, Action: 'kms:Encrypt' }] });
    expect(decide(limited, [EMPTY], { grantees: [ROLE] })).toBe('implicit session');
  });
});

describe('actions and resources', () => {
  test('compare actions without regard to case', () => {
    expect(decide(user('alice'), [to('*', { Action: 'KMS:dec*' })])).toBe('allowed');
    expect(decide(user('alice'), [to('*', { Action: 'kms:?ecrypt' })])).toBe('allowed');
    expect(decide(user('alice'), [to('*', { Action: 'kms:Decryp' })])).toBe('implicit resource-based');
  });
  test('compare resources with it', () => {
    expect(decide(user('alice'), [to('*', { Resource: KEY })])).toBe('allowed');
    expect(decide(user('alice'), [to('*', { Resource: KEY.replace('a11ce', 'A11CE') })])).toBe(
      'implicit resource-based',
    );
    const { Resource: _, ...rest } = to('*');
    expect(decide(user('alice'), [{ ...rest, NotResource: KEY }])).toBe('implicit resource-based');
  });
  test('a statement without an action or a resource has no effect', () => {
    const { Action: _, ...withoutAction } = to('*');
    const { Resource: __, ...withoutResource } = to('*');
    expect(decide(user('alice'), [withoutAction])).toBe('implicit resource-based');
    expect(decide(user('alice'), [withoutResource])).toBe('implicit resource-based');
  });
});

describe('a document that cannot be evaluated is refused, never half read', () => {
  const statement = to('*');
  const policy = (over: Json): string => JSON.stringify({ Version: '2012-10-17', Statement: [statement], ...over });
  test.each<[string, string]>([
    ['not JSON', '{'],
    ['not an object', '[]'],
    ['an unknown element', policy({ Statements: [] })],
    ['an unknown version', policy({ Version: '2020-01-01' })],
    ['no statement', JSON.stringify({ Version: '2012-10-17' })],
    ['an empty list of statements', policy({ Statement: [] })],
    ['an unknown element of a statement', policy({ Statement: [{ ...statement, Conditions: {} }] })],
    ['an effect of neither kind', policy({ Statement: [{ ...statement, Effect: 'allow' }] })],
    ['no principal', policy({ Statement: [{ Effect: 'Deny', Action: '*', Resource: '*' }] })],
    ['both principals', policy({ Statement: [{ ...statement, NotPrincipal: '*' }] })],
    ['NotPrincipal with Allow', policy({ Statement: [{ ...statement, Principal: undefined, NotPrincipal: root }] })],
    ['a principal with a star in it', policy({ Statement: [to({ AWS: `arn:aws:iam::${HERE}:role/*` })] })],
    ['a principal of another kind', policy({ Statement: [to({ Federated: 'accounts.example.com' })] })],
    ['a principal that is no ARN', policy({ Statement: [to({ AWS: 'alice' })] })],
    ['both actions', policy({ Statement: [{ ...statement, NotAction: 'kms:Decrypt' }] })],
    ['an action without a service', policy({ Statement: [{ ...statement, Action: 'Decrypt' }] })],
    [
      'an unknown operator',
      policy({ Statement: [to('*', { Condition: { StringSame: { 'aws:PrincipalArn': 'x' } } })] }),
    ],
    ['an unknown key', policy({ Statement: [to('*', { Condition: { StringEquals: { 'kms:Attested': 'x' } } })] })],
    [
      'a PCR that does not exist',
      policy({ Statement: [to('*', { Condition: { StringEquals: { 'kms:RecipientAttestation:PCR32': 'x' } } })] }),
    ],
    [
      'a value it cannot compare',
      policy({ Statement: [to('*', { Condition: { Bool: { 'aws:SecureTransport': 'yes' } } })] }),
    ],
    [
      'a number it cannot compare',
      policy({ Statement: [to('*', { Condition: { NumericLessThan: { 'aws:EpochTime': 'soon' } } })] }),
    ],
    [
      'a date it cannot compare',
      policy({ Statement: [to('*', { Condition: { DateLessThan: { 'aws:CurrentTime': 'tomorrow' } } })] }),
    ],
    [
      'a network it cannot compare',
      policy({ Statement: [to('*', { Condition: { IpAddress: { 'aws:SourceIp': '10.0.0.0/40' } } })] }),
    ],
    ['no values', policy({ Statement: [to('*', { Condition: { StringEquals: { 'aws:PrincipalArn': [] } } })] })],
    ['an unknown variable', policy({ Statement: [to('*', { Resource: 'arn:aws:kms:*:*:key/${kms:Name}' })] })],
    [
      'a variable in the old version',
      policy({ Version: '2008-10-17', Statement: [to('*', { Resource: 'arn:aws:kms:*:*:key/${aws:username}' })] }),
    ],
    ['one that is nested too deep', policy({}).replace('"Allow"', '['.repeat(9_000) + ']'.repeat(9_000))],
    ['the same key twice', policy({}).replace('"Effect":"Allow"', '"Effect":"Deny","Effect":"Allow"')],
    [
      'the same condition twice',
      policy({ Statement: [to('*', { Condition: { StringEquals: { 'aws:userid': 'x' } } })] }).replace(
        '"aws:userid":"x"',
        '"aws:userid":"x","aws:userid":"y"',
      ),
    ],
  ])('%s', (_, text) => {
    expect(() => parsePolicyDocument(text, 'resource')).toThrow(PolicyFault);
  });

  test('an identity has no principal in its policy, and a trust policy no resource', () => {
    expect(() => parsePolicyDocument(policy({}), 'identity')).toThrow(PolicyFault);
    expect(() => parsePolicyDocument(policy({}), 'trust')).toThrow(PolicyFault);
  });
});
