import type { Position } from '../fault.ts';

/**
 * What a person or a program wrote, in one internal shape, before anything is judged. YAML (with positions) and
 * canonical JSON (without) both become this, so both are read by the same shapes.
 */
export type Source = SourceMap | SourceList | SourceScalar;

export interface SourceMap {
  readonly kind: 'map';
  readonly at: Position;
  /** In the order of the text. A Map, so that `__proto__` and `constructor` are names like any other. */
  readonly entries: ReadonlyMap<string, SourceEntry>;
}

export interface SourceEntry {
  readonly keyAt: Position;
  readonly value: Source;
}

export interface SourceList {
  readonly kind: 'list';
  readonly at: Position;
  readonly items: readonly Source[];
}

export interface SourceScalar {
  readonly kind: 'scalar';
  readonly at: Position;
  readonly value: string | number | boolean | null;
  /** As it was written: `010`, `1e3` and `10` are different texts of numbers. */
  readonly text: string;
}

/** Keys and indexes from the document's root. */
export type Path = readonly string[];

const PLAIN_KEY = /^[A-Za-z][A-Za-z0-9_-]*$/;

/** `functions.classify.calls`; a key that is not a plain word stands in quotes, an index in brackets. */
export function formatPath(path: Path): string {
  let text = '';
  for (const step of path) {
    if (/^\[\d+\]$/.test(step)) text += step;
    else if (PLAIN_KEY.test(step)) text += text === '' ? step : `.${step}`;
    else text += `[${JSON.stringify(step.length > 80 ? `${step.slice(0, 80)}…` : step)}]`;
  }
  return text;
}

/** What stands at the path, as far as the document goes. */
export function follow(source: Source | undefined, path: Path): Source | undefined {
  let here = source;
  for (const step of path) {
    if (here?.kind !== 'map') return undefined;
    here = here.entries.get(step)?.value;
  }
  return here;
}

/** The keys written at the path; none where there is no mapping. */
export function keysAt(source: Source | undefined, path: Path): readonly string[] {
  const here = follow(source, path);
  return here?.kind === 'map' ? [...here.entries.keys()] : [];
}

/** No agreement nests deeper than this; bounds the recursion of everything that walks a source. */
export const MAX_DEPTH = 16;

/**
 * A value that came out of `JSON.parse`, without positions.
 * Returns undefined where it nests deeper than MAX_DEPTH.
 */
export function fromJson(value: unknown, file: string, depth: number = 0): Source | undefined {
  const at = { file, line: 0, column: 0 };
  if (depth > MAX_DEPTH) return undefined;
  if (Array.isArray(value)) {
    const items = value.map((item: unknown) => fromJson(item, file, depth + 1));
    return items.every((item) => item !== undefined) ? { kind: 'list', at, items } : undefined;
  }
  if (typeof value === 'object' && value !== null) {
    const entries = new Map<string, SourceEntry>();
    for (const [key, item] of Object.entries(value)) {
      const inner = fromJson(item, file, depth + 1);
      if (inner === undefined) return undefined;
      entries.set(key, { keyAt: at, value: inner });
    }
    return { kind: 'map', at, entries };
  }
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' || value === null) {
    return { kind: 'scalar', at, value, text: String(value) };
  }
  return undefined;
}
