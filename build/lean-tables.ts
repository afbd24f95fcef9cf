/**
 * The AWS SDK's clients carry a table of every operation that the service has, and an image needs two or five of them. The
 * bundler keeps them all, because each row writes its keys as `[_name]`, and evaluating a key could do something. With
 * `const _name = "text"` in the same file it cannot: written as `"text"`, what nobody uses is left out.
 */
import { readFile } from 'node:fs/promises';
import type { Plugin } from 'esbuild';

const TABLES = /[\\/]@aws-sdk[\\/][^\\/]+[\\/]dist-es[\\/](?:.*[\\/])?schemas[\\/]schemas_\d+\.js$/;
const NAMED = /^const (_\w+) = ("[^"\\\n]*");$/gm;
const COMPUTED = /([{,] ?)\[(_\w+)\]:/g;

export const leanTables: Plugin = {
  name: 'lean-tables',
  setup(bundler) {
    bundler.onLoad({ filter: TABLES }, async ({ path }) => ({ contents: plainKeys(await readFile(path, 'utf8')) }));
  },
};

/** The same table, whose keys are texts. */
export function plainKeys(table: string): string {
  const texts = new Map([...table.matchAll(NAMED)].map(([, name = '', text = '']) => [name, text]));
  return table.replaceAll(COMPUTED, (found, before: string, name: string) => {
    const text = texts.get(name);
    return text === undefined ? found : `${before}${text}:`;
  });
}
