/** What S3 remembers of a bucket and of a version of an object. */

export type LockMode = 'COMPLIANCE' | 'GOVERNANCE';

export interface Retention {
  readonly mode: LockMode;
  /** Milliseconds. */
  readonly until: number;
}

/** What a new object is locked for when its request does not say. */
export interface DefaultRetention {
  readonly mode: LockMode;
  readonly unit: 'Days' | 'Years';
  readonly count: number;
}

export interface Bucket {
  readonly name: string;
  /** Account, twelve digits. */
  readonly owner: string;
  readonly region: string;
  /** Milliseconds. */
  readonly createdAt: number;
  /** `never`: versioning was never switched on. */
  readonly versioning: 'never' | 'Enabled' | 'Suspended';
  /** Undefined without Object Lock; it is never switched off again. */
  readonly lock?: { readonly retention?: DefaultRetention };
  /** The text that was put. */
  readonly policy?: string | undefined;
}

export interface ObjectVersion {
  /** Grows with every version written in this data folder. */
  readonly sequence: number;
  readonly key: string;
  /** `null` for what was written without versioning. */
  readonly versionId: string;
  /** A delete marker has no bytes. */
  readonly marker: boolean;
  readonly size: number;
  /** MD5, hexadecimal, without quotes. */
  readonly etag: string;
  /** Milliseconds. */
  readonly modifiedAt: number;
  /** Content type and `x-amz-meta-*`, as headers of the answer. */
  readonly headers: Readonly<Record<string, string>>;
  readonly checksum?: Checksum;
  readonly retention?: Retention;
}

export interface Checksum {
  /** For example `CRC32`. */
  readonly algorithm: string;
  /** Base64. */
  readonly value: string;
}
