/**
 * The base of the local image: this machine's Node program, the bundled enclave and its native packages. It depends on
 * the installation alone, never on a policy. Not in it are the libraries that Node asks the machine for (libc, libstdc++);
 * the report names them, since what is not in the image is not measured.
 */
import { createHash } from 'node:crypto';
import { realpathSync, statSync } from 'node:fs';
import { neededLibraries } from './elf.ts';
import { enclaveFiles } from './enclave-files.ts';
import type { EnclaveFilesOptions } from './enclave-files.ts';
import type { CpioEntry } from './image/cpio.ts';
import { PATHS, PROGRAM_MODE } from './image/ramdisk.ts';
import { thisPlatform } from './packages.ts';
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

export interface BaseOptions extends EnclaveFilesOptions {
  /** The Node program. Default: the one that runs this. */
  readonly node?: string;
}

export async function localBase(options: BaseOptions = {}): Promise<Base> {
  const platform = thisPlatform();
  const files = await enclaveFiles(options, platform);
  const node = realpathSync(options.node ?? process.execPath);
  const entries: readonly CpioEntry[] = [
    ...files.entries,
    { kind: 'file', path: PATHS.node, mode: PROGRAM_MODE, content: { file: node, bytes: statSync(node).size } },
  ];
  return {
    entries,
    platform,
    inputs: {
      node: { version: process.versions.node, platform: `${platform.os}-${platform.cpu}` },
      packages: files.packages,
      bundledPackages: files.bundledPackages,
      hostLibraries: neededLibraries(node),
    },
    modules: files.modules,
    key: keyOf(entries),
  };
}

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
