/**
 * What is said of an anchor once everything was looked at: each way around it, in words. A way is something that the
 * policies should have closed and do not; a note is what no policy can close, or is worth knowing.
 */
import type { AnchorClients } from './clients.ts';
import { boundInForce, meaning, statementsOf } from './in-force.ts';
import type { Rule } from './policies.ts';
import { bucketRules, samePolicy, userPolicyText } from './policies.ts';
import type { BucketFound, Survey, UserFound } from './survey.ts';
import { survey } from './survey.ts';
import type { AnchorTerms } from './terms.ts';
import { retentionDays } from './terms.ts';

export type FindingCode =
  | 'bucket-missing'
  | 'versioning'
  | 'object-lock'
  | 'public-access'
  | 'policy-missing'
  | 'policy-statement-missing'
  | 'policy-statement-allows'
  | 'user-missing'
  | 'user-policy'
  | 'user-other-rights'
  | 'access-keys'
  | 'not-looked-at'
  | 'administrators';

export interface Finding {
  readonly kind: 'way' | 'note';
  readonly code: FindingCode;
  readonly text: string;
}

/** Throws where AWS cannot be asked, or the bucket is somebody else's. Changes nothing. */
export async function lintAnchor(terms: AnchorTerms, clients: AnchorClients, now: number): Promise<readonly Finding[]> {
  return findings(terms, await survey(terms, clients), now);
}

export function findings(terms: AnchorTerms, { bucket, user }: Survey, now: number): readonly Finding[] {
  return [...ofBucket(terms, bucket, now), ...ofUser(terms, user), ...always(terms)];
}

const way = (code: FindingCode, text: string): Finding => ({ kind: 'way', code, text });
const note = (code: FindingCode, text: string): Finding => ({ kind: 'note', code, text });

function ofBucket(terms: AnchorTerms, bucket: BucketFound | undefined, now: number): readonly Finding[] {
  if (bucket === undefined)
    return [way('bucket-missing', `there is no bucket ${terms.bucket}: no enclave can use this anchor`)];
  const { versioning, objectLock, publicAccessBlocked, policy } = bucket;
  return [
    ...(versioning ? [] : [way('versioning', 'versioning is not enabled: an entry that is written over is lost')]),
    ...(objectLock ? [] : [way('object-lock', 'the bucket has no Object Lock: its owner can remove entries, and with them spent calls')]), // prettier-ignore
    ...(publicAccessBlocked === false ? [way('public-access', 'public access is not blocked: a policy may one day let anybody read when calls are made')] : []), // prettier-ignore
    ...(publicAccessBlocked === 'unknown' ? [note('not-looked-at', 'this AWS does not tell whether public access is blocked')] : []), // prettier-ignore
    ...ofPolicy(terms, policy, now),
  ];
}

function ofPolicy(terms: AnchorTerms, policy: string | undefined, now: number): readonly Finding[] {
  if (policy === undefined)
    return [way('policy-missing', 'the bucket has no policy: whoever IAM lets may write into it, over entries too')];
  const rules = bucketRules(terms, boundInForce(terms, policy, now) ?? retentionDays(terms, now));
  const wanted = new Map(rules.map((rule): readonly [string, Rule] => [meaning(rule.statement), rule]));
  const found = statementsOf(policy);
  const present = new Set(found.map(meaning));
  return [
    ...[...wanted]
      .filter(([text]) => !present.has(text))
      .map(([, { statement, without }]) => way('policy-statement-missing', `the bucket's policy lacks ${statement.Sid}: ${without}`)), // prettier-ignore
    ...found
      .filter((statement) => !wanted.has(meaning(statement)) && !isDeny(statement))
      .map((statement) => way('policy-statement-allows', `the bucket's policy also says: ${JSON.stringify(statement).slice(0, 300)}`)), // prettier-ignore
  ];
}

/** Another Deny stops something; that is no way around. */
function isDeny(statement: unknown): boolean {
  return typeof statement === 'object' && statement !== null && 'Effect' in statement && statement.Effect === 'Deny';
}

function ofUser(terms: AnchorTerms, user: UserFound | undefined): readonly Finding[] {
  const { user: name } = terms;
  if (user === undefined)
    return [way('user-missing', `there is no IAM user ${name}: the enclave has nobody to write as`)];
  const { policy, others, accessKeys } = user;
  return [
    ...(samePolicy(policy, userPolicyText(terms)) ? [] : [way('user-policy', `the rights of ${name} are not what the enclave needs, no more and no less`)]), // prettier-ignore
    ...(others === 'unknown'
      ? [note('not-looked-at', `this AWS does not tell whether ${name} has further policies or groups`)]
      : others.map((each) => way('user-other-rights', `${name} has further rights, by ${each}: whoever runs the enclave's image would have them too`))), // prettier-ignore
    ...(accessKeys.length === 0 ? [note('access-keys', `${name} has no access key yet: accord anchor contribute makes one`)] : []), // prettier-ignore
    ...(accessKeys.length > 1 ? [note('access-keys', `${name} has ${accessKeys.length} access keys; the next accord anchor contribute removes the oldest`)] : []), // prettier-ignore
  ];
}

function always({ account }: AnchorTerms): readonly Finding[] {
  return [
    note(
      'administrators',
      `administrators of account ${account} can change these policies: they can stop calls and write beside entries, but neither change nor remove one that is locked. Closing the account would remove them all`,
    ),
  ];
}
