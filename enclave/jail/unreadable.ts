/** Why a picture was not decoded: a number from the decoder, and the picture's size, put into words by the gate. */
import { MAX_PIXELS, MAX_SIDE, MIN_SIDE } from '../functions/picture.ts';

export const UNREADABLE = {
  format: 1,
  animated: 2,
  damaged: 3,
  tooSmall: 4,
  tooLarge: 5,
  proportions: 6,
} as const;

export type Unreadable = keyof typeof UNREADABLE;

/** The caller's explanation; undefined for a number that is none of ours. */
export function explainUnreadable(reason: number, width: number, height: number): string | undefined {
  const found = Object.entries(UNREADABLE).find(([, number]) => number === reason);
  if (found === undefined) return undefined;
  const words: Readonly<Record<string, string>> = {
    format: 'the input is not a picture in a format that is taken (JPEG, PNG, WebP)',
    animated: 'the picture is animated or has several pages; send one still picture',
    damaged: 'the picture is damaged or cut off',
    tooSmall: `the picture has ${width} x ${height} pixels; each side needs at least ${MIN_SIDE}`,
    tooLarge: `the picture has ${width} x ${height} pixels; at most ${MAX_SIDE} a side and ${MAX_PIXELS} in all are taken`,
    proportions: `the picture of ${width} x ${height} pixels is too long for its width`,
  } satisfies Record<Unreadable, string>;
  return words[found[0]];
}
