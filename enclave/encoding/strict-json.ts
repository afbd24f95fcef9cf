/**
 * JSON (RFC 8259) for readers that must not disagree: a name that stands twice in one object is refused, where
 * `JSON.parse` takes the last; nothing is nested deeper than the caller says. Objects come as maps, in the order of the text.
 */

export type JsonFault = 'syntax' | 'duplicate' | 'depth';

/** Why a text is not taken, and the index of the character where it was noticed. */
export class NotJson extends Error {
  readonly fault: JsonFault;
  readonly at: number;
  constructor(fault: JsonFault, at: number) {
    super(`not JSON that is taken: ${fault} at ${at}`);
    this.fault = fault;
    this.at = at;
  }
}

export type Json = null | boolean | number | string | readonly Json[] | ReadonlyMap<string, Json>;

const SPACE = /[ \t\n\r]*/y;
const PLAIN = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null/y;

/** Throws `NotJson`. A number beyond a float64 comes as infinity: that is for the caller to judge. */
export function parseJson(text: string, maxDepth: number): Json {
  let at = 0;
  const stop = (fault: JsonFault = 'syntax'): never => {
    throw new NotJson(fault, at);
  };
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0];
    if (found !== undefined) at += found.length;
    return found;
  };
  /** Steps over the character where it comes next, white space before and after it. */
  const next = (character: string): boolean => {
    match(SPACE);
    if (text[at] !== character) return false;
    at++;
    match(SPACE);
    return true;
  };
  const value = (depth: number): Json => {
    if (next('{')) return object(deeper(depth));
    if (next('[')) return list(deeper(depth));
    match(SPACE);
    return text[at] === '"' ? textOf(quoted()) : plain();
  };
  /** Not by a pattern: of a choice at each of millions of characters the engine remembers more than it may. */
  const quoted = (): string => {
    const from = at;
    for (let quote = text.indexOf('"', from + 1); quote !== -1; quote = text.indexOf('"', quote + 1)) {
      let escapes = 0;
      while (text[quote - 1 - escapes] === '\\') escapes++;
      if (escapes % 2 === 1) continue;
      at = quote + 1;
      return text.slice(from, at);
    }
    return stop();
  };
  const textOf = (literal: string): string => {
    try {
      return JSON.parse(literal); // which refuses control characters and escapes that are none
    } catch {
      return stop();
    }
  };
  const plain = (): Json => JSON.parse(match(PLAIN) ?? stop());
  const deeper = (depth: number): number => (depth < maxDepth ? depth + 1 : stop('depth'));
  const object = (depth: number): Json => {
    const members = new Map<string, Json>();
    if (next('}')) return members;
    do {
      const name = text[at] === '"' ? textOf(quoted()) : stop();
      if (members.has(name)) stop('duplicate');
      if (!next(':')) stop();
      members.set(name, value(depth));
    } while (next(','));
    return next('}') ? members : stop();
  };
  const list = (depth: number): Json => {
    const items: Json[] = [];
    if (next(']')) return items;
    do items.push(value(depth));
    while (next(','));
    return next(']') ? items : stop();
  };
  const whole = value(0);
  match(SPACE);
  return at === text.length ? whole : stop();
}

/** With objects where there are maps, for validators of schemas. */
export function asObjects(value: Json): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([name, one]) => [name, asObjects(one)]));
  return Array.isArray(value) ? value.map(asObjects) : value;
}
