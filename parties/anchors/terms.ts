/** What an anchor in a bucket must be, by the policy: whose it is, where entries stand, and how long they stay. */
import { retainUntil } from '../../enclave/claims/retention.ts';
import { parseKmsKeyArn } from '../../policies/arn.ts';
import type { AnchorSet, AnchorStore, S3AnchorStore } from '../../policies/model.ts';
import { Failure } from '../../policies/failure.ts';

export type AnchorTermsCode =
  | 'anchor/none' // the policy has no anchors, or none of this party
  | 'anchor/folder'; // the party's anchor is no bucket

export interface AnchorTerms {
  readonly party: string;
  readonly partition: string;
  /** Twelve digits: that of the party's key. */
  readonly account: string;
  readonly bucket: string;
  /** Empty, or ends with `/`. */
  readonly prefix: string;
  readonly region: string;
  /** The IAM user as whom the enclave writes. */
  readonly user: string;
  readonly userArn: string;
  /** ARNs of those who may read entries beside the owner's own account. */
  readonly readers: readonly string[];
  /** Until when entries are locked; milliseconds since 1970. */
  readonly retainUntil: number;
}

export interface Agreed {
  readonly anchors: 'none' | AnchorSet;
  readonly until: string;
}

/** The party's own store. Throws `anchor/none`. */
export function storeOf({ anchors }: Agreed, party: string): AnchorStore {
  const store = anchors === 'none' ? undefined : anchors.stores.find(({ owner }) => owner === party);
  if (store !== undefined) return store;
  throw new Failure<AnchorTermsCode>(
    'refused',
    'anchor/none',
    anchors === 'none' ? 'the policy has no anchors' : `the policy names no anchor of ${party}`,
    { where: 'anchors', hint: `write one into the policy: anchors: { ${party}: { s3: "s3://BUCKET" } }` },
  );
}

export function s3StoreOf(agreed: Agreed, party: string): S3AnchorStore {
  const store = storeOf(agreed, party);
  if ('s3' in store) return store;
  throw new Failure<AnchorTermsCode>(
    'refused',
    'anchor/folder',
    `the anchor of ${party} is a folder, ${store.folder}`,
    {
      hint: 'a folder needs no credential; it is for local trials alone',
    },
  );
}

export function termsFor(agreed: Agreed, party: string, keyArn: string, readers: readonly string[] = []): AnchorTerms {
  const { bucket, prefix, region } = s3StoreOf(agreed, party).s3;
  const { partition, account } = parseKmsKeyArn(keyArn);
  // IAM takes 64 characters, a bucket's name has up to 63.
  const user = `accord-anchor-${bucket}`.slice(0, 64);
  return {
    party,
    partition,
    account,
    bucket,
    prefix,
    region,
    user,
    userArn: `arn:${partition}:iam::${account}:user/${user}`,
    readers: [...readers].sort(),
    retainUntil: retainUntil(agreed.until),
  };
}

/** Days that an entry written at `now` is locked for. */
export function retentionDays({ retainUntil: until }: AnchorTerms, now: number): number {
  return Math.max(1, Math.ceil((until - now) / 86_400_000));
}
