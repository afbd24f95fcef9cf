/** The store that the policy names for a party, of whichever kind. */
import { Failure } from '../../policies/failure.ts';
import type { AnchorStore } from '../../policies/model.ts';
import type { Timers } from '../deadline.ts';
import type { AwsSettings } from '../kms/aws.ts';
import type { Anchor } from './anchor.ts';
import type { AnchorCredential } from './anchor-credential.ts';
import { openS3Anchor } from './open-s3-anchor.ts';

/** What it takes to reach one store. */
export interface AnchorPlace {
  readonly store: AnchorStore;
  /** AWS account of the owner. */
  readonly account: string;
  /** Undefined for a folder. */
  readonly credential: AnchorCredential | undefined;
}

export type OpenAnchorCode = 'anchor/unsupported';

export interface AnchorWorld {
  readonly aws: AwsSettings;
  readonly timers: Timers;
  /** The collaboration's last day, YYYY-MM-DD. */
  readonly until: string;
}

export function openAnchor({ store, account, credential, ...world }: AnchorPlace & AnchorWorld): Anchor {
  if ('folder' in store || credential === undefined)
    throw new Failure<OpenAnchorCode>('unsupported', 'anchor/unsupported', 'folders are no anchors yet');
  return openS3Anchor({ ...world, store, account, credentials: credential });
}
