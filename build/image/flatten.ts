/**
 * One tree out of layers: each takes away what it says of those below, then adds its own. How an engine cut the image into
 * layers leaves no trace in the result.
 */
import type { CpioEntry } from './cpio.ts';
import { parentOf, targetFault } from './entry-path.ts';
import { layerFault } from './layer.ts';
import type { FileContent, Layer, LayerNode } from './layer.ts';
import { FOLDER_MODE, PATHS } from './ramdisk.ts';

/** Names of one file share the object, as they share the inode. */
interface TreeFile {
  readonly kind: 'file';
  readonly mode: number;
  readonly content: FileContent;
}
export type TreeNode = Exclude<LayerNode, { kind: 'hardlink' | 'file' }> | TreeFile;
export type Tree = ReadonlyMap<string, TreeNode>;

/** Lowest layer first. Throws `Failure<LayerCode>` of kind `malformed`. */
export function flattenLayers(layers: readonly Layer[]): Tree {
  const tree = new Map<string, TreeNode>();
  for (const layer of layers) applyLayer(tree, layer);
  for (const [path, node] of tree) {
    if (node.kind !== 'symlink') continue;
    const why = targetFault(path, relativeTarget(path, node.target));
    if (why !== undefined) throw layerFault('layers/link', path, `it links to "${node.target}": ${why}`);
  }
  return tree;
}

function applyLayer(tree: Map<string, TreeNode>, { entries, removed, emptied }: Layer): void {
  // Marks speak of the layers below alone, wherever they stand in the archive.
  for (const path of emptied) removeBelow(tree, path);
  for (const path of removed) remove(tree, path);
  const inOrder = [...entries].sort(([a], [b]) => (a < b ? -1 : 1)); // parents first
  const links: (readonly [string, string])[] = [];
  for (const [path, node] of inOrder) {
    demandFolders(tree, entries, path);
    if (node.kind === 'hardlink') {
      links.push([path, node.to]);
      continue;
    }
    if (node.kind !== 'directory') remove(tree, path);
    tree.set(path, node);
  }
  for (const [path, to] of links) {
    const file = tree.get(linkedFile(entries, path, to));
    if (file?.kind !== 'file') throw layerFault('layers/link', path, `it is a hard link to "${to}", which is no file`);
    remove(tree, path);
    tree.set(path, file);
  }
}

/** A hard link may name another hard link of its layer. */
function linkedFile(entries: Layer['entries'], path: string, to: string): string {
  const seen = new Set([path]);
  let at = to;
  for (let node = entries.get(at); node?.kind === 'hardlink'; node = entries.get(at)) {
    if (seen.has(at)) throw layerFault('layers/link', path, 'it is a hard link to itself');
    seen.add(at);
    at = node.to;
  }
  return at;
}

/** What stands above an entry is a folder, never a link: a link would put the entry somewhere else. */
function demandFolders(tree: Map<string, TreeNode>, entries: Layer['entries'], path: string): void {
  const parent = parentOf(path);
  if (parent === '') return;
  const node = entries.get(parent) ?? tree.get(parent);
  if (node?.kind === 'directory') return;
  if (node !== undefined) {
    throw layerFault('layers/through-link', path, `"${parent}" is a ${node.kind}, and nothing can stand in it`);
  }
  demandFolders(tree, entries, parent);
  tree.set(parent, { kind: 'directory', mode: FOLDER_MODE });
}

function remove(tree: Map<string, TreeNode>, path: string): void {
  if (tree.get(path)?.kind === 'directory') removeBelow(tree, path);
  tree.delete(path);
}

function removeBelow(tree: Map<string, TreeNode>, path: string): void {
  const prefix = path === '' ? '' : `${path}/`;
  for (const other of tree.keys()) if (other.startsWith(prefix)) tree.delete(other);
}

/** In the enclave the tree is the root, so an absolute link leads into it; a ramdisk of ours has relative ones alone. */
function relativeTarget(path: string, target: string): string {
  if (!target.startsWith('/')) return target;
  const depth = path.split('/').length - 1;
  const down = target.split('/').filter((part) => part !== '' && part !== '.');
  return [...Array.from({ length: depth }, () => '..'), ...down].join('/') || '.';
}

/** The entries of the base ramdisk. Of a file with several names the first in order has the content. */
export function treeEntries(tree: Tree): readonly CpioEntry[] {
  const entries: CpioEntry[] = [{ kind: 'directory', path: PATHS.root, mode: FOLDER_MODE }];
  const first = new Map<TreeFile, string>();
  for (const [path, node] of [...tree].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))) {
    const at = `${PATHS.root}/${path}`;
    switch (node.kind) {
      case 'directory':
        entries.push({ kind: 'directory', path: at, mode: node.mode });
        break;
      case 'symlink':
        entries.push({ kind: 'symlink', path: at, target: relativeTarget(path, node.target) });
        break;
      case 'file': {
        const home = first.get(node);
        if (home === undefined) {
          first.set(node, at);
          entries.push({ kind: 'file', path: at, mode: node.mode, content: node.content });
        } else entries.push({ kind: 'hardlink', path: at, to: home });
        break;
      }
    }
  }
  return entries;
}
