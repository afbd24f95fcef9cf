/** The input of every function that looks at a picture, as its decoder describes it (`picture.schema.json`). */
export const MEDIA_TYPES = ['image/jpeg', 'image/png', 'image/webp'] as const;
export type MediaType = (typeof MEDIA_TYPES)[number];

export interface Picture {
  readonly mediaType: MediaType;
  readonly bytes: number;
  /** Pixels as the EXIF orientation shows it. */
  readonly width: number;
  readonly height: number;
}

/** Of a side, in pixels; smaller ones carry nothing to look at. */
export const MIN_SIDE = 8;
export const MAX_SIDE = 16_384;
/** 50 megapixels: what phones take. A progressive JPEG of that size needs 300 MB to decode. */
export const MAX_PIXELS = 50_000_000;
