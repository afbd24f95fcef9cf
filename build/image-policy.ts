/** The canonical policy that an image carries in its `/env`. It is what the image says of itself: its digest must be checked. */
import { parseCanonicalPolicy } from '../policies/canonical.ts';
import { Failure } from '../policies/failure.ts';
import type { CanonicalPolicy } from '../policies/model.ts';
import { withFileSource } from './byte-source.ts';
import { indexImage } from './compare/image-index.ts';
import type { ScanOptions } from './eif/read.ts';
import { PATHS, POLICY_VARIABLE, parseEnvironment } from './image/ramdisk.ts';

export type ImagePolicyCode = 'image/no-policy';

const MAX_BYTES = 256 * 1024;

/** Throws `image/no-policy` of kind `malformed` where there is none, and `eif/…`, `policy/…` for what cannot be read. */
export function readImagePolicy(path: string, options: ScanOptions = {}): Promise<CanonicalPolicy> {
  return withFileSource(path, async (source) => {
    const { sections } = await indexImage(source, options);
    for (const { at, ramdisk } of sections) {
      const entry = ramdisk?.entries.find((candidate) => candidate.path === PATHS.environment);
      if (entry === undefined) continue;
      const bytes = new Uint8Array(Math.min(entry.bytes, MAX_BYTES));
      await source.read(at + entry.contentAt, bytes);
      const environment = parseEnvironment(bytes);
      const text = Object.hasOwn(environment, POLICY_VARIABLE) ? environment[POLICY_VARIABLE] : undefined;
      if (text !== undefined) return parseCanonicalPolicy(text);
    }
    throw new Failure<ImagePolicyCode>('malformed', 'image/no-policy', `${path} carries no policy`, {
      where: `/${PATHS.environment}`,
      hint: 'give the policy with --policy, or an image of `accord build`',
    });
  });
}
