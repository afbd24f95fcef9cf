/**
 * A gate with a leak in it: bundled as the image's own is, from a copy of the sources in which some modules are replaced.
 * Nothing of this is in the image, whose bundle is made of the sources themselves.
 */
import { cp, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { SOURCES, bundleEnclave, bundleProgram } from '../../build/bundle.ts';
import type { Bundle } from '../../build/bundle.ts';

/** Module of the enclave, without suffix, and the file of `planted/` that takes its place. */
export type Planted = Readonly<Record<string, string>>;

const SUFFIX = extname(import.meta.filename);
/** The enclave and what it uses. */
const ROOMS = ['enclave', 'policies'] as const;

export async function plantedBundles(planted: Planted): Promise<readonly Bundle[]> {
  // Where packages are found by looking upwards.
  const caches = join(SOURCES, '.cache');
  await mkdir(caches, { recursive: true });
  const root = await mkdtemp(join(caches, 'planted-'));
  try {
    for (const room of ROOMS) await cp(join(SOURCES, room), join(root, room), { recursive: true });
    for (const [module, file] of Object.entries(planted)) {
      await rename(join(root, `${module}${SUFFIX}`), join(root, `${module}-honest${SUFFIX}`));
      await cp(join(import.meta.dirname, 'planted', file), join(root, `${module}${SUFFIX}`));
    }
    const gate = await bundleProgram('gate', root);
    return (await bundleEnclave()).map((bundle) => (bundle.path === gate.path ? gate : bundle));
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}
