/**
 * Makes what the policy says an anchor is, where it is not there yet. First it says what it will do; each step is
 * harmless where it was done before. The access key is made later, by `contribute`, which hands it to the enclave alone.
 */
import { CreateUserCommand, PutUserPolicyCommand } from '@aws-sdk/client-iam';
import type { CreateBucketCommandInput } from '@aws-sdk/client-s3';
import {
  CreateBucketCommand,
  PutBucketPolicyCommand,
  PutBucketVersioningCommand,
  PutObjectLockConfigurationCommand,
  PutPublicAccessBlockCommand,
} from '@aws-sdk/client-s3';
import type { AnchorClients } from './clients.ts';
import { ifThere, refusalName, telling } from './clients.ts';
import { boundInForce, readersIn } from './in-force.ts';
import { USER_POLICY_NAME, bucketPolicyText, samePolicy, userPolicyText } from './policies.ts';
import { survey } from './survey.ts';
import type { AnchorTerms } from './terms.ts';
import { retentionDays } from './terms.ts';

export interface Step {
  /** What it does, in words: `make the bucket …`. */
  readonly what: string;
  /** A document that it puts. */
  readonly document?: string;
  readonly run: () => Promise<unknown>;
}

/** IAM knows a new user everywhere only after a while; a bucket policy that names it is refused until then. */
const PATIENCE = { attempts: 12, pauseMs: 1_000 } as const;

/** In their order; none where everything is as it should be. Changes nothing. */
export async function planAnchor(terms: AnchorTerms, clients: AnchorClients, now: number): Promise<readonly Step[]> {
  const { bucket, user } = await survey(terms, clients);
  const { s3, iam, signal } = clients;
  const options = { abortSignal: signal };
  const of = { Bucket: terms.bucket, ExpectedBucketOwner: terms.account };
  const steps: Step[] = [];
  const step = (what: string, run: () => Promise<unknown>, document?: string): void => {
    steps.push({ what, run: () => telling(terms, what, run()), ...(document === undefined ? {} : { document }) });
  };

  if (bucket === undefined) {
    step(`make the bucket ${terms.bucket} in ${terms.region}, with Object Lock and versioning`, () =>
      makeBucket(terms, clients),
    );
  } else {
    if (!bucket.versioning)
      step('enable versioning of the bucket', () =>
        s3.send(new PutBucketVersioningCommand({ ...of, VersioningConfiguration: { Status: 'Enabled' } }), options),
      );
    if (!bucket.objectLock)
      step('enable Object Lock of the bucket, for good', () =>
        s3.send(
          new PutObjectLockConfigurationCommand({ ...of, ObjectLockConfiguration: { ObjectLockEnabled: 'Enabled' } }),
          options,
        ),
      );
  }
  if (bucket?.publicAccessBlocked === false || bucket === undefined)
    step(
      'block public access to the bucket',
      () =>
      ifThere(s3.send(new PutPublicAccessBlockCommand({ ...of, PublicAccessBlockConfiguration: ALL_BLOCKED }), options), []), // prettier-ignore
    );

  if (user === undefined)
    step(`make the IAM user ${terms.user}, as whom the enclave will write`, () =>
      iam.send(new CreateUserCommand({ UserName: terms.user }), options).catch((error: unknown) => {
        if (refusalName(error)?.startsWith('EntityAlreadyExists') !== true) throw error;
      }),
    );
  const userPolicy = userPolicyText(terms);
  if (!samePolicy(user?.policy, userPolicy))
    step(
      `let that user write and read under s3://${terms.bucket}/${terms.prefix}, and nothing else`,
      () =>
        iam.send(
          new PutUserPolicyCommand({
            UserName: terms.user,
            PolicyName: USER_POLICY_NAME,
            PolicyDocument: userPolicy,
          }),
          options,
        ),
      userPolicy,
    );

  const policy = bucketPolicyText(terms, boundInForce(terms, bucket?.policy, now) ?? retentionDays(terms, now));
  if (!samePolicy(bucket?.policy, policy))
    step(
      `put the bucket's policy: that user alone writes, only what is absent, locked; nobody removes anything${lost(terms, bucket?.policy)}`,
      () => patiently(() => s3.send(new PutBucketPolicyCommand({ ...of, Policy: policy }), options), signal),
      policy,
    );
  return steps;
}

/** Who could read and will not: named, since a reader that is left out may have been forgotten. */
function lost({ readers }: AnchorTerms, policy: string | undefined): string {
  const gone = readersIn(policy).filter((reader) => !readers.includes(reader));
  return gone.length === 0 ? '' : `; ${gone.join(', ')} will no longer read (--reader keeps them)`;
}

const ALL_BLOCKED = {
  BlockPublicAcls: true,
  BlockPublicPolicy: true,
  IgnorePublicAcls: true,
  RestrictPublicBuckets: true,
} as const;

async function makeBucket(terms: AnchorTerms, { s3, signal }: AnchorClients): Promise<void> {
  const region = regionOf(terms.region);
  const request: CreateBucketCommandInput = {
    Bucket: terms.bucket,
    ObjectLockEnabledForBucket: true,
    // us-east-1 is what an absent constraint means, and it takes no other.
    ...(region === undefined ? {} : { CreateBucketConfiguration: { LocationConstraint: region } }),
  };
  await s3.send(new CreateBucketCommand(request), { abortSignal: signal }).catch((error: unknown) => {
    if (refusalName(error) !== 'BucketAlreadyOwnedByYou') throw error;
  });
}

type Constraint = NonNullable<NonNullable<CreateBucketCommandInput['CreateBucketConfiguration']>['LocationConstraint']>;

function regionOf(region: string): Constraint | undefined {
  const isConstraint = (text: string): text is Constraint => text !== 'us-east-1';
  return isConstraint(region) ? region : undefined;
}

async function patiently(run: () => Promise<unknown>, signal: AbortSignal): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await run();
      return;
    } catch (error) {
      const isNew =
        refusalName(error) === 'MalformedPolicy' && error instanceof Error && /principal/i.test(error.message);
      if (!isNew || attempt === PATIENCE.attempts) throw error;
      signal.throwIfAborted();
      await new Promise((resolve) => void setTimeout(resolve, PATIENCE.pauseMs));
    }
  }
}
