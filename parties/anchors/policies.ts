/**
 * Two documents: the policy of the bucket, which binds everybody but says nothing to whoever may change it, and that of
 * the one user as whom the enclave writes. What each statement stops stands beside it, for `lint` says it where the
 * statement is missing.
 */
import type { AnchorTerms } from './terms.ts';

export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };

export interface Statement {
  readonly [name: string]: Json;
  readonly Sid: string;
}

export interface Rule {
  readonly statement: Statement;
  /** Completes "without it, ...". */
  readonly without: string;
}

/** Name of the user's inline policy. */
export const USER_POLICY_NAME = 'accord-anchor';

const WRITES = ['s3:PutObject', 's3:PutObjectRetention'];

/** In their order in the document. `maxDays`: the longest lock that is taken. */
export function bucketRules(terms: AnchorTerms, maxDays: number): readonly Rule[] {
  const { partition, bucket, prefix, userArn, readers } = terms;
  const own = `arn:${partition}:s3:::${bucket}`;
  const all = `${own}/*`;
  const under = `${own}/${prefix}*`;
  const deny = (Sid: string, Action: Json, more: Readonly<Record<string, Json>>): Statement => ({
    Sid,
    Effect: 'Deny',
    Principal: '*',
    Action,
    ...more,
  });
  return [
    {
      statement: deny('OnlyTheEnclaveWrites', [...WRITES, 's3:PutObjectLegalHold'], {
        Resource: all,
        Condition: { StringNotEquals: { 'aws:PrincipalArn': userArn } },
      }),
      without: 'others whom IAM allows it can write into the bucket: that adds no call, but stops them',
    },
    ...(prefix === ''
      ? []
      : [
          {
            statement: deny('OnlyUnderThePrefix', WRITES, { NotResource: under }),
            without: `entries can be written outside of ${prefix}`,
          },
        ]),
    {
      statement: deny('OnlyWhatIsAbsent', 's3:PutObject', {
        Resource: all,
        Condition: { Null: { 's3:if-none-match': 'true' } },
      }),
      without:
        'an entry can be written over: the oldest version still holds, but somebody may be misled by a newer one',
    },
    {
      statement: deny('OnlyLocked', 's3:PutObject', {
        Resource: all,
        Condition: { StringNotEquals: { 's3:object-lock-mode': 'COMPLIANCE' } },
      }),
      without: 'an entry can be written that can be removed again',
    },
    {
      statement: deny('RetentionIsBounded', WRITES, {
        Resource: all,
        Condition: { NumericGreaterThan: { 's3:object-lock-remaining-retention-days': String(maxDays) } },
      }),
      without: 'whoever has the credential can lock objects, at your cost, for as long as it likes',
    },
    {
      statement: deny(
        'NothingIsRemoved',
        ['s3:DeleteObject', 's3:DeleteObjectVersion', 's3:BypassGovernanceRetention'],
        { Resource: all },
      ),
      without: 'entries can be hidden behind delete markers: they still count, and each is reported',
    },
    {
      statement: deny('OnlyOverTls', 's3:*', {
        Resource: [own, all],
        Condition: { Bool: { 'aws:SecureTransport': 'false' } },
      }),
      without: 'the bucket can be read without TLS',
    },
    ...(readers.length === 0
      ? []
      : [
          {
            statement: {
              Sid: 'ReadersRead',
              Effect: 'Allow',
              Principal: { AWS: readers.length === 1 ? (readers[0] ?? '') : readers },
              Action: ['s3:GetObject', 's3:GetObjectVersion', 's3:GetObjectRetention'],
              Resource: under,
            },
            without: `${readers.join(', ')} cannot read the entries`,
          },
          {
            statement: {
              Sid: 'ReadersList',
              Effect: 'Allow',
              Principal: { AWS: readers.length === 1 ? (readers[0] ?? '') : readers },
              Action: ['s3:ListBucketVersions', 's3:GetBucketVersioning', 's3:GetBucketObjectLockConfiguration'],
              Resource: own,
            },
            without: `${readers.join(', ')} cannot list the entries`,
          },
        ]),
  ];
}

export function bucketPolicyText(terms: AnchorTerms, maxDays: number): string {
  return policyText(bucketRules(terms, maxDays).map(({ statement }) => statement));
}

/** All that the enclave's user may do: nothing outside of its prefix. */
export function userPolicyText({ partition, bucket, prefix }: AnchorTerms): string {
  const own = `arn:${partition}:s3:::${bucket}`;
  return policyText([
    {
      Sid: 'Entries',
      Effect: 'Allow',
      Action: [...WRITES, 's3:GetObject', 's3:GetObjectVersion', 's3:GetObjectRetention'],
      Resource: `${own}/${prefix}*`,
    },
    {
      Sid: 'Versions',
      Effect: 'Allow',
      Action: 's3:ListBucketVersions',
      Resource: own,
      ...(prefix === '' ? {} : { Condition: { StringLike: { 's3:prefix': `${prefix}*` } } }),
    },
    {
      Sid: 'Bucket',
      Effect: 'Allow',
      Action: ['s3:GetBucketVersioning', 's3:GetBucketObjectLockConfiguration'],
      Resource: own,
    },
  ]);
}

function policyText(statements: readonly Statement[]): string {
  return JSON.stringify({ Version: '2012-10-17', Statement: statements }, undefined, 2);
}

/** AWS gives a policy back in a form of its own: one value for a list of one, keys in another order. */
export function samePolicy(a: string | undefined, b: string): boolean {
  if (a === undefined) return false;
  try {
    return normal(JSON.parse(a)) === normal(JSON.parse(b));
  } catch {
    return false;
  }
}

/** One text for one meaning: objects by sorted keys, lists sorted and of one value the value. */
export function normal(value: unknown): string {
  if (Array.isArray(value)) {
    const items = value.map(normal).sort();
    return items.length === 1 ? (items[0] ?? '') : `[${items.join(',')}]`;
  }
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([name, each]) => `${JSON.stringify(name)}:${normal(each)}`).join(',')}}`;
}
