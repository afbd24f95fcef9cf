/** One page of a listing: keys of a prefix in order, with what a delimiter rolls up, and where the next page begins. */
import type { S3Call } from './call.ts';
import { invalidArgument } from './errors.ts';
import { compareKeys, firstAtOrAfter } from './keys.ts';

export interface ListRequest {
  readonly prefix: string;
  readonly delimiter: string;
  readonly maxKeys: number;
  /** Writes a key as the answer asks for it: plain, or URL-encoded. */
  readonly encode: (key: string) => string;
  readonly encodingType: string | undefined;
}

export function listRequest({ query }: S3Call): ListRequest {
  const text = query.get('max-keys') ?? '1000';
  if (!/^\d{1,10}$/.test(text)) {
    throw invalidArgument('Provided max-keys not an integer or within integer range', 'max-keys', text);
  }
  const encodingType = query.get('encoding-type');
  if (encodingType !== undefined && encodingType !== 'url') {
    throw invalidArgument('Invalid Encoding Method specified in Request', 'encoding-type', encodingType);
  }
  return {
    prefix: query.get('prefix') ?? '',
    delimiter: query.get('delimiter') ?? '',
    maxKeys: Math.min(Number(text), 1000),
    encodingType,
    encode: encodingType === undefined ? (key) => key : (key) => encodeURIComponent(key).replaceAll('%2F', '/'),
  };
}

/** Condition keys of a listing. */
export function listFacts({ query }: S3Call): Readonly<Record<string, string | undefined>> {
  return {
    's3:prefix': query.get('prefix') ?? '',
    's3:delimiter': query.get('delimiter'),
    's3:max-keys': query.get('max-keys'),
  };
}

export type ListedKey = { readonly key: string } | { readonly commonPrefix: string };

/** Keys of the prefix from `from` on (inclusive), rolled up, one after the other; the caller stops at its page's end. */
export function* keysFrom(
  keys: readonly string[],
  { prefix, delimiter }: ListRequest,
  from: string,
): Generator<ListedKey> {
  const start = compareKeys(from, prefix) > 0 ? from : prefix;
  let rolledUp: string | undefined;
  for (let index = firstAtOrAfter(keys, start); index < keys.length; index++) {
    const key = keys[index] ?? '';
    if (!key.startsWith(prefix)) return;
    const end = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length);
    if (end < 0) yield { key };
    else {
      const commonPrefix = key.slice(0, end + delimiter.length);
      if (commonPrefix !== rolledUp) yield { commonPrefix };
      rolledUp = commonPrefix;
    }
  }
}
