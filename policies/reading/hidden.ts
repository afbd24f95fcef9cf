/** Characters that make a text show something else than it says: on a terminal, in an editor, in a comment as well. */

export interface Hidden {
  /** Index into the text, in UTF-16 code units. */
  readonly offset: number;
  /** `U+202E`. */
  readonly name: string;
}

/**
 * Controls (the carriage return that takes a line back, escape sequences, U+0085), format characters (bidi controls, what has no
 * width), whatever else Unicode wants not to be shown (fillers, variation selectors), the empty braille pattern, and separators of
 * lines and paragraphs; not among them are ends of lines (LF, CR LF), tabs, and one byte order mark before all.
 */
const HIDDEN = /(?!\n|\r\n|\t|^\u{FEFF})[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u{2800}]/gu;

/** The first so many, in the order of the text. */
export function hiddenCharacters(text: string, most: number): readonly Hidden[] {
  const found: Hidden[] = [];
  for (const { 0: character, index } of text.matchAll(HIDDEN)) {
    if (found.length === most) break;
    found.push({ offset: index, name: nameOf(character) });
  }
  return found;
}

function nameOf(character: string): string {
  const code = (character.codePointAt(0) ?? 0).toString(16).toUpperCase();
  return `U+${code.padStart(4, '0')}`;
}
