import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { VERBS } from '../../../orchestrator/cli/table.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');

describe('the table of verbs', () => {
  it.each(VERBS.map(({ name, load }) => [name, load] as const))(
    '%s: its module is that of the verb',
    async (name, load) => {
      const verb = await load();
      expect(verb.help).toMatch(new RegExp(`^usage: accord ${name}\\b`));
    },
  );

  it('names each verb once', () => {
    expect(new Set(VERBS.map(({ name }) => name)).size).toBe(VERBS.length);
  });
});

describe('a fast start', () => {
  it('loads nothing but a few small files of our own before a verb is chosen', async () => {
    expect(await staticImports('orchestrator/cli/bin.ts')).toEqual([
      'build/version.ts',
      'orchestrator/cli/bin.ts',
      'orchestrator/cli/dispatch.ts',
      'orchestrator/cli/table.ts',
      'parties/printable.ts',
      'policies/failure.ts',
      'policies/reading/suggest.ts',
    ]);
  });
});

/** Every file that is loaded with this one; packages appear by name, Node's own modules not at all. */
async function staticImports(entry: string, seen: Set<string> = new Set()): Promise<readonly string[]> {
  if (seen.has(entry)) return [];
  seen.add(entry);
  if (entry.endsWith('.ts')) {
    const source = await readFile(join(ROOT, entry), 'utf8');
    for (const [, target = ''] of source.matchAll(/^(?:import|export) (?!type )[^;]*?from '([^']+)';/gms)) {
      if (target.startsWith('node:')) continue;
      const file = target.startsWith('.') ? resolve(ROOT, dirname(entry), target).slice(ROOT.length + 1) : target;
      await staticImports(file, seen);
    }
  }
  return [...seen].sort();
}
