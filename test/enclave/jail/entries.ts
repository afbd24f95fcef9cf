/**
 * The jails' entry files as processes can be started from them: bundled into a folder of their own when this runs from
 * source, the compiled files when it runs compiled.
 */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import type { JailPaths } from '../../../enclave/jail/gate-side.ts';

const root = join(import.meta.dirname, '..', '..', '..');
const fromSource = import.meta.filename.endsWith('.ts');

export interface Entries {
  readonly paths: Required<JailPaths>;
  /** A folder that may be written to; gone after `remove`. */
  readonly folder: string;
  remove(): void;
}

/** Bundles `entries` (name -> source file) beside what packages they need. */
export async function bundleEntries(folder: string, entries: Readonly<Record<string, string>>): Promise<void> {
  mkdirSync(folder, { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  await build({
    entryPoints: entries,
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    external: ['sharp', 'onnxruntime-node'],
  });
}

export async function jailEntries(): Promise<Entries> {
  const folder = mkdtempSync(join(tmpdir(), 'accord-jail-'));
  const empty = join(folder, 'empty');
  mkdirSync(empty);
  const jail = join(root, 'enclave', 'jail');
  if (fromSource) {
    await bundleEntries(folder, { decode: join(jail, 'decode.ts'), compute: join(jail, 'compute.ts') });
  }
  return {
    folder,
    paths: {
      node: process.execPath,
      decode: fromSource ? join(folder, 'decode.mjs') : join(jail, 'decode.js'),
      compute: fromSource ? join(folder, 'compute.mjs') : join(jail, 'compute.js'),
      cwd: empty,
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
