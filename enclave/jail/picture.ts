/** What is known of a picture before any library parses it: its format by its first bytes, and that it stands still. */
import type { MediaType } from '../functions/picture.ts';

const startsWith = (bytes: Uint8Array, start: readonly number[], at = 0): boolean =>
  start.every((byte, index) => bytes[at + index] === byte);

const ascii = (text: string): readonly number[] => Array.from(text, (character) => character.charCodeAt(0));

/** By content, never by name. Undefined for everything else. */
export function sniff(bytes: Uint8Array): MediaType | undefined {
  if (startsWith(bytes, [0xff, 0xd8, 0xff])) return 'image/jpeg';
  if (startsWith(bytes, [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])) return 'image/png';
  if (startsWith(bytes, ascii('RIFF')) && startsWith(bytes, ascii('WEBP'), 8)) return 'image/webp';
  return undefined;
}

/**
 * Reads the chunk headers of a PNG, as far as its decoder does not: that it is whole to its last chunk, and that it does
 * not say that it is animated (`acTL` before its data), of which decoders show the first frame without a word.
 */
export function pngFault(bytes: Uint8Array): 'animated' | 'damaged' | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let data = false;
  for (let at = 8; at + 12 <= bytes.length; at += 12 + view.getUint32(at)) {
    if (!data && startsWith(bytes, ascii('acTL'), at + 4)) return 'animated';
    if (startsWith(bytes, ascii('IDAT'), at + 4)) data = true;
    if (startsWith(bytes, ascii('IEND'), at + 4)) return undefined;
  }
  return 'damaged';
}
