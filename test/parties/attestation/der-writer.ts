/** What tests write in DER, beyond `der` itself. */
import { DER, der } from '../../../parties/attestation/der.ts';

/** A non-negative INTEGER from its big-endian magnitude, with or without leading zeros. */
export function derUnsigned(magnitude: Uint8Array): Uint8Array {
  let start = 0;
  while (start < magnitude.length - 1 && magnitude[start] === 0) start++;
  const digits = magnitude.subarray(start);
  const padding = (digits[0] ?? 0x80) >= 0x80 ? [Uint8Array.of(0)] : [];
  return der(DER.integer, ...padding, digits);
}

/** OBJECT IDENTIFIER from dotted decimal. */
export function derOid(dotted: string): Uint8Array {
  const [root = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const content = [root * 40 + second, ...rest].flatMap((arc) => {
    const digits = [arc % 128];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) digits.unshift(0x80 | (left % 128));
    return digits;
  });
  return der(DER.oid, Uint8Array.from(content));
}
