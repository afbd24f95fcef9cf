/** The store that the policy names for a party, of whichever kind. */
import type { AnchorStore, S3AnchorStore } from '../../policies/model.ts';
import type { RandomSource } from '../crypto/random.ts';
import type { Timers } from '../deadline.ts';
import type { AwsSettings } from '../kms/aws.ts';
import type { Anchor } from './anchor.ts';
import type { AnchorCredential } from './anchor-credential.ts';
import type { FolderFiles } from './folder-anchor.ts';
import { createFolderAnchor } from './folder-anchor.ts';
import { retainUntil } from './retention.ts';
import { createS3Anchor } from './s3-anchor.ts';
import { createS3 } from './s3.ts';

/** What it takes to reach one store. */
export interface AnchorPlace {
  readonly store: AnchorStore;
  /** AWS account of the owner. */
  readonly account: string;
  /** Undefined for a folder. */
  readonly credential: AnchorCredential | undefined;
}

export interface AnchorWorld {
  readonly aws: AwsSettings;
  readonly timers: Timers;
  /** The collaboration's last day, YYYY-MM-DD. */
  readonly until: string;
  /** For folders. */
  readonly files: FolderFiles;
  readonly random: RandomSource;
}

export function openAnchor(place: AnchorPlace & AnchorWorld): Anchor {
  const { store, account, credential, aws, timers, until, files, random } = place;
  if ('folder' in store) return createFolderAnchor({ ...store, files, random });
  if (credential === undefined) throw new RangeError('a bucket needs a credential');
  return openS3Anchor({ aws, timers, until, store, account, credential });
}

export type S3AnchorPlace = Pick<AnchorWorld, 'aws' | 'timers' | 'until'> & {
  readonly store: S3AnchorStore;
  /** AWS account of the owner's key: the bucket must be its. */
  readonly account: string;
  readonly credential: AnchorCredential;
};

/** Through the host's relay, at the policy's endpoint. */
export function openS3Anchor({ aws, timers, store, account, credential, until }: S3AnchorPlace): Anchor {
  const { bucket, prefix, region } = store.s3;
  return createS3Anchor({
    owner: store.owner,
    s3: createS3({ ...aws, region, bucket, account, credentials: credential }),
    place: `s3://${bucket}/${prefix}`,
    prefix,
    retainUntil: retainUntil(until),
    timers,
  });
}
