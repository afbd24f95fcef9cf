/** Whether a test may run programs of this checkout as a user of no rights. */
import { statSync } from 'node:fs';
import { dirname } from 'node:path';

const OTHERS_MAY_ENTER = 0o001;

/** Why not, for a message; undefined where it may. */
export function noOtherUser(): string | undefined {
  if (process.getuid?.() !== 0) return 'this does not run as root, who alone may start programs as somebody else';
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    if ((statSync(folder).mode & OTHERS_MAY_ENTER) === 0)
      return `other users may not enter ${folder}, and what is below it`;
    if (dirname(folder) === folder) return undefined;
  }
}
