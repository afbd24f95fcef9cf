/**
 * Judges the flattened image before it becomes a ramdisk: every file of ours is there and as it was given, so is the base,
 * nothing else is, and every program is for the processor of an enclave. What a stray file is decides what is said of it.
 */
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { posix } from 'node:path';
import { Failure } from '../../policies/failure.ts';
import { baseMissing } from '../engine/expected.ts';
import type { Expected, ExpectedFile } from '../engine/expected.ts';
import type { Tree, TreeNode } from './flatten.ts';
import { FOLDER_MODE } from './ramdisk.ts';

export type ContentCode =
  | 'image/base-missing'
  | 'image/incomplete' // a file of ours is not there
  | 'image/differs' // it is there, and is another
  | 'image/shell'
  | 'image/package-manager'
  | 'image/compiler'
  | 'image/source-map'
  | 'image/unexpected'
  | 'image/architecture';

const STRAY: readonly (readonly [RegExp, ContentCode, string])[] = [
  [/^(?:ba|da|a|z|k|fi|c|tc|mk|r)?sh$|^(?:busybox|toybox)$/, 'image/shell', 'a shell'],
  [
    /^(?:apt|apt-get|dpkg|rpm|dnf|yum|microdnf|apk|zypper|pacman|npm|npx|yarn|pnpm|corepack|pip3?)$/,
    'image/package-manager',
    'a package manager',
  ],
  [
    /^(?:[\w-]*g?cc|[\w-]*[gc]\+\+|clang.*|ld|as|make|tcc|go|rustc|perl|python[\d.]*)$/,
    'image/compiler',
    'a compiler or interpreter',
  ],
  [/\.map$/, 'image/source-map', 'a source map'],
];
const ELF_MAGIC = 0x7f454c46;
const ELF_X86_64 = 0x3e;

/** Throws `Failure<ContentCode>`, kind `refused`. */
export async function checkContent(tree: Tree, expected: Expected): Promise<void> {
  const wanted = new Map<string, ExpectedFile | undefined>([...expected.base, ...expected.ours]);
  const folders = new Set([...expected.folders, ...[...wanted.keys()].flatMap(foldersAbove)]);
  const strays = [...tree].filter(([path]) => !wanted.has(path));
  // What stands in a stray folder says more than the folder does.
  for (const [path, node] of strays) if (node.kind !== 'directory') refuseStray(path, node, folders);
  for (const [path, node] of strays) refuseStray(path, node, folders);
  for (const path of expected.base.keys()) if (tree.get(path) === undefined) throw baseMissing(path);
  for (const [path, file] of wanted) compare(path, tree.get(path), file);
  refuseHardLinks(tree);
  await checkPrograms(tree);
}

function* foldersOf(path: string): Generator<string> {
  for (let at = posix.dirname(path); at !== '.'; at = posix.dirname(at)) yield at;
}
const foldersAbove = (path: string): readonly string[] => [...foldersOf(path)];

function refuseStray(path: string, node: TreeNode, folders: ReadonlySet<string>): void {
  const name = posix.basename(path);
  if (node.kind === 'directory') {
    if (folders.has(path) && node.mode === FOLDER_MODE) return;
    if (folders.has(path)) throw refuse('image/differs', path, `its mode is ${node.mode.toString(8)}, not 755`);
  }
  const [, code, what] = STRAY.find(([pattern]) => pattern.test(name) && node.kind !== 'directory') ?? [];
  if (code !== undefined && what !== undefined) throw refuse(code, path, `it is ${what}, and none belongs there`);
  throw refuse('image/unexpected', path, 'nobody put it there');
}

function compare(path: string, node: TreeNode | undefined, file: ExpectedFile | undefined): void {
  if (node === undefined) throw refuse('image/incomplete', path, 'it is not there');
  if (node.kind !== 'file') throw refuse('image/differs', path, `it is a ${node.kind}`);
  if (file === undefined) return;
  if (node.content.sha256 !== file.sha256) {
    throw refuse('image/differs', path, `its SHA-256 is ${node.content.sha256}, not ${file.sha256}`);
  }
  if (node.mode !== file.mode) {
    throw refuse('image/differs', path, `its mode is ${node.mode.toString(8)}, not ${file.mode.toString(8)}`);
  }
}

/** Each file was put in by itself: two names of one file are the engine's doing, and would be measured. */
function refuseHardLinks(tree: Tree): void {
  const names = new Map<TreeNode, string>();
  for (const [path, node] of tree) {
    const other = node.kind === 'file' ? names.get(node) : undefined;
    if (other !== undefined) throw refuse('image/differs', path, `it is a hard link to /${other}`);
    names.set(node, path);
  }
}

/** An ELF file of another processor would be found out only when the enclave wants it. */
async function checkPrograms(tree: Tree): Promise<void> {
  const handles = new Map<string, FileHandle>();
  try {
    for (const [path, node] of tree) {
      if (node.kind !== 'file' || node.content.bytes < 20) continue;
      const { file, offset } = node.content;
      const handle = handles.get(file) ?? (await open(file, 'r'));
      handles.set(file, handle);
      const head = new DataView(new ArrayBuffer(20));
      await handle.read(new Uint8Array(head.buffer), 0, 20, offset);
      if (head.getUint32(0) !== ELF_MAGIC) continue;
      const is64 = head.getUint16(4) === 0x0201; // 64 bits, little-endian
      const machine = head.getUint16(18, true);
      if (!is64 || machine !== ELF_X86_64) {
        throw refuse(
          'image/architecture',
          path,
          `it is a program for another processor (ELF machine ${machine}), not x86-64`,
        );
      }
    }
  } finally {
    for (const handle of handles.values()) await handle.close();
  }
}

function refuse(code: ContentCode, path: string, why: string): Failure<ContentCode> {
  return new Failure('refused', code, `the image that the engine made is refused: /${path}: ${why}`, {
    where: `/${path}`,
    hint: 'nothing was written; clear the cache of the engine and run the same command again, or name another with --engine',
  });
}
