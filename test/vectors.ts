/** Real data that stands beside the repository and is not part of it. Tests that need it say so where it is absent. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe } from 'vitest';

const root = process.env['ACCORD_VECTORS'] ?? join(import.meta.dirname, '..', '..', 'shared', 'vectors');

/** The folder of real vectors, or undefined where it is absent. */
export function vectors(): string | undefined {
  return existsSync(root) ? root : undefined;
}

/** A suite over real vectors; skipped, with a printed reason, where they are absent. */
export function describeWithVectors(name: string, suite: (folder: string) => void): void {
  const folder = vectors();
  if (folder === undefined) {
    const reason = `real vectors are absent (looked for ${root}; set ACCORD_VECTORS)`;
    process.stderr.write(`skipped: ${name}: ${reason}\n`);
    describe.skip(`${name} (${reason})`, () => {});
    return;
  }
  describe(name, () => suite(folder));
}
