/** Lists in pages: `Limit` and `Marker` in, `Truncated` and `NextMarker` out. */
import { AwsError } from '../errors.ts';
import type { JsonObject } from '../wire/json.ts';
import type { KmsCall } from './call.ts';

/** Reads the paging parameters (and ends reading); the result cuts one page out of a whole list. */
export function page(
  call: KmsCall,
  { max, usual }: { readonly max: number; readonly usual: number },
): (name: string, all: readonly JsonObject[]) => JsonObject {
  const limit = call.input.integer('Limit', { min: 1, max }) ?? usual;
  const marker = call.input.text('Marker', { min: 1, max: 1024, optional: true });
  call.input.done();
  const from = marker === undefined ? 0 : Number(Buffer.from(marker, 'base64').toString('latin1'));
  if (!Number.isSafeInteger(from) || from < 0) throw new AwsError('InvalidMarkerException', 'Invalid marker.');
  return (name, all) => {
    const end = from + limit;
    const rest = end < all.length;
    return {
      [name]: all.slice(from, end),
      Truncated: rest,
      ...(rest ? { NextMarker: Buffer.from(String(end)).toString('base64') } : {}),
    };
  };
}
