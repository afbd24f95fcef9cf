/**
 * Bundles the programs of the image. Each is one file of readable JavaScript, so a party can read what runs; the list of
 * files that went into it is the proof that nothing else of ours is in the image (Law 4).
 *
 * The same sources give the same bytes wherever they stand, whether they are bundled as TypeScript or as the compiler left
 * them (see `canonicalForm`).
 */
import { realpathSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { build, transform } from 'esbuild';
import type { BuildFailure } from 'esbuild';
import { Failure } from '../policies/failure.ts';
import { PATHS } from './image/ramdisk.ts';
import { leanTables } from './lean-tables.ts';
import { readManifest } from './packages.ts';

export type BundleCode = 'bundle/failed';

export type ProgramName = 'gate' | 'decode' | 'compute' | 'record' | 'tree';
const PROGRAM_NAMES: readonly ProgramName[] = ['gate', 'decode', 'compute', 'record', 'tree'];

/** Entry (from the sources' folder, without suffix) and path in the image. */
export const PROGRAMS: Readonly<Record<ProgramName, { readonly entry: string; readonly path: string }>> = {
  gate: { entry: 'enclave/main', path: PATHS.gate },
  decode: { entry: 'enclave/jail/decode', path: PATHS.decode },
  compute: { entry: 'enclave/jail/compute', path: PATHS.compute },
  record: { entry: 'enclave/jail/record', path: PATHS.record },
  tree: { entry: 'enclave/jail/tree', path: PATHS.tree },
};

/** Native packages: they stand beside the bundles as packages (see `base.ts`). */
export const EXTERNAL_PACKAGES: readonly string[] = ['sharp', 'onnxruntime-node', 'koffi'];

export interface Bundle {
  /** In the image, from the unpacked root. */
  readonly path: string;
  readonly bytes: Uint8Array;
  /** Modules in it, sorted: `enclave/main` for our own, `npm:hpke/index.js` for a package's. */
  readonly inputs: readonly string[];
  /** Packages with a module in it, sorted: `hpke@1.1.7`. */
  readonly packages: readonly string[];
}

/** The folder that holds the rooms: the checkout, or what the compiler made of it. */
export const SOURCES: string = realpathSync(dirname(import.meta.dirname));
const SUFFIX = import.meta.filename.endsWith('.ts') ? '.ts' : '.js';

/** Notices of licences stay where they stand. */
const DIALECT = { target: 'node20', format: 'esm', charset: 'utf8', legalComments: 'inline' } as const;

/** All programs of the image. */
export async function bundleEnclave(root: string = SOURCES): Promise<readonly Bundle[]> {
  return Promise.all(PROGRAM_NAMES.map((name) => bundleProgram(name, root)));
}

export function bundleProgram(name: ProgramName, root: string = SOURCES): Promise<Bundle> {
  const { entry, path } = PROGRAMS[name];
  return bundleEntry(join(root, `${entry}${SUFFIX}`), path, root);
}

/** Bundles any entry file; `root` is what the names of modules are relative to. */
export async function bundleEntry(entry: string, path: string, root: string = SOURCES): Promise<Bundle> {
  const base = realpathSync(root);
  const { outputFiles, metafile } = await build({
    entryPoints: [entry],
    absWorkingDir: base,
    bundle: true,
    write: false,
    metafile: true,
    platform: 'node',
    ...DIALECT,
    logLevel: 'silent',
    sourcemap: false,
    // ES modules first: what is not used can then be left out.
    mainFields: ['module', 'main'],
    external: [...EXTERNAL_PACKAGES],
    plugins: [leanTables],
    // Nothing of the folder in which the sources happen to stand takes part.
    tsconfigRaw: { compilerOptions: { target: 'es2023', verbatimModuleSyntax: true, useDefineForClassFields: true } },
  }).catch((error: unknown) => {
    throw bundleFailure(entry, error);
  });
  const text = outputFiles[0]?.text ?? '';
  const modules = Object.keys(metafile.inputs).map((key) => ({ key, name: moduleName(key, base) }));
  return {
    path,
    bytes: new TextEncoder().encode(withRequire(await canonicalForm(text, modules))),
    inputs: modules.map(({ name }) => name).sort(),
    packages: packagesOf(modules.map(({ key }) => resolve(base, key))),
  };
}

/** `../node_modules/hpke/index.js` → `npm:hpke/index.js`; `enclave/main.ts` → `enclave/main`. */
function moduleName(key: string, root: string): string {
  const [, prefix = '', path = key] = /^(\([a-z-]+\):|[a-z-]+:)?(.*)$/.exec(key) ?? [];
  const own = relative(root, resolve(root, path)).split(sep).join('/');
  const packaged = own.lastIndexOf('node_modules/');
  if (packaged !== -1) return `${prefix}npm:${own.slice(packaged + 'node_modules/'.length)}`;
  return prefix + own.replace(/\.(ts|js)$/, '');
}

/**
 * One form for one program. The bundler marks each module with a comment line, and each that is run late (CommonJS,
 * dynamic imports) with a string key; both hold the path from the folder of the sources. And it keeps some of the line
 * breaks of what it read, which the compiler sets in its own way. So modules are named anew, and all line breaks are
 * first taken out and then set again.
 */
async function canonicalForm(
  text: string,
  modules: readonly { readonly key: string; readonly name: string }[],
): Promise<string> {
  const names = new Map(modules.map(({ key, name }) => [key, name]));
  const named = text.replaceAll(/^\/\/ (.+)$/gm, (line, key: string) =>
    names.has(key) ? `/*! ${names.get(key) ?? ''} */` : line,
  );
  const flat = await transform(named, { ...DIALECT, minifyWhitespace: true });
  const { code } = await transform(flat.code, DIALECT);
  const compiled = code.replaceAll(/^(import [\w$]+), \{\} from /gm, '$1 from '); // what is left of type imports
  return compiled.replaceAll(
    /(__(?:esm|commonJS)\(\{ (?:async )?")([^"\n]+)(?="\()/g,
    (found, before: string, key: string) => (names.has(key) ? before + (names.get(key) ?? '') : found),
  );
}

function packagesOf(files: readonly string[]): readonly string[] {
  const folders = files.map((file) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(file)?.[0]);
  const manifests = [...new Set(folders.filter((folder) => folder !== undefined))].map(readManifest);
  return manifests.map(({ name, version }) => `${name}@${version}`).sort();
}

/** CommonJS packages in an ES module need a `require` for Node's own modules. */
function withRequire(text: string): string {
  if (!text.includes('Dynamic require of')) return text;
  return `import { createRequire as createRequireOfNode } from 'node:module';\nconst require = createRequireOfNode(import.meta.url);\n${text}`;
}

function bundleFailure(entry: string, error: unknown): Failure<BundleCode> {
  const isBuildFailure = (value: unknown): value is BuildFailure => value instanceof Error && 'errors' in value;
  const first = isBuildFailure(error) ? error.errors[0] : undefined;
  const where = first?.location ? `${first.location.file}:${first.location.line}` : entry;
  const why = first?.text ?? (error instanceof Error ? error.message : String(error));
  return new Failure('environment', 'bundle/failed', `the enclave cannot be bundled: ${why}`, {
    where,
    hint: 'this installation of Accord is damaged or half-built; install it again (in a checkout: npm ci, npm run compile)',
    cause: error,
  });
}
