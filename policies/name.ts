/** What parties, functions and collaborations may be called: 1 to 63 characters. */
export const NAME_PATTERN = '^[a-z][a-z0-9-]{0,62}$';
export const NAME: RegExp = new RegExp(NAME_PATTERN);
