/**
 * The base of the local image: this machine's Node program, the bundled enclave and its native packages. It depends on
 * the installation alone, never on a policy. Not in it are the libraries that Node asks the machine for (libc, libstdc++);
 * the report names them, since what is not in the image is not measured.
 */
import { createHash } from 'node:crypto';
import { realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { EXTERNAL_PACKAGES, SOURCES, bundleEnclave } from './bundle.ts';
import type { Bundle } from './bundle.ts';
import { neededLibraries } from './elf.ts';
import type { CpioEntry } from './image/cpio.ts';
import { FILE_MODE, FOLDER_MODE, PATHS, PROGRAM_MODE } from './image/ramdisk.ts';
import { findPackages, packageEntries, thisPlatform } from './packages.ts';
import type { Platform } from './packages.ts';

export interface BaseInputs {
  readonly node: { readonly version: string; readonly platform: string };
  /** Native packages that the image carries as packages: `sharp@0.35.5`. */
  readonly packages: readonly string[];
  /** Packages that are part of the bundles. */
  readonly bundledPackages: readonly string[];
  /** Libraries that Node takes from the machine that runs it: not in the image and not measured. */
  readonly hostLibraries: readonly string[];
}

export interface Base {
  readonly entries: readonly CpioEntry[];
  readonly inputs: BaseInputs;
  readonly platform: Platform;
  /** Every module in the bundles: our own without suffix, those of packages as `npm:…`. */
  readonly modules: readonly string[];
  /** Changes whenever an input does: content of the bundles, identity of every file. 64 hex digits. */
  readonly key: string;
}

export interface BaseOptions {
  /** Folder that holds the rooms. Default: the one this file is part of. */
  readonly root?: string;
  /** Already made bundles, in place of the enclave's. */
  readonly bundles?: readonly Bundle[];
  /** The Node program. Default: the one that runs this. */
  readonly node?: string;
  /** Packages that stand beside the bundles, without those that they need. */
  readonly packages?: readonly string[];
}

const FOLDERS = [
  'rootfs',
  'rootfs/usr',
  'rootfs/usr/bin',
  'rootfs/accord',
  'rootfs/accord/jail',
  PATHS.packages,
] as const;

export async function localBase(options: BaseOptions = {}): Promise<Base> {
  const { root = SOURCES, bundles, packages: roots = EXTERNAL_PACKAGES } = options;
  const platform = thisPlatform();
  const programs = bundles ?? (await bundleEnclave(root));
  const packages = findPackages(roots, join(root, 'package.json'), platform);
  const node = realpathSync(options.node ?? process.execPath);
  const entries = new Map<string, CpioEntry>();
  const add = (entry: CpioEntry): void => void entries.set(entry.path, entry);
  for (const path of FOLDERS) add({ kind: 'directory', path, mode: FOLDER_MODE });
  add({ kind: 'file', path: PATHS.node, mode: PROGRAM_MODE, content: { file: node, bytes: statSync(node).size } });
  for (const { path, bytes } of programs) add({ kind: 'file', path, mode: FILE_MODE, content: bytes });
  for (const entry of packageEntries(packages, PATHS.packages, platform)) add(entry);
  const all = [...entries.values()];
  return {
    entries: all,
    platform,
    inputs: {
      node: { version: process.versions.node, platform: `${platform.os}-${platform.cpu}` },
      packages: packages.map(({ name, version }) => `${name}@${version}`).sort(),
      bundledPackages: unique(programs.flatMap((bundle) => bundle.packages)),
      hostLibraries: neededLibraries(node),
    },
    modules: unique(programs.flatMap((bundle) => bundle.inputs)),
    key: keyOf(all),
  };
}

const unique = (values: readonly string[]): readonly string[] => [...new Set(values)].sort();

/**
 * Small contents are hashed; files go in by what the file system says of them. Its change time cannot be set, so a file
 * that was replaced or edited has another key.
 */
function keyOf(entries: readonly CpioEntry[]): string {
  const hash = createHash('sha256').update('accord/v1/local-base\0');
  for (const entry of entries) hash.update(`${JSON.stringify(identityOf(entry))}\n`);
  return hash.digest('hex');
}

function identityOf(entry: CpioEntry): readonly (string | number)[] {
  switch (entry.kind) {
    case 'directory':
      return [entry.kind, entry.path, entry.mode];
    case 'hardlink':
      return [entry.kind, entry.path, entry.to];
    case 'symlink':
      return [entry.kind, entry.path, entry.target];
    case 'file': {
      const { content } = entry;
      if (content instanceof Uint8Array) {
        return [entry.kind, entry.path, entry.mode, createHash('sha256').update(content).digest('hex')];
      }
      const { dev, ino, size, mtimeNs, ctimeNs } = statSync(content.file, { bigint: true });
      return [entry.kind, entry.path, entry.mode, content.file, ...[dev, ino, size, mtimeNs, ctimeNs].map(String)];
    }
  }
}
