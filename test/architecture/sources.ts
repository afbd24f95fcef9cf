/** The source tree as the laws see it: files, rooms and imports. */
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

export const ROOT: string = resolve(import.meta.dirname, '..', '..');
/** From the most trusted room to the least; a room may import itself and what stands before it. */
export const ROOMS = ['policies', 'enclave', 'build', 'parties', 'orchestrator', 'test'] as const;
export type Room = (typeof ROOMS)[number];

export interface Source {
  /** Path from the root, with forward slashes. */
  readonly path: string;
  readonly room: Room;
  readonly text: string;
  /** Imports as written. */
  readonly imports: readonly string[];
  /** Imports of our own files, as paths from the root. */
  readonly own: readonly string[];
}

// Comments are dropped first, so that prose about imports is not taken for one.
const withoutComments = (text: string): string =>
  text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/(^|[^:'"`\\])\/\/.*$/gm, '$1');

const IMPORT =
  /(?:^|[\s;}])(?:import|export)\s(?:[^'"();]*?\sfrom\s*)?['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)/gm;

function readSource(room: Room, path: string): Source {
  const text = readFileSync(join(ROOT, path), 'utf8');
  const imports = [...withoutComments(text).matchAll(IMPORT)].map((match) => match[1] ?? match[2] ?? '');
  const own = imports
    .filter((specifier) => specifier.startsWith('.'))
    .map((specifier) => relative(ROOT, resolve(ROOT, dirname(path), specifier)));
  return { path, room, text, imports, own };
}

/** Every TypeScript and JavaScript file of ours, generated ones left out. */
export function sources(): readonly Source[] {
  return ROOMS.flatMap((room) =>
    readdirSync(join(ROOT, room), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.(ts|mjs|js)$/.test(entry.name))
      .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
      .filter((path) => !path.includes('/generated/'))
      .sort()
      .map((path) => readSource(room, path)),
  );
}

/** All files of ours that `entry` pulls in, itself among them. */
export function reach(entry: string, all: readonly Source[]): readonly Source[] {
  const byPath = new Map(all.map((source) => [source.path, source]));
  const seen = new Map<string, Source>();
  const visit = (path: string): void => {
    const source = byPath.get(path);
    if (source === undefined || seen.has(path)) return;
    seen.set(path, source);
    source.own.forEach(visit);
  };
  visit(entry);
  return [...seen.values()];
}

export const codeOf = (source: Source): string => withoutComments(source.text);
