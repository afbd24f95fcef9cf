/** S3 and IAM of the anchor's owner, and what their refusals mean for an anchor. */
import type { IAMClient } from '@aws-sdk/client-iam';
import type { S3Client } from '@aws-sdk/client-s3';
import { answerOf } from '../../enclave/claims/s3-failure.ts';
import { Failure } from '../../policies/failure.ts';
import type { AwsSettings } from '../kms/client.ts';
import { awsFailure, createIam, createS3 } from '../kms/client.ts';
import type { AnchorTerms } from './terms.ts';

export type AnchorAwsCode =
  | 'anchor/name-taken' // a bucket of this name belongs to somebody else
  | 'anchor/other-account' // the credentials are not of the account that owns the key
  | 'anchor/other-region' // the bucket is in another Region
  | 'anchor/denied'
  | 'anchor/no-user' // `accord anchor make` has not been run
  | 'anchor/credential-unusable'; // the new access key does not work

export interface AnchorClients {
  readonly s3: S3Client;
  readonly iam: IAMClient;
  readonly signal: AbortSignal;
  destroy(): void;
}

/** Where each partition keeps its IAM: requests are signed for that Region, whatever endpoint serves them. */
const IAM_REGIONS: ReadonlyMap<string, string> = new Map([
  ['aws', 'us-east-1'],
  ['aws-cn', 'cn-north-1'],
  ['aws-us-gov', 'us-gov-west-1'],
]);

/** `aws`: of the party; the Region is the bucket's. */
export function anchorClients(aws: AwsSettings, terms: AnchorTerms, signal: AbortSignal): AnchorClients {
  const s3 = createS3({ ...aws, region: terms.region });
  const iam = createIam({ ...aws, region: IAM_REGIONS.get(terms.partition) ?? 'us-east-1' });
  return {
    s3,
    iam,
    signal,
    destroy() {
      s3.destroy();
      iam.destroy();
    },
  };
}

/** `doing` completes "... : what AWS said". */
export async function telling<Reply>(terms: AnchorTerms, doing: string, request: Promise<Reply>): Promise<Reply> {
  try {
    return await request;
  } catch (error) {
    throw failureOf(terms, doing, error);
  }
}

function failureOf({ bucket, region, party }: AnchorTerms, doing: string, error: unknown): Failure {
  const answer = answerOf(error);
  const fail = (code: AnchorAwsCode, message: string, hint: string): Failure<AnchorAwsCode> =>
    new Failure('refused', code, message, { where: `s3://${bucket}`, hint, cause: error });
  switch (answer?.name ?? '') {
    case 'BucketAlreadyExists':
    case 'OperationAborted':
      return fail('anchor/name-taken', `the name ${bucket} is taken: buckets of all accounts share their names`, RENAME); // prettier-ignore
    case 'PermanentRedirect':
    case 'AuthorizationHeaderMalformed':
    case 'IllegalLocationConstraintException': {
      const where = answer?.region ?? 'another Region';
      return fail('anchor/other-region', `the bucket is in ${where}, the policy says ${region}`, `write { s3: "s3://${bucket}/…", region: … } as it is into the policy`); // prettier-ignore
    }
    case 'AccessDenied':
    case 'AccessDeniedException':
      return fail('anchor/denied', `${doing}: AWS says no to these credentials`, `use a profile of ${party} that may administer the bucket and IAM users: --profile NAME`); // prettier-ignore
    default:
      return awsFailure(error, doing);
  }
}

export const RENAME = 'choose another name for the bucket, and write it into the policy';

/** The name of AWS's refusal; undefined where there was none, or no answer. */
export function refusalName(error: unknown): string | undefined {
  return answerOf(error)?.name;
}

/** The reply; `undefined` where the thing is not there; `unknown` where this AWS does not have the operation. */
export async function ifThere<Reply>(
  request: Promise<Reply>,
  absent: readonly string[],
): Promise<Reply | 'unknown' | undefined> {
  try {
    return await request;
  } catch (error) {
    const name = refusalName(error);
    if (name !== undefined && absent.includes(name)) return undefined;
    if (name !== undefined && NOT_HERE.has(name)) return 'unknown';
    throw error;
  }
}

const NOT_HERE: ReadonlySet<string> = new Set([
  'NotImplemented',
  'InvalidAction',
  'UnknownOperationException',
  'UnsupportedOperationException',
]);
