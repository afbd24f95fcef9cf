/**
 * A jail's root, by bubblewrap: namespaces of its own (users, processes, network, messages, host name, control groups) and
 * a file system made of nothing but the files it runs from, read-only. No /proc, no /dev, no /tmp: nothing in a jail
 * needs them.
 */
import { existsSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

export const BWRAP = '/usr/bin/bwrap';
/** Descriptor on which bubblewrap reads the first filter; it closes it before it starts the program. */
export const FILTER_FD = 4;
/** On which it reads its arguments: until it has all of them, it starts no process. */
export const ARGUMENTS_FD = 5;

/** Packages that a program loads from beside it; koffi, with which it shuts itself in, is every program's. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  decode: ['sharp', '@img', 'detect-libc', 'semver'],
  compute: ['onnxruntime-node', 'onnxruntime-common'],
};
const EVERY = ['koffi', '@koromix'] as const;

/** What Node and the native packages are linked with. They are looked for where Node's C library stands. */
const LIBRARIES = [
  'libc.so.6',
  'libdl.so.2',
  'libgcc_s.so.1',
  'libm.so.6',
  'libpthread.so.0',
  'libresolv.so.2',
  'librt.so.1',
  'libstdc++.so.6',
] as const;
const LOADER = '/lib64/ld-linux-x86-64.so.2';
const LIBRARY_FOLDERS = ['/lib/x86_64-linux-gnu', '/usr/lib/x86_64-linux-gnu', '/lib64', '/usr/lib64'] as const;

export interface Program {
  readonly node: string;
  readonly entry: string;
}

/** Name of an entry file: `decode` of `/accord/jail/decode.mjs`. */
const nameOf = (entry: string): string => basename(entry).replace(/\.[a-z]+$/, '');

/** A session of its own it has from the gate: so one signal reaches all of its processes, however far they have come. */
const HELD = [
  '--unshare-all',
  '--die-with-parent',
  '--as-pid-1',
  '--cap-drop',
  'ALL',
  '--seccomp',
  String(FILTER_FD),
] as const;

/** Its command line, before the program's own arguments. */
export const BUBBLEWRAP_LINE: readonly string[] = ['--args', String(ARGUMENTS_FD), '--'];

/** All that it is told on `ARGUMENTS_FD`: each ends with a zero. */
export function bubblewrapArguments({ node, entry }: Program): string {
  const files = filesOf({ node, entry }).flatMap(([from, to]) => ['--ro-bind', from, to]);
  return [...HELD, ...files, '--remount-ro', '/', '--chdir', '/'].map((argument) => `${argument}\0`).join('');
}

/** Where each file or folder stands here, and where in the jail. */
function filesOf({ node, entry }: Program): readonly (readonly [string, string])[] {
  const libraries = LIBRARY_FOLDERS.flatMap((folder) => LIBRARIES.map((name) => join(folder, name)));
  const packages = [...EVERY, ...(PACKAGES[nameOf(entry)] ?? [])].flatMap((name) => besides(entry, name));
  return [node, entry, LOADER, ...libraries.filter((path) => existsSync(path)), ...packages].map((path) => [
    existsSync(path) ? realpathSync.native(path) : path,
    path,
  ]);
}

/** The package, in the nearest folder that Node looks into from the entry file. */
function besides(entry: string, name: string): readonly string[] {
  for (let folder = dirname(entry); ; folder = dirname(folder)) {
    const path = join(folder, 'node_modules', name);
    if (existsSync(path)) return [path];
    if (dirname(folder) === folder) return [];
  }
}
