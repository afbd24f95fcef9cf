/**
 * Asks the evaluator about one action on a bucket or an object, with the condition keys that S3 fills in. In the bucket's
 * own account either side is enough; another account's principal needs the bucket's policy and its own.
 */
import { parsePolicyDocument } from '../iam/document.ts';
import type { Decision } from '../iam/evaluate.ts';
import { evaluate } from '../iam/evaluate.ts';
import type { S3Call } from './call.ts';
import { S3Error, accessDenied } from './errors.ts';
import type { Bucket } from './model.ts';

/** Condition keys of this operation, for example `s3:prefix`; undefined ones are absent. */
export type Facts = Readonly<Record<string, string | undefined>>;

/** The bucket of the call, of the owner that was expected and at this Region, if the caller may do `action` with it. */
export function authorizedBucket(call: S3Call, action: string, facts: Facts = {}): Bucket {
  const bucket = bucketHere(call);
  authorize(call, bucket, action, facts);
  return bucket;
}

/** Throws AccessDenied in AWS's words unless the caller may. The resource is the object where the call names one. */
export function authorize(call: S3Call, bucket: Bucket, action: string, facts: Facts = {}): void {
  const decision = decide(call, bucket, action, facts);
  call.trace.decisions.push({ action, resource: resourceOf(call), allowed: decision.allowed });
  if (decision.allowed) return;
  if (bucket.owner !== call.principal.account) throw accessDenied();
  throw accessDenied(
    `User: ${call.principal.arn} is not authorized to perform: ${action} on resource: "${resourceOf(call)}" ${reason(action, decision)}`,
  );
}

/** Whether it would be allowed; asked where the answer depends on it, and not noted. */
export function mayAlso(call: S3Call, bucket: Bucket, action: string, facts: Facts = {}): boolean {
  return decide(call, bucket, action, facts).allowed;
}

/** For actions on no bucket that exists: CreateBucket, ListBuckets. */
export function authorizeInAccount(call: S3Call, action: string, facts: Facts = {}): void {
  const resource = call.bucket === '' ? '*' : resourceOf(call);
  const decision = evaluate({
    principal: call.principal,
    action,
    resource,
    resourceAccount: call.principal.account,
    context: contextOf(call, call.principal.account, facts),
    resourcePolicy: undefined,
    grantees: [],
  });
  call.trace.decisions.push({ action, resource, allowed: decision.allowed });
  if (decision.allowed) return;
  throw accessDenied(
    `User: ${call.principal.arn} is not authorized to perform: ${action} on resource: "${resource}" ${reason(action, decision)}`,
  );
}

function decide(call: S3Call, bucket: Bucket, action: string, facts: Facts): Decision {
  // Objects are resources of their own; what is asked about the bucket around one (may it be listed?) is the bucket's.
  const resource = BUCKET_ACTIONS.has(action) ? `arn:aws:s3:::${bucket.name}` : resourceOf(call);
  return evaluate({
    principal: call.principal,
    action,
    resource,
    resourceAccount: bucket.owner,
    context: contextOf(call, bucket.owner, facts),
    resourcePolicy: bucket.policy === undefined ? { statements: [] } : parsePolicyDocument(bucket.policy, 'resource'),
    eitherSide: true,
    grantees: [],
  });
}

const BUCKET_ACTIONS: ReadonlySet<string> = new Set(['s3:ListBucket']);

function resourceOf({ bucket, key }: S3Call): string {
  return key === '' ? `arn:aws:s3:::${bucket}` : `arn:aws:s3:::${bucket}/${key}`;
}

function contextOf(call: S3Call, owner: string, facts: Facts): ReadonlyMap<string, readonly string[]> {
  const presigned = call.query.has('X-Amz-Signature');
  const own: Facts = {
    'aws:ResourceAccount': owner,
    's3:ResourceAccount': owner,
    's3:authType': presigned ? 'REST-QUERY-STRING' : 'REST-HEADER',
    's3:signatureversion': 'AWS4-HMAC-SHA256',
    's3:x-amz-content-sha256': call.headers.get('x-amz-content-sha256'),
    's3:VersionId': call.query.get('versionId'),
    ...facts,
  };
  const filled = Object.entries(own).flatMap(([name, value]): readonly (readonly [string, readonly string[]])[] =>
    value === undefined ? [] : [[name.toLowerCase(), [value]]],
  );
  return new Map([...call.baseContext, ...filled]);
}

function reason(action: string, why: Exclude<Decision, { readonly allowed: true }>): string {
  // In the bucket's own account it is the identity that should have allowed.
  const because = why.because === 'resource-based' && !why.explicit ? 'identity-based' : why.because;
  if (!why.explicit) return `because no ${because} policy allows the ${action} action`;
  return `with an explicit deny in ${because === 'identity-based' ? 'an' : 'a'} ${because} policy`;
}

/** Where the bucket is, and whose it is, before anything is asked of it. */
function bucketHere(call: S3Call): Bucket {
  const { bucket: name, headers, region, regional, store } = call;
  const expected = headers.get('x-amz-expected-bucket-owner');
  if (expected !== undefined && !/^\d{12}$/.test(expected)) {
    throw new S3Error(
      'InvalidBucketOwnerAWSAccountID',
      'The value of the expected bucket owner parameter must be an AWS account ID',
    );
  }
  const bucket = store.bucket(name);
  if (bucket === undefined) {
    throw new S3Error('NoSuchBucket', 'The specified bucket does not exist', { details: { BucketName: name } });
  }
  if (bucket.region !== region && call.operation !== 'GetBucketLocation') {
    throw regional ? redirect(bucket) : wrongRegion(region, bucket.region);
  }
  if (expected !== undefined && expected !== bucket.owner) throw accessDenied();
  return bucket;
}

/** From one Region's endpoint to another's. Not a redirect that a client could follow: the signature would not fit. */
function redirect({ name, region }: Bucket): S3Error {
  return new S3Error(
    'PermanentRedirect',
    'The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.',
    {
      details: { Endpoint: `s3.${region}.accord.test`, Bucket: name },
      headers: { 'x-amz-bucket-region': region },
    },
  );
}

/** At the endpoint of no Region, which finds the bucket and not that it was signed for it. */
export function wrongRegion(signedFor: string, expected: string): S3Error {
  return new S3Error(
    'AuthorizationHeaderMalformed',
    `The authorization header is malformed; the region '${signedFor}' is wrong; expecting '${expected}'`,
    { details: { Region: expected }, headers: { 'x-amz-bucket-region': expected } },
  );
}
