/** Real data that stands beside the repository and is not part of it. Tests that need it say so where it is absent. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe } from 'vitest';

// From the sources (test/) and from the compiled tree (dist/test/).
const places = [
  process.env['ACCORD_VECTORS'],
  join(import.meta.dirname, '..', '..', 'shared', 'vectors'),
  join(import.meta.dirname, '..', '..', '..', 'shared', 'vectors'),
].filter((place) => place !== undefined);

/** The folder of real vectors, or undefined where it is absent. */
export function vectors(): string | undefined {
  return places.find((place) => existsSync(join(place, 'attestation', 'index.json')));
}

/** A suite over real vectors; skipped, with a printed reason, where they are absent. */
export function describeWithVectors(name: string, suite: (folder: string) => void): void {
  const folder = vectors();
  if (folder === undefined) {
    const reason = 'real vectors are absent; set ACCORD_VECTORS to their folder';
    process.stderr.write(`skipped: ${name}: ${reason}\n`);
    describe.skip(`${name} (${reason})`, () => {});
    return;
  }
  describe(name, () => suite(folder));
}
