/**
 * The world at first start: an account for each party with an administrator, a role for its enclave and a key, and one for
 * the host, which owns nothing and is allowed nothing outside of it. Names and ARNs are fixed, so that examples can name
 * them; access keys and key material are made afresh in each data folder.
 */
import { randomBytes } from 'node:crypto';
import { accountArn } from './iam/principal.ts';
import type { AccessKey, Account, KmsKey, Role, State, User } from './state.ts';

/** Region of the parties' keys, and of every profile. */
export const HOME_REGION = 'eu-west-1';

/** The role with which the enclave calls a party's KMS. */
export const ENCLAVE_ROLE = 'accord-enclave';

/** The role of the machine that runs enclaves; no key opens to it unless its owner names it in the key's policy. */
export const HOST_ROLE = 'accord-host';

export const WELL_KNOWN = {
  alice: { account: '111122223333', keyId: 'a11ce000-0000-4000-8000-000000000001' },
  bob: { account: '444455556666', keyId: 'b0b00000-0000-4000-8000-000000000002' },
  charlie: { account: '777788889999', keyId: 'c4a211e0-0000-4000-8000-000000000003' },
  host: { account: '999900001111', keyId: undefined },
} as const;

export type WellKnownName = keyof typeof WELL_KNOWN;

const ADMINISTRATOR = JSON.stringify({
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }],
});

export function initialState(now: number): State {
  const entries = Object.entries(WELL_KNOWN);
  return {
    version: 2,
    tokenKey: randomBytes(32).toString('base64'),
    accounts: entries.map(([name, { account }]) => makeAccount(account, name, now)),
    keys: entries.flatMap(([name, { account, keyId }]) =>
      keyId === undefined
        ? []
        : [
            makeKey({
              account,
              region: HOME_REGION,
              keyId,
              now,
              description: `${name}'s key for Accord`,
              policy: defaultKeyPolicy(account),
            }),
          ],
    ),
  };
}

export function makeKey(from: {
  readonly account: string;
  readonly region: string;
  readonly keyId: string;
  readonly now: number;
  readonly description: string;
  readonly policy: string;
}): KmsKey {
  return {
    arn: keyArn(from.region, from.account, from.keyId),
    keyId: from.keyId,
    account: from.account,
    region: from.region,
    description: from.description,
    createdAt: from.now,
    state: 'Enabled',
    policy: from.policy,
    material: randomBytes(32).toString('base64'),
    grants: [],
  };
}

export function keyArn(region: string, account: string, keyId: string): string {
  return `arn:aws:kms:${region}:${account}:key/${keyId}`;
}

/** What AWS attaches to a key that was made without a policy: the account's own policies decide everything. */
export function defaultKeyPolicy(account: string): string {
  return JSON.stringify(
    {
      Version: '2012-10-17',
      Id: 'key-default-1',
      Statement: [
        {
          Sid: 'Enable IAM User Permissions',
          Effect: 'Allow',
          Principal: { AWS: accountArn(account) },
          Action: 'kms:*',
          Resource: '*',
        },
      ],
    },
    null,
    2,
  );
}

function makeAccount(id: string, name: string, now: number): Account {
  return {
    id,
    name,
    users: [
      {
        ...makeUser(id, name, now),
        accessKeys: [makeAccessKey(now)],
        policies: [{ name: 'administrator', document: ADMINISTRATOR }],
        profile: true,
      },
    ],
    roles: [name === 'host' ? hostRole(id) : makeRole(id, ENCLAVE_ROLE, [])],
  };
}

function makeRole(account: string, name: string, policies: readonly string[]): Role {
  return {
    name,
    arn: `arn:aws:iam::${account}:role/${name}`,
    roleId: uniqueId('AROA'),
    trustPolicy: JSON.stringify({
      Version: '2012-10-17',
      Statement: [{ Effect: 'Allow', Principal: { AWS: accountArn(account) }, Action: 'sts:AssumeRole' }],
    }),
    policies,
    maxSessionSeconds: 3600,
  };
}

/** What its account allows it is half of what another account's key needs; the other half is that key's policy. */
function hostRole(account: string): Role {
  const actions = ['kms:Decrypt', 'kms:GenerateDataKey'];
  const Statement = [{ Effect: 'Allow', Action: actions, Resource: '*' }];
  return makeRole(account, HOST_ROLE, [JSON.stringify({ Version: '2012-10-17', Statement })]);
}

/** A user who may do nothing yet. */
export function makeUser(account: string, name: string, now: number): User {
  return {
    name,
    arn: `arn:aws:iam::${account}:user/${name}`,
    userId: uniqueId('AIDA'),
    createdAt: now,
    accessKeys: [],
    policies: [],
    profile: false,
  };
}

export function makeAccessKey(now: number): AccessKey {
  return { id: uniqueId('AKIA'), secret: randomBytes(30).toString('base64'), createdAt: now };
}

/** A prefix and sixteen characters of the base-32 alphabet, as AWS's unique ids have. */
export function uniqueId(prefix: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  return prefix + Array.from(randomBytes(16), (byte) => alphabet.charAt(byte & 31)).join('');
}
