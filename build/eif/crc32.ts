/**
 * CRC-32 (ISO-HDLC, the one of zip and gzip): polynomial 0x04c11db7 reflected, initial value and final XOR all ones.
 * The checksum of one piece is Node's; `combineCrc32` joins the checksums of two neighbouring pieces without their bytes,
 * so that an image whose last few kilobytes changed needs no second look at the megabytes before them.
 */
import { crc32 as crc32OfZlib } from 'node:zlib';

const POLYNOMIAL = 0xedb88320;

/** Continues `before` (0 at the start) over `bytes`. An unsigned 32-bit number. */
export function crc32(bytes: Uint8Array, before = 0): number {
  return crc32OfZlib(bytes, before);
}

/**
 * The CRC of A ‖ B from the CRCs of A and of B and the length of B. Appending a zero byte to A is multiplying its CRC by
 * x^8 modulo the polynomial; so |B| of them are multiplication by x^(8·|B|), by repeated squaring.
 */
export function combineCrc32(first: number, second: number, secondBytes: number): number {
  let factor = multiply(0x80000000, 0x80000000); // 1, which is the highest bit in reflected order
  let square = 0x00800000; // x^8
  for (let rest = secondBytes; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) factor = multiply(factor, square);
    square = multiply(square, square);
  }
  return (multiply(first, factor) ^ second) >>> 0;
}

/** Product of two polynomials over GF(2), modulo the CRC's; bit 31 is the coefficient of x^0. */
function multiply(a: number, b: number): number {
  let product = 0;
  let shifted = b >>> 0;
  for (let bit = 31; bit >= 0; bit--) {
    if (((a >>> bit) & 1) === 1) product ^= shifted;
    shifted = (shifted & 1) === 1 ? (shifted >>> 1) ^ POLYNOMIAL : shifted >>> 1;
  }
  return product >>> 0;
}
