/**
 * Base64url (RFC 4648, section 5) without padding, and base64 (section 4) with padding. Both readers are strict: one
 * text for each sequence of bytes, so no white space, no missing or superfluous padding, no stray bits in the last
 * character, no mixing of the alphabets.
 */
import { Failure } from '../../policies/failure.ts';

export type Base64Code = 'base64/malformed';

interface Alphabet {
  readonly name: 'base64url' | 'base64';
  readonly characters: string;
  readonly values: ReadonlyMap<string, number>;
  readonly padded: boolean;
}

const LETTERS_AND_DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

const BASE64URL = alphabet('base64url', `${LETTERS_AND_DIGITS}-_`, false);
const BASE64 = alphabet('base64', `${LETTERS_AND_DIGITS}+/`, true);

export function toBase64url(bytes: Uint8Array): string {
  return write(BASE64URL, bytes);
}

/** Throws `base64/malformed`; `where` names the field in the message. */
export function fromBase64url(text: string, where = 'base64url'): Uint8Array {
  return read(BASE64URL, text, where);
}

export function toBase64(bytes: Uint8Array): string {
  return write(BASE64, bytes);
}

/** Throws `base64/malformed`; `where` names the field in the message. */
export function fromBase64(text: string, where = 'base64'): Uint8Array {
  return read(BASE64, text, where);
}

function alphabet(name: Alphabet['name'], characters: string, padded: boolean): Alphabet {
  return {
    name,
    characters,
    padded,
    values: new Map(Array.from(characters, (character, value) => [character, value] as const)),
  };
}

function write({ characters, padded }: Alphabet, bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; i += 3) {
    const group = ((bytes[i] ?? 0) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    const used = Math.min(bytes.length - i, 3) + 1;
    for (let k = 0; k < used; k++) text += characters.charAt((group >> (18 - 6 * k)) & 63);
    if (padded) text += '='.repeat(4 - used);
  }
  return text;
}

function read({ name, values, padded }: Alphabet, text: string, where: string): Uint8Array {
  const refuse = (what: string): Failure<Base64Code> =>
    new Failure('malformed', 'base64/malformed', `${where} is not ${name}: ${what}`, { where });
  if (padded && text.length % 4 !== 0) throw refuse('its length is not a multiple of four');
  const end = padded ? text.length - (text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0) : text.length;
  if (end % 4 === 1) throw refuse('a single character is left over');
  const bytes = new Uint8Array(Math.floor((end * 3) / 4));
  let bits = 0;
  let held = 0;
  let at = 0;
  for (let i = 0; i < end; i++) {
    const value = values.get(text.charAt(i));
    if (value === undefined) throw refuse(`unexpected character at position ${i}`);
    bits = ((bits << 6) | value) & 0xffff;
    held += 6;
    if (held >= 8) {
      held -= 8;
      bytes[at++] = bits >> held;
    }
  }
  if ((bits & ((1 << held) - 1)) !== 0) throw refuse('the last character has stray bits');
  return bytes;
}
