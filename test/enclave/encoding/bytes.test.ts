import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { concat, firstBytes, totalBytes } from '../../../enclave/encoding/bytes.ts';

const PARTS = fc.array(fc.uint8Array({ maxLength: 9 }), { maxLength: 9 });

test('the first bytes of parts are the first bytes of the whole, as views, none of them empty', () => {
  fc.assert(
    fc.property(PARTS, fc.nat(99), (parts, bytes) => {
      const first = firstBytes(parts, bytes);
      expect(concat(...first)).toEqual(concat(...parts).subarray(0, bytes));
      expect(totalBytes(first)).toBe(Math.min(bytes, totalBytes(parts)));
      expect(first.every(({ length, buffer }) => length > 0 && parts.some((part) => part.buffer === buffer))).toBe(
        true,
      );
    }),
  );
});
