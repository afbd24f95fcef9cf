/** Lower-case hexadecimal. Reading accepts either case and nothing else: no spaces, no prefix, whole bytes. */
import { Failure } from '../../policies/failure.ts';

export type HexCode = 'hex/malformed';

const DIGITS: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** `ff00` for [255, 0]. */
export function toHex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += DIGITS[byte] ?? '';
  return text;
}

/** The bytes of a hexadecimal text. Throws `hex/malformed`; `where` names the field in the message. */
export function fromHex(text: string, where = 'hex'): Uint8Array {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) {
    throw new Failure<HexCode>(
      'malformed',
      'hex/malformed',
      `${where} is not hexadecimal (an even number of 0-9, a-f)`,
      {
        where,
      },
    );
  }
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}
