/** The store that the policy names for a party, of whichever kind. */
import type { AnchorStore } from '../../policies/model.ts';
import type { RandomSource } from '../crypto/random.ts';
import type { Timers } from '../deadline.ts';
import type { AwsSettings } from '../kms/aws.ts';
import type { Anchor } from './anchor.ts';
import type { AnchorCredential } from './anchor-credential.ts';
import type { FolderFiles } from './folder-anchor.ts';
import { createFolderAnchor } from './folder-anchor.ts';
import { openS3Anchor } from './open-s3-anchor.ts';

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
  return openS3Anchor({ aws, timers, until, store, account, credentials: credential });
}
