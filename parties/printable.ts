/** Text of strangers on its way to a terminal: nothing in it may move the cursor, colour, hide or turn round anything. */

/** On one line. Control characters (C0, C1), format characters (bidi controls among them) and line ends become "?". */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?');
}

/** Likewise, for messages that have several lines. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n');
}

/**
 * JSON whose strings show nothing but themselves: the characters that `JSON.stringify` lets through and a terminal obeys
 * (DEL, C1, bidi controls) become escapes, so that what reads the JSON gets the same text.
 */
export function printableJson(json: string): string {
  return json.replaceAll(/[\u007F-\u009F\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    Array.from({ length: character.length }, (_, index) => escaped(character.charCodeAt(index))).join(''),
  );
}

function escaped(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, '0')}`;
}
