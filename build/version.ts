/** The version of this installation: the package's own, one folder up from the sources and two from `dist`. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export const VERSION: string = read();

function read(): string {
  for (const up of ['..', join('..', '..')]) {
    try {
      const found: unknown = JSON.parse(readFileSync(join(import.meta.dirname, up, 'package.json'), 'utf8'));
      if (typeof found === 'object' && found !== null && 'version' in found && typeof found.version === 'string') {
        return found.version;
      }
    } catch {
      // not there: one further up
    }
  }
  return 'unknown';
}
