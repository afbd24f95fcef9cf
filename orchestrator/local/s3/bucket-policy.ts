/** The policy of a bucket: put, read and removed by the owning account's principals alone. */
import type { PolicyDocument, Statement } from '../iam/document.ts';
import { PolicyFault, parsePolicyDocument } from '../iam/document.ts';
import { matchesPattern } from '../iam/arn.ts';
import { principalExists } from '../state.ts';
import { authorizedBucket } from './authorize.ts';
import type { S3Call, S3Operation } from './call.ts';
import { empty } from './call.ts';
import { S3Error } from './errors.ts';
import type { Bucket } from './model.ts';

/** 20 KB. */
const MAX_POLICY = 20_480;

export const getBucketPolicy: S3Operation = (call) => {
  const { policy, name } = ownBucket(call, 's3:GetBucketPolicy');
  if (policy === undefined) {
    throw new S3Error('NoSuchBucketPolicy', 'The bucket policy does not exist', { details: { BucketName: name } });
  }
  return { status: 200, contentType: 'application/json', body: policy };
};

export const putBucketPolicy: S3Operation = async (call) => {
  const { name } = ownBucket(call, 's3:PutBucketPolicy');
  const policy = new TextDecoder().decode(call.body);
  checkPolicy(call, policy);
  return await keep(call, name, (bucket) => ({ ...bucket, policy }));
};

export const deleteBucketPolicy: S3Operation = async (call) => {
  const { name } = ownBucket(call, 's3:DeleteBucketPolicy');
  return await keep(call, name, (bucket) => ({ ...bucket, policy: undefined }));
};

/** "If you have the permission, but belong to another account than the bucket's owner": not allowed, whatever the policy says. */
function ownBucket(call: S3Call, action: string): Bucket {
  const bucket = authorizedBucket(call, action);
  if (bucket.owner === call.principal.account) return bucket;
  throw new S3Error('MethodNotAllowed', 'The specified method is not allowed against this resource.');
}

async function keep(call: S3Call, name: string, next: (bucket: Bucket) => Bucket): Promise<ReturnType<typeof empty>> {
  return await call.store.exclusively(name, undefined, async () => {
    const bucket = call.store.bucket(name);
    if (bucket === undefined) throw new S3Error('NoSuchBucket', 'The specified bucket does not exist');
    await call.store.saveBucket(next(bucket));
    return empty(204);
  });
}

/** As S3 judges a policy before it takes it; beyond AWS, what the evaluator would not understand is refused too. */
function checkPolicy(call: S3Call, text: string): void {
  if (text.length > MAX_POLICY) throw malformed('Policies cannot be larger than 20 KB');
  const document = parsed(text);
  for (const statement of document.statements) {
    const unknown = statement.principals?.names.find(
      (name) => name.startsWith('arn:') && !principalExists(call.state, name),
    );
    if (unknown !== undefined) throw malformed('Invalid principal in policy', unknown);
    checkReach(call.bucket, statement);
  }
}

function parsed(text: string): PolicyDocument {
  try {
    return parsePolicyDocument(text, 'resource');
  } catch (cause) {
    if (!(cause instanceof PolicyFault)) throw cause;
    throw malformed(cause.message);
  }
}

/** Actions on objects need a resource of objects, all others one that is the bucket itself. */
const ON_OBJECTS: readonly string[] = [
  's3:PutObject',
  's3:PutObjectRetention',
  's3:PutObjectLegalHold',
  's3:GetObject',
  's3:GetObjectVersion',
  's3:GetObjectRetention',
  's3:DeleteObject',
  's3:DeleteObjectVersion',
  's3:BypassGovernanceRetention',
];

const ON_BUCKETS: readonly string[] = [
  's3:CreateBucket',
  's3:DeleteBucket',
  's3:DeleteBucketPolicy',
  's3:GetBucketLocation',
  's3:GetBucketObjectLockConfiguration',
  's3:GetBucketPolicy',
  's3:GetBucketVersioning',
  's3:ListBucket',
  's3:ListBucketVersions',
  's3:PutBucketObjectLockConfiguration',
  's3:PutBucketPolicy',
  's3:PutBucketVersioning',
];

function checkReach(bucket: string, { actions, resources }: Statement): void {
  if (actions.patterns.length === 0) throw malformed('Missing required field Action');
  if (resources.patterns.length === 0) throw malformed('Missing required field Resource');
  const foreign = actions.patterns.find((pattern) => pattern !== '*' && !/^s3:/i.test(pattern));
  if (foreign !== undefined) throw malformed('Policy has invalid action', foreign);
  const arn = `arn:aws:s3:::${bucket}`;
  const elsewhere = resources.patterns.find(
    (pattern) => pattern !== arn && !pattern.startsWith(`${arn}/`) && pattern !== `${arn}*`,
  );
  if (elsewhere !== undefined) throw malformed('Policy has invalid resource', elsewhere);
  if (actions.except || resources.except) return;
  const ofObjects = resources.patterns.some((pattern) => pattern !== arn);
  const ofBucket = resources.patterns.some((pattern) => pattern === arn || pattern === `${arn}*`);
  for (const action of actions.patterns) {
    const means = (name: string): boolean => matchesPattern(action.toLowerCase(), name.toLowerCase());
    const applies = (ofObjects && ON_OBJECTS.some(means)) || (ofBucket && ON_BUCKETS.some(means));
    if (!applies) throw malformed('Action does not apply to any resource(s) in statement', action);
  }
}

function malformed(message: string, detail?: string): S3Error {
  return new S3Error('MalformedPolicy', message, detail === undefined ? {} : { details: { Detail: detail } });
}
