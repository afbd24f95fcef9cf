/** What build/kernel/README.md says of options, without `CONFIG_`. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const README = readFileSync(join(import.meta.dirname, '../../../build/kernel/README.md'), 'utf8');
const [ON = '', OFF = ''] = README.split('## What is off');

const namesIn = (text: string): readonly string[] => [...text.matchAll(/`([A-Z0-9_]+)`/g)].map(([, name = '']) => name);

/** Names in the first column of its tables. */
export const optionsExplained = (): readonly string[] =>
  [...ON.matchAll(/^\| (`[^|]+`) +\| \S/gm)].flatMap(([, names = '']) => namesIn(names));

export const optionsOff = (): readonly string[] => namesIn(OFF.split('\n\n')[1] ?? '');
