/** What the decoding jail says of a picture, held to `picture.schema.json`. */
import { validate } from './generated/picture.js';
import { faultOf } from './validator.ts';

/** What is wrong with it; undefined where it is valid. */
export const validatePicture = (value: unknown): string | undefined => faultOf(validate, value);
