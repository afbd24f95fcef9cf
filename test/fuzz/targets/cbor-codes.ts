import type { CborCode } from '../../../enclave/encoding/cbor.ts';
import { codesOf } from '../target.ts';

/** What reading may say: `cbor/not-encodable` is for writing. */
export const CBOR_CODES: ReadonlySet<string> = codesOf<Exclude<CborCode, 'cbor/not-encodable'>>({
  'cbor/truncated': true,
  'cbor/trailing-bytes': true,
  'cbor/too-large': true,
  'cbor/too-many-items': true,
  'cbor/too-deep': true,
  'cbor/duplicate-key': true,
  'cbor/key-type': true,
  'cbor/tag': true,
  'cbor/simple-value': true,
  'cbor/float': true,
  'cbor/indefinite-length': true,
  'cbor/not-shortest': true,
  'cbor/text': true,
  'cbor/reserved': true,
});
