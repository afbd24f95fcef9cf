import type { Fault } from '../fault.ts';
import { formatPath, type Path, type Source, type SourceEntry, type SourceMap } from './source.ts';

/** Each file says for itself what it is part of; here files may agree instead of leaving it to one. */
const REPEATABLE: ReadonlySet<string> = new Set(['apiVersion', 'collaboration']);

/**
 * One document of several files, each party's part in a file of its own. Mappings are joined key by key; whatever else
 * is written in two files is a fault, so that no file can quietly overrule another.
 */
export function compose(base: Source, parts: readonly Source[], faults: Fault[]): Source {
  let whole = base;
  for (const part of parts) {
    if (whole.kind === 'map' && part.kind === 'map') whole = join(whole, part, [], faults);
    else faults.push(twice(part, [], whole));
  }
  return whole;
}

function join(base: SourceMap, part: SourceMap, path: Path, faults: Fault[]): SourceMap {
  const entries = new Map<string, SourceEntry>(base.entries);
  for (const [key, added] of part.entries) {
    const present = entries.get(key);
    const inner = [...path, key];
    if (present === undefined) {
      entries.set(key, added);
    } else if (present.value.kind === 'map' && added.value.kind === 'map') {
      entries.set(key, { keyAt: present.keyAt, value: join(present.value, added.value, inner, faults) });
    } else if (!(path.length === 0 && REPEATABLE.has(key) && sameScalar(present.value, added.value))) {
      faults.push(twice(added.value, inner, present.value));
    }
  }
  return { kind: 'map', at: base.at, entries };
}

function sameScalar(a: Source, b: Source): boolean {
  return a.kind === 'scalar' && b.kind === 'scalar' && a.value === b.value;
}

function twice(source: Source, path: Path, present: Source): Fault {
  const { file, line } = present.at;
  return {
    ...source.at,
    path: formatPath(path),
    code: 'policy/defined-twice',
    message: `${file} already says this, in line ${line}`,
    hint: 'leave it to one of the files',
  };
}
