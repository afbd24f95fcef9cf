/**
 * Reads JSON that somebody else wrote (a file in the home, an answer of the orchestrator) field by field, with the type
 * that each must have. What is not asked for is ignored: a later version may say more.
 */
import { Failure } from '../policies/failure.ts';

export interface Fields {
  text(name: string, pattern?: RegExp): string;
  optionalText(name: string): string | undefined;
  /** A whole number from 0 to 2^53 - 1. */
  count(name: string): number;
  /** Undefined where it is absent or null. */
  optionalCount(name: string): number | undefined;
  /** An object below this one. */
  fields(name: string): Fields;
  /** Undefined where it is absent or null. */
  optionalFields(name: string): Fields | undefined;
  list(name: string): readonly Fields[];
  /** A list of texts. */
  texts(name: string): readonly string[];
  has(name: string): boolean;
  entries(): readonly (readonly [string, unknown])[];
}

/** `where` names the whole in messages. Every fault is a `Failure` of kind `malformed` with this code and hint. */
export function jsonFields(value: unknown, code: string, where: string, hint?: string): Fields {
  const fail = (place: string, what: string): Failure =>
    new Failure('malformed', code, `${place} ${what}`, { where: place, ...(hint === undefined ? {} : { hint }) });
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw fail(where, 'is not a JSON object');
  const members = new Map<string, unknown>(Object.entries(value));
  const place = (name: string): string => `${where}: ${name}`;
  const text = (name: string, pattern?: RegExp): string => {
    const found = members.get(name);
    if (typeof found !== 'string') throw fail(place(name), found === undefined ? 'is missing' : 'is not a text');
    if (pattern !== undefined && !pattern.test(found)) throw fail(place(name), 'is not of the form it should have');
    return found;
  };
  const isAbsent = (name: string): boolean => members.get(name) === undefined || members.get(name) === null;
  const count = (name: string): number => {
    const found = members.get(name);
    if (typeof found === 'number' && Number.isSafeInteger(found) && found >= 0) return found;
    throw fail(place(name), 'is not a whole number');
  };
  const fields = (name: string): Fields => jsonFields(members.get(name), code, place(name), hint);
  return {
    text,
    optionalText: (name) => (isAbsent(name) ? undefined : text(name)),
    count,
    optionalCount: (name) => (isAbsent(name) ? undefined : count(name)),
    fields,
    optionalFields: (name) => (isAbsent(name) ? undefined : fields(name)),
    list(name) {
      const found = members.get(name);
      if (!Array.isArray(found)) throw fail(place(name), 'is not a list');
      return found.map((entry: unknown, index) => jsonFields(entry, code, `${place(name)}[${index}]`, hint));
    },
    texts(name) {
      const found = members.get(name);
      if (Array.isArray(found) && found.every((entry) => typeof entry === 'string')) return found;
      throw fail(place(name), 'is not a list of texts');
    },
    has: (name) => !isAbsent(name),
    entries: () => [...members],
  };
}

/** Throws `code` where the text is not JSON; the text itself is never quoted. */
export function parseJson(text: string, code: string, where: string, hint?: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Failure('malformed', code, `${where} is not JSON`, {
      where,
      ...(hint === undefined ? {} : { hint }),
      cause,
    });
  }
}
