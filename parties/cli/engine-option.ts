/** `--engine NAME`, which several verbs take. */
import { ENGINE_NAMES } from '../../build/engine/engine.ts';
import type { EngineName } from '../../build/engine/engine.ts';
import { usage } from './arguments.ts';

/** Undefined where it was not given. Throws a usage failure of `verb` for a name that is none. */
export function engineOption(verb: string, name: string | undefined): EngineName | undefined {
  if (name === undefined) return undefined;
  const engine = ENGINE_NAMES.find((known) => known === name);
  if (engine === undefined) throw usage(verb, `--engine takes ${ENGINE_NAMES.join(', ')}, not "${name}"`);
  return engine;
}
