/** The kernel's configuration: `enclave.config`, and what the kernel's own tool makes of it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Lines of `NAME=value`, as they stand beside this file. */
export function readFragment(): string {
  return readFileSync(join(import.meta.dirname, 'enclave.config'), 'utf8');
}

/** Option, without `CONFIG_`, to value as written: `y`, `128`, `"enclave"`. What is not set is absent. */
export function parseConfig(text: string): ReadonlyMap<string, string> {
  const lines = text.matchAll(/^CONFIG_([A-Za-z0-9_]+)=(.*)$/gm);
  return new Map(Array.from(lines, ([, name = '', value = '']) => [name, value]));
}

/** What `asked` sets and `made` has otherwise: renamed in this version of the kernel, or depending on what is off. */
export function unmetOptions(asked: string, made: string): readonly string[] {
  const found = parseConfig(made);
  return [...parseConfig(asked)]
    .filter(([name, value]) => (found.get(name) ?? '""') !== value)
    .map(([name, value]) => `CONFIG_${name}=${value}`);
}
