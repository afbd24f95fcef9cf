/** The bucket that the policy names for a party, as an anchor: through the host's relay, at the policy's endpoint. */
import type { S3AnchorStore } from '../../policies/model.ts';
import type { Timers } from '../deadline.ts';
import type { AwsSettings } from '../kms/aws.ts';
import type { Anchor } from './anchor.ts';
import { retainUntil } from './retention.ts';
import { createS3Anchor } from './s3-anchor.ts';
import type { S3Credentials } from './s3.ts';
import { createS3 } from './s3.ts';

export interface S3AnchorPlace {
  readonly aws: AwsSettings;
  readonly timers: Timers;
  readonly store: S3AnchorStore;
  /** AWS account of the owner's key: the bucket must be its. */
  readonly account: string;
  readonly credentials: S3Credentials;
  /** The collaboration's last day, YYYY-MM-DD. */
  readonly until: string;
}

export function openS3Anchor({ aws, timers, store, account, credentials, until }: S3AnchorPlace): Anchor {
  const { bucket, prefix, region } = store.s3;
  return createS3Anchor({
    owner: store.owner,
    s3: createS3({ ...aws, region, bucket, account, credentials }),
    place: `s3://${bucket}/${prefix}`,
    prefix,
    retainUntil: retainUntil(until),
    timers,
  });
}
