/** What there is: bucket, its settings and policy, the user as whom the enclave writes, and the user's rights. */
import {
  GetUserCommand,
  GetUserPolicyCommand,
  ListAccessKeysCommand,
  ListAttachedUserPoliciesCommand,
  ListGroupsForUserCommand,
  ListUserPoliciesCommand,
} from '@aws-sdk/client-iam';
import {
  GetBucketPolicyCommand,
  GetBucketVersioningCommand,
  GetObjectLockConfigurationCommand,
  GetPublicAccessBlockCommand,
  HeadBucketCommand,
} from '@aws-sdk/client-s3';
import { answerOf } from '../../enclave/claims/s3-failure.ts';
import { Failure } from '../../policies/failure.ts';
import type { AnchorAwsCode, AnchorClients } from './clients.ts';
import { RENAME, ifThere, telling } from './clients.ts';
import { USER_POLICY_NAME } from './policies.ts';
import type { AnchorTerms } from './terms.ts';

/** `unknown` where the AWS that was asked does not have the question. */
type Unknown = 'unknown';

export interface BucketFound {
  readonly versioning: boolean;
  readonly objectLock: boolean;
  readonly policy: string | undefined;
  readonly publicAccessBlocked: boolean | Unknown;
}

export interface UserFound {
  /** The inline policy that is ours. */
  readonly policy: string | undefined;
  /** Whatever else gives the user rights: other inline policies, attached ones, groups. */
  readonly others: readonly string[] | Unknown;
  /** Oldest first. */
  readonly accessKeys: readonly { readonly id: string; readonly createdAt: number }[];
}

export interface Survey {
  readonly bucket: BucketFound | undefined;
  readonly user: UserFound | undefined;
}

/** Throws `anchor/name-taken`, `anchor/other-region`, `anchor/denied`, `aws/…`. */
export async function survey(terms: AnchorTerms, clients: AnchorClients): Promise<Survey> {
  const [bucket, user] = await Promise.all([findBucket(terms, clients), findUser(terms, clients)]);
  return { bucket, user };
}

async function findBucket(terms: AnchorTerms, { s3, signal }: AnchorClients): Promise<BucketFound | undefined> {
  const options = { abortSignal: signal };
  const of = { Bucket: terms.bucket, ExpectedBucketOwner: terms.account };
  if (!(await isThere(terms, s3.send(new HeadBucketCommand(of), options)))) return undefined;
  const [versioning, lock, policy, publicAccess] = await telling(
    terms,
    "reading the bucket's settings",
    Promise.all([
      s3.send(new GetBucketVersioningCommand(of), options),
      ifThere(s3.send(new GetObjectLockConfigurationCommand(of), options), ['ObjectLockConfigurationNotFoundError']),
      ifThere(s3.send(new GetBucketPolicyCommand(of), options), ['NoSuchBucketPolicy']),
      ifThere(s3.send(new GetPublicAccessBlockCommand(of), options), ['NoSuchPublicAccessBlockConfiguration']),
    ]),
  );
  return {
    versioning: versioning.Status === 'Enabled',
    objectLock: known(lock)?.ObjectLockConfiguration?.ObjectLockEnabled === 'Enabled',
    policy: known(policy)?.Policy,
    publicAccessBlocked: publicAccess === 'unknown' ? 'unknown' : isBlocked(publicAccess),
  };
}

/** HEAD has no words: the status tells what is. */
async function isThere(terms: AnchorTerms, asking: Promise<unknown>): Promise<boolean> {
  try {
    await asking;
    return true;
  } catch (error) {
    const answer = answerOf(error);
    const fail = (code: AnchorAwsCode, message: string, hint: string): Failure<AnchorAwsCode> =>
      new Failure('refused', code, message, { where: `s3://${terms.bucket}`, hint, cause: error });
    if (answer?.status === 404) return false;
    if (answer?.status === 403)
      throw fail('anchor/name-taken', `the bucket ${terms.bucket} is of another account, or these credentials may not look at it`, `if it is yours, use a profile of account ${terms.account}; else ${RENAME}`); // prettier-ignore
    if (answer?.status === 301 || answer?.status === 400)
      throw fail('anchor/other-region', `the bucket ${terms.bucket} is in ${answer.region ?? 'another Region'}, the policy says ${terms.region}`, 'write its Region into the policy, or choose another name for the bucket'); // prettier-ignore
    return telling(terms, 'looking for the bucket', Promise.reject(error));
  }
}

interface PublicAccess {
  readonly PublicAccessBlockConfiguration?:
    | {
        readonly BlockPublicAcls?: boolean | undefined;
        readonly BlockPublicPolicy?: boolean | undefined;
        readonly IgnorePublicAcls?: boolean | undefined;
        readonly RestrictPublicBuckets?: boolean | undefined;
      }
    | undefined;
}

function isBlocked(found: PublicAccess | undefined): boolean {
  const { BlockPublicAcls, BlockPublicPolicy, IgnorePublicAcls, RestrictPublicBuckets } = found?.PublicAccessBlockConfiguration ?? {}; // prettier-ignore
  return [BlockPublicAcls, BlockPublicPolicy, IgnorePublicAcls, RestrictPublicBuckets].every((each) => each === true);
}

async function findUser(terms: AnchorTerms, { iam, signal }: AnchorClients): Promise<UserFound | undefined> {
  const options = { abortSignal: signal };
  const of = { UserName: terms.user };
  const absent = ['NoSuchEntity', 'NoSuchEntityException'];
  const look = <Reply>(request: Promise<Reply>): Promise<Reply | Unknown | undefined> =>
    telling(terms, 'looking at the IAM user', ifThere(request, absent));
  if ((await look(iam.send(new GetUserCommand(of), options))) === undefined) return undefined;
  const [policy, names, attached, groups, keys] = await Promise.all([
    look(iam.send(new GetUserPolicyCommand({ ...of, PolicyName: USER_POLICY_NAME }), options)),
    look(iam.send(new ListUserPoliciesCommand(of), options)),
    look(iam.send(new ListAttachedUserPoliciesCommand(of), options)),
    look(iam.send(new ListGroupsForUserCommand(of), options)),
    look(iam.send(new ListAccessKeysCommand(of), options)),
  ]);
  const text = known(policy)?.PolicyDocument;
  const isUnknown = [names, attached, groups].includes('unknown');
  return {
    policy: text === undefined ? undefined : decoded(text),
    others: isUnknown
      ? 'unknown'
      : [
          ...(known(names)?.PolicyNames ?? []).filter((name) => name !== USER_POLICY_NAME).map((name) => `inline policy ${name}`), // prettier-ignore
          ...(known(attached)?.AttachedPolicies ?? []).map(({ PolicyArn }) => `policy ${PolicyArn}`),
          ...(known(groups)?.Groups ?? []).map(({ GroupName }) => `group ${GroupName}`),
        ],
    accessKeys: (known(keys)?.AccessKeyMetadata ?? [])
      .flatMap(({ AccessKeyId: id, CreateDate }) =>
        id === undefined ? [] : [{ id, createdAt: CreateDate?.getTime() ?? 0 }],
      ) // prettier-ignore
      .sort((a, b) => a.createdAt - b.createdAt),
  };
}

/** IAM gives documents URL-encoded (RFC 3986). */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function known<T>(found: T | Unknown | undefined): T | undefined {
  return found === 'unknown' ? undefined : found;
}
