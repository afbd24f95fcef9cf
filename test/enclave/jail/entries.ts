/**
 * The jails' entry files as processes can be started from them: bundled into a folder of their own.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import type { JailPaths } from '../../../enclave/jail/gate-side.ts';
import { openPrison } from '../../../enclave/jail/prison.ts';
import { realTimers } from '../real-timers.ts';

const root = join(import.meta.dirname, '..', '..', '..');
const suffix = import.meta.filename.endsWith('.ts') ? '.ts' : '.js';
const packages = join(suffix === '.ts' ? root : join(root, '..'), 'node_modules');

const JAILS = ['decode', 'compute', 'record', 'tree'] as const;
type Program = (typeof JAILS)[number];

export interface Entries {
  readonly paths: Required<JailPaths>;
  /** A folder that may be written to; gone after `remove`. */
  readonly folder: string;
  remove(): void;
}

/** Bundles `entries` (name -> source file) beside what packages they need. */
export async function bundleEntries(folder: string, entries: Readonly<Record<string, string>>): Promise<void> {
  mkdirSync(folder, { recursive: true });
  symlinkSync(packages, join(folder, 'node_modules'));
  await build({
    entryPoints: entries,
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    external: ['sharp', 'onnxruntime-node', 'koffi'],
  });
}

/** Held as tightly as this machine allows; `bwrap`: where bubblewrap stands. */
export async function jailEntries(bwrap?: string): Promise<Entries> {
  const folder = mkdtempSync(join(tmpdir(), 'accord-jail-'));
  chmodSync(folder, 0o755); // jails run as other users
  const empty = join(folder, 'empty');
  mkdirSync(empty);
  const jail = join(root, 'enclave', 'jail');
  await bundleEntries(folder, Object.fromEntries(JAILS.map((name) => [name, join(jail, `${name}${suffix}`)])));
  const entry = (name: Program): string => join(folder, `${name}.mjs`);
  const node = process.execPath;
  const prison = await openPrison({ node, entry: entry('decode'), cwd: empty, env: {} }, realTimers, bwrap);
  return {
    folder,
    paths: {
      node,
      decode: entry('decode'),
      compute: entry('compute'),
      record: entry('record'),
      tree: entry('tree'),
      cwd: empty,
      prison,
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
