/** What every image has of ours, whatever runs it: the bundled programs, and the native packages beside them. */
import { join } from 'node:path';
import { EXTERNAL_PACKAGES, SOURCES, bundleEnclave } from './bundle.ts';
import type { Bundle } from './bundle.ts';
import type { CpioEntry } from './image/cpio.ts';
import { FILE_MODE, FOLDER_MODE, PATHS } from './image/ramdisk.ts';
import { findPackages, packageEntries } from './packages.ts';
import type { Platform } from './packages.ts';

export interface EnclaveFilesOptions {
  /** Folder that holds the rooms. Default: the one this file is part of. */
  readonly root?: string;
  /** Already made bundles, in place of the enclave's. */
  readonly bundles?: readonly Bundle[];
  /** Packages that stand beside the bundles, without those that they need. */
  readonly packages?: readonly string[];
}

export interface EnclaveFiles {
  /** As they stand in the image, with their folders. */
  readonly entries: readonly CpioEntry[];
  /** Native packages: `sharp@0.35.5`. */
  readonly packages: readonly string[];
  /** Packages that are part of the bundles. */
  readonly bundledPackages: readonly string[];
  /** Every module in the bundles: our own without suffix, those of packages as `npm:…`. */
  readonly modules: readonly string[];
}

const FOLDERS = [
  'rootfs',
  'rootfs/usr',
  'rootfs/usr/bin',
  'rootfs/accord',
  'rootfs/accord/jail',
  PATHS.packages,
] as const;

/**
 * Node looks for a package's own name upwards, in the nearest package.json, before it looks into `node_modules`: without
 * this one, whatever lies above the folder that an image was unpacked into could stand in for a package of the image.
 */
const SCOPE = new TextEncoder().encode('{ "private": true }\n');

/** Throws `Failure`: `bundle/…`, `packages/…` of kind `environment`. */
export async function enclaveFiles(options: EnclaveFilesOptions, platform: Platform): Promise<EnclaveFiles> {
  const { root = SOURCES, bundles, packages: roots = EXTERNAL_PACKAGES } = options;
  const programs = bundles ?? (await bundleEnclave(root));
  const packages = findPackages(roots, join(root, 'package.json'), platform);
  const entries = new Map<string, CpioEntry>();
  const add = (entry: CpioEntry): void => void entries.set(entry.path, entry);
  for (const path of FOLDERS) add({ kind: 'directory', path, mode: FOLDER_MODE });
  for (const { path, bytes } of programs) add({ kind: 'file', path, mode: FILE_MODE, content: bytes });
  add({ kind: 'file', path: PATHS.scope, mode: FILE_MODE, content: SCOPE });
  for (const entry of packageEntries(packages, PATHS.packages, platform)) add(entry);
  return {
    entries: [...entries.values()],
    packages: packages.map(({ name, version }) => `${name}@${version}`).sort(),
    bundledPackages: unique(programs.flatMap((bundle) => bundle.packages)),
    modules: unique(programs.flatMap((bundle) => bundle.inputs)),
  };
}

const unique = (values: readonly string[]): readonly string[] => [...new Set(values)].sort();
