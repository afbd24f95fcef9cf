/** Where in S3 an anchor is: `s3://bucket/prefix`. */
import { BOUNDS } from '../bounds.ts';
import type { Objection } from '../reading/shape.ts';

export interface BucketAddress {
  readonly bucket: string;
  /** Empty, or ends with `/`. */
  readonly prefix: string;
}

/** Entries stand under it where the address names no prefix. */
export const STANDARD_PREFIX = 'accord/';

/** 3 to 63 characters of which the first and the last are letters or digits. */
export const BUCKET_PATTERN = '^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$';
/** Characters that S3 calls safe, in parts that are not empty; empty for the whole bucket. */
export const PREFIX_PATTERN = '^([A-Za-z0-9_-][A-Za-z0-9._-]*/)*$';
/** For the JSON Schema; `inspectBucketAddress` knows a few rules more. */
export const ADDRESS_PATTERN =
  '^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/([A-Za-z0-9_-][A-Za-z0-9._-]*/)*([A-Za-z0-9_-][A-Za-z0-9._-]*)?)?$';

const RESERVED_BEGINNINGS = ['xn--', 'sthree-', 'amzn-s3-demo-'];
const RESERVED_ENDINGS = ['-s3alias', '--ol-s3', '.mrap', '--x-s3', '--table-s3'];

const EXAMPLE = 's3://alice-accord-anchor';

/** `s3://bucket` stands for the standard prefix, `s3://bucket/` for the whole bucket. */
export function inspectBucketAddress(text: string): BucketAddress | Objection {
  const match = /^s3:\/\/([^/]*)(?:\/(.*))?$/su.exec(text);
  if (match === null) return bad('this is no address in S3', `write it like ${EXAMPLE}`);
  const [, bucket = '', path] = match;
  const wrong = bucketObjection(bucket);
  if (wrong !== undefined) return wrong;
  const prefix = path === undefined ? STANDARD_PREFIX : path === '' || path.endsWith('/') ? path : `${path}/`;
  return prefixObjection(prefix) ?? { bucket, prefix };
}

/** What keeps it from being a bucket's name; the rules of S3 for general purpose buckets. */
export function bucketObjection(bucket: string): Objection | undefined {
  if (bucket.length < 3 || bucket.length > 63) {
    return bad(`a bucket's name has 3 to 63 characters, this one ${bucket.length}`, `write it like ${EXAMPLE}`);
  }
  if (!new RegExp(BUCKET_PATTERN).test(bucket)) {
    return bad(
      `S3 has no bucket ${JSON.stringify(bucket)}`,
      'its name has lower-case letters, digits, dots and hyphens, with a letter or digit at either end',
    );
  }
  if (bucket.includes('..')) return bad('two dots stand side by side in the name', 'S3 has no such bucket');
  if (/^\d+\.\d+\.\d+\.\d+$/.test(bucket))
    return bad('the name is written like an IP address', 'S3 has no such bucket');
  const taken =
    RESERVED_BEGINNINGS.find((words) => bucket.startsWith(words)) ??
    RESERVED_ENDINGS.find((words) => bucket.endsWith(words));
  if (taken === undefined) return undefined;
  return bad(`S3 keeps names with ${taken} for itself`, 'name a general purpose bucket');
}

export function prefixObjection(prefix: string): Objection | undefined {
  if (prefix.length > BOUNDS.prefixCharacters) {
    return bad(
      `the prefix has ${prefix.length} characters`,
      `at most ${BOUNDS.prefixCharacters} leave room for the entries' names`,
    );
  }
  if (new RegExp(PREFIX_PATTERN).test(prefix)) return undefined;
  return bad(
    `${JSON.stringify(prefix)} is no plain prefix`,
    'letters, digits, dots, hyphens and underscores, in parts that are not empty and do not begin with a dot',
  );
}

function bad(message: string, hint: string): Objection {
  return { code: 'policy/bad-bucket', message, hint };
}
