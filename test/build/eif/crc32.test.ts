import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { combineCrc32, crc32 } from '../../../build/eif/crc32.ts';

describe('CRC-32', () => {
  test('gives the check value of the catalogue (ISO-HDLC)', () => {
    expect(crc32(new TextEncoder().encode('123456789'))).toBe(0xcbf43926);
  });

  test('combined from any two pieces is that of the whole', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5000 }), fc.uint8Array({ maxLength: 5000 }), (a, b) => {
        const whole = crc32(Buffer.concat([a, b]));
        expect(combineCrc32(crc32(a), crc32(b), b.length)).toBe(whole);
        expect(crc32(b, crc32(a))).toBe(whole);
      }),
    );
  });

  test('combines over lengths beyond 32 bits: appending zeros twice is appending them at once', () => {
    const start = crc32(Uint8Array.of(1, 2, 3));
    const half = 3 * 2 ** 31;
    // The CRC of n zeros, by combination alone.
    const zeros = (bytes: number): number => {
      let [crc, length, result, done] = [crc32(new Uint8Array(1)), 1, 0, 0];
      for (let rest = bytes; rest > 0; rest = Math.floor(rest / 2)) {
        if (rest % 2 === 1) [result, done] = [combineCrc32(result, crc, length), done + length];
        [crc, length] = [combineCrc32(crc, crc, length), length * 2];
      }
      expect(done).toBe(bytes);
      return result;
    };
    const twice = combineCrc32(combineCrc32(start, zeros(half), half), zeros(half), half);
    expect(twice).toBe(combineCrc32(start, zeros(2 * half), 2 * half));
  });
});
