/**
 * The packages that the image carries as packages because they are native: what they need at run time on this platform,
 * with their real dependencies, and nothing else of them (no documentation, types, sources, other platforms' binaries).
 */
import { readFileSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Failure } from '../policies/failure.ts';
import type { CpioEntry } from './image/cpio.ts';
import { FILE_MODE, FOLDER_MODE } from './image/ramdisk.ts';

export type PackageCode = 'packages/missing' | 'packages/platform';

export interface Platform {
  readonly os: 'linux';
  readonly cpu: 'x64' | 'arm64';
}

export interface ImagePackage {
  readonly name: string;
  readonly version: string;
  /** Folder on this machine. */
  readonly folder: string;
  /** Folder in the image, relative to `node_modules`. */
  readonly place: string;
}

/** Dependencies that are used when a package is installed and never when it runs. */
const INSTALL_TIME: Readonly<Record<string, readonly string[]>> = {
  // script/install.js fetches GPU libraries; dist/ requires onnxruntime-common alone.
  'onnxruntime-node': ['adm-zip', 'global-agent'],
};

/** What runs. Everything else (README, .d.ts, .map, .ts, C++ sources, build scripts) stays out. */
const RUNTIME_FILE = /(^package\.json|\.(js|cjs|mjs|node|wasm)|\.so(\.\d+)*|\/[^/]*package\.json)$/;
const LEFT_OUT: Readonly<Record<string, RegExp>> = {
  sharp: /^(install|src)\//,
  semver: /^bin\//,
  'onnxruntime-node': /^script\//,
};
/** Of these packages nothing but what is named runs. */
const KEPT: Readonly<Record<string, RegExp>> = {
  // What `require('koffi')` reads; the rest is its compiler's driver, the same as ES modules, and C++.
  koffi: /^(package\.json|index\.cjs|src\/koffi\/index\.cjs|src\/koffi\/src\/static\.cjs)$/,
  // For glibc; musl's stands beside it.
  '@koromix/koffi-linux-x64': /^(package\.json|index\.js|linux_x64\/koffi\.node)$/,
  '@koromix/koffi-linux-arm64': /^(package\.json|index\.js|linux_arm64\/koffi\.node)$/,
};

export function thisPlatform(): Platform {
  const { platform, arch } = process;
  if (platform === 'linux' && (arch === 'x64' || arch === 'arm64')) return { os: platform, cpu: arch };
  throw new Failure<PackageCode>(
    'unsupported',
    'packages/platform',
    `there is no local image for ${platform} on ${arch}`,
    {
      hint: 'use Linux on x64 or arm64, for example in a container',
    },
  );
}

export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly dependencies: readonly string[];
  readonly optionalDependencies: readonly string[];
}

/**
 * `roots` and all they need, found as Node would find them from `from`. A package stands at the top of `node_modules`
 * unless another version of it is there already; then it stands below the one that needs it.
 */
export function findPackages(roots: readonly string[], from: string, platform: Platform): readonly ImagePackage[] {
  const placed = new Map<string, ImagePackage>();
  const visit = (name: string, parent: ImagePackage | undefined, optional: boolean): void => {
    const folder = locate(name, parent === undefined ? from : join(parent.folder, 'package.json'));
    if (folder === undefined) {
      if (optional) return;
      throw missing(name, parent?.name);
    }
    const top = placed.get(name);
    if (top?.folder === folder) return;
    const place = top === undefined || parent === undefined ? name : `${parent.place}/node_modules/${name}`;
    if (placed.get(place)?.folder === folder) return;
    const manifest = readManifest(folder);
    const found: ImagePackage = { name, version: manifest.version, folder, place };
    placed.set(place, found);
    const skipped = INSTALL_TIME[name] ?? [];
    for (const dependency of manifest.dependencies) if (!skipped.includes(dependency)) visit(dependency, found, false);
    for (const dependency of manifest.optionalDependencies) {
      if (isForPlatform(dependency, platform)) visit(dependency, found, true);
    }
  };
  for (const name of roots) visit(name, undefined, false);
  return [...placed.values()].sort((a, b) => (a.place < b.place ? -1 : 1));
}

/** The packages' entries below `node_modules` in the image, folders first made. */
export function packageEntries(
  packages: readonly ImagePackage[],
  nodeModules: string,
  platform: Platform,
): readonly CpioEntry[] {
  const entries = new Map<string, CpioEntry>();
  const folder = (path: string): void => {
    if (!path.startsWith(nodeModules) || entries.has(path)) return;
    folder(dirname(path));
    entries.set(path, { kind: 'directory', path, mode: FOLDER_MODE });
  };
  for (const found of packages) {
    for (const file of runtimeFiles(found, platform)) {
      const path = `${nodeModules}/${found.place}/${file}`;
      folder(dirname(path));
      const source = join(found.folder, file);
      entries.set(path, {
        kind: 'file',
        path,
        mode: FILE_MODE,
        content: { file: source, bytes: statSync(source).size },
      });
    }
  }
  return [...entries.values()];
}

function runtimeFiles({ name, folder }: ImagePackage, { os, cpu }: Platform): readonly string[] {
  // The CPU's library alone; a folder that ran the install script holds GPU libraries too.
  const ownBinaries = new RegExp(`^bin/napi-v\\d+/${os}/${cpu}/(libonnxruntime\\.so|onnxruntime_binding\\.node)`);
  const keep = (path: string): boolean => {
    if (name === 'onnxruntime-node' && path.startsWith('bin/')) return ownBinaries.test(path);
    return RUNTIME_FILE.test(path) && LEFT_OUT[name]?.test(path) !== true && KEPT[name]?.test(path) !== false;
  };
  return filesOf(folder, '').filter(keep).sort();
}

/** Regular files; links and nested `node_modules` are not followed (what is needed of those was found by itself). */
function filesOf(folder: string, below: string): readonly string[] {
  return readdirSync(join(folder, below), { withFileTypes: true }).flatMap((entry) => {
    const path = below === '' ? entry.name : `${below}/${entry.name}`;
    if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : filesOf(folder, path);
    return entry.isFile() ? [path] : [];
  });
}

/** sharp and koffi name optional packages a platform: `@img/sharp-libvips-linux-x64`, `@koromix/koffi-linux-x64`. */
function isForPlatform(name: string, { os, cpu }: Platform): boolean {
  return !/^@(img\/sharp|koromix\/koffi)-/.test(name) || name.endsWith(`-${os}-${cpu}`);
}

/** A package's folder, by Node's own search path: its `exports` may hide its package.json, so nothing is resolved. */
function locate(name: string, from: string): string | undefined {
  for (const folder of createRequire(from).resolve.paths(name) ?? []) {
    const candidate = join(folder, name);
    if (statSync(join(candidate, 'package.json'), { throwIfNoEntry: false })?.isFile()) return realpathSync(candidate);
  }
  return undefined;
}

/** What a package says about itself. */
export function readManifest(folder: string): Manifest {
  const manifest: unknown = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const field = (name: string): unknown =>
    typeof manifest === 'object' && manifest !== null
      ? Object.entries(manifest).find(([key]) => key === name)?.[1]
      : undefined;
  const keys = (name: string): readonly string[] => {
    const value = field(name);
    return typeof value === 'object' && value !== null ? Object.keys(value) : [];
  };
  return {
    name: String(field('name')),
    version: String(field('version')),
    // npm lists an optional dependency under both keys.
    dependencies: keys('dependencies').filter((name) => !keys('optionalDependencies').includes(name)),
    optionalDependencies: keys('optionalDependencies'),
  };
}

function missing(name: string, parent: string | undefined): Failure<PackageCode> {
  const needed = parent === undefined ? 'the enclave' : parent;
  return new Failure(
    'environment',
    'packages/missing',
    `the package ${name}, which ${needed} needs, is not installed`,
    {
      where: name,
      hint: 'install the packages again (npm ci)',
    },
  );
}
