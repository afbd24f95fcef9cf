/**
 * Reads one layer of a container image: a tar archive of what it adds, and of what it takes away (`.wh.NAME` takes NAME of
 * the layers below, `.wh..wh..opq` all that they have in its folder; OCI image specification, "Layer").
 *
 * Refused is whatever could mean another thing to another reader, or anything at all inside an enclave: absolute paths and
 * `..`, devices, pipes, setuid and setgid, file capabilities, sparse files, a path that comes twice, contents of links.
 * Owners, times and other extended attributes are dropped: a ramdisk of ours has none.
 */
import { Failure } from '../../policies/failure.ts';
import { parentOf, pathFault } from './entry-path.ts';
import { tarEntries } from './tar-entries.ts';
import type { TarEntry } from './tar-entries.ts';

export type LayerCode =
  | 'layers/path'
  | 'layers/device'
  | 'layers/setuid'
  | 'layers/capability'
  | 'layers/link'
  | 'layers/duplicate'
  | 'layers/whiteout'
  | 'layers/type' // a kind of entry that is none of files, folders and links
  | 'layers/through-link' // an entry in a folder that is none
  | 'layers/too-large'
  | 'layers/too-many'
  | 'layers/damaged'; // not a whole archive, or not the one that was announced

export type LayerNode =
  | { readonly kind: 'directory'; readonly mode: number }
  | { readonly kind: 'file'; readonly mode: number; readonly content: FileContent }
  | { readonly kind: 'symlink'; readonly target: string }
  /** Another name of the file at `to`. */
  | { readonly kind: 'hardlink'; readonly to: string };

/** Where a file's content was put. */
export interface FileContent {
  readonly file: string;
  readonly offset: number;
  readonly bytes: number;
  /** SHA-256, lower-case hex. */
  readonly sha256: string;
}

export interface Layer {
  readonly entries: ReadonlyMap<string, LayerNode>;
  /** Paths that it takes from the layers below. */
  readonly removed: ReadonlySet<string>;
  /** Folders of which it takes everything that the layers below have in them. */
  readonly emptied: ReadonlySet<string>;
}

/** Counted over all layers of an image. */
export interface LayerBudget {
  entries: number;
  bytes: number;
}

/** Far above any image of ours (2,000 entries, 200 MB), and a bound on what a hostile one costs. */
export const LAYER_LIMITS: Readonly<LayerBudget> = { entries: 50_000, bytes: 2 * 1024 * 1024 * 1024 };
const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';

/** Keeps a file's content: pieces until the entry ends. */
export type KeepContent = (pieces: AsyncIterable<Uint8Array>) => Promise<FileContent>;

/** `name` stands in messages. Throws `Failure<LayerCode>` of kind `malformed`. */
export async function readLayer(
  archive: AsyncIterable<Uint8Array>,
  name: string,
  budget: LayerBudget,
  keep: KeepContent,
): Promise<Layer> {
  const entries = new Map<string, LayerNode>();
  const removed = new Set<string>();
  const emptied = new Set<string>();
  for await (const entry of tarEntries(archive, (what, why) => layerFault(`layers/${what}`, name, why))) {
    if (--budget.entries < 0)
      throw layerFault('layers/too-many', name, `it has more than ${LAYER_LIMITS.entries} entries`);
    const path = pathOf(entry);
    if (path === '') continue; // the root itself
    const base = path.slice(path.lastIndexOf('/') + 1);
    if (base.startsWith(WHITEOUT)) {
      const folder = parentOf(path);
      if (base === OPAQUE) emptied.add(folder);
      else removed.add(whitedOut(entry, path));
      continue;
    }
    refuseAttributes(entry, path);
    const before = entries.get(path);
    const node = await nodeOf(entry, path, budget, keep);
    const isSameFolder = before?.kind === 'directory' && node.kind === 'directory' && before.mode === node.mode;
    if (before !== undefined && !isSameFolder)
      throw layerFault('layers/duplicate', path, 'it comes twice in one layer');
    entries.set(path, node);
  }
  return { entries, removed, emptied };
}

/** `./usr/bin/` → `usr/bin`; '' for the root. */
function pathOf({ name, type }: TarEntry): string {
  const plain = type === 'directory' && name.endsWith('/') ? name.slice(0, -1) : name;
  if (plain === '.' || (type === 'directory' && plain === '')) return '';
  const path = plain.startsWith('./') ? plain.slice(2) : plain;
  const why = pathFault(path);
  if (why !== undefined) throw layerFault('layers/path', name, why);
  return path;
}

function whitedOut({ type, bytes }: TarEntry, path: string): string {
  const folder = parentOf(path);
  const base = path.slice(folder === '' ? 0 : folder.length + 1).slice(WHITEOUT.length);
  const target = folder === '' ? base : `${folder}/${base}`;
  const isPlain = type === 'file' && bytes === 0;
  // Further names with two marks are some engines' own records; no layer that is handed on has them.
  if (!isPlain || base.startsWith(WHITEOUT) || pathFault(target) !== undefined) {
    throw layerFault('layers/whiteout', path, 'it is no mark that takes one file or folder away');
  }
  return target;
}

/** Programs that become more than who starts them are refused; the other attributes mean nothing inside. */
function refuseAttributes({ mode, type, attributes }: TarEntry, path: string): void {
  if ((mode & 0o6000) !== 0 && type !== 'symlink') {
    throw layerFault('layers/setuid', path, `it is setuid or setgid (mode ${mode.toString(8)})`);
  }
  for (const name of attributes) {
    if (/^SCHILY\.xattr\.security\.capability$/.test(name)) {
      throw layerFault('layers/capability', path, 'it carries capabilities, which make a program privileged');
    }
    if (name.startsWith('GNU.sparse.')) throw layerFault('layers/type', path, 'it is a sparse file');
  }
}

async function nodeOf(entry: TarEntry, path: string, budget: LayerBudget, keep: KeepContent): Promise<LayerNode> {
  const { type, bytes, linkName } = entry;
  switch (type) {
    case 'file': {
      budget.bytes -= bytes;
      if (budget.bytes < 0) {
        throw layerFault('layers/too-large', path, `with it the contents are more than ${LAYER_LIMITS.bytes} bytes`);
      }
      return { kind: 'file', mode: entry.mode & 0o1777, content: await keep(entry.content()) };
    }
    case 'directory':
      if (bytes !== 0) throw layerFault('layers/type', path, 'it is a folder with a content');
      return { kind: 'directory', mode: entry.mode & 0o1777 };
    case 'symlink':
      if (bytes !== 0 || linkName === '') throw layerFault('layers/link', path, 'its link is malformed');
      return { kind: 'symlink', target: linkName };
    case 'link': {
      if (bytes !== 0) throw layerFault('layers/link', path, 'it is a hard link with a content of its own');
      const to = linkName.startsWith('./') ? linkName.slice(2) : linkName;
      const why = pathFault(to);
      if (why !== undefined) throw layerFault('layers/link', path, `it is a hard link to "${linkName}": ${why}`);
      return { kind: 'hardlink', to };
    }
    case 'device':
      throw layerFault('layers/device', path, 'it is a device or a pipe');
    case 'other':
      throw layerFault('layers/type', path, 'it is of a kind that no image needs');
  }
}

export function layerFault(code: LayerCode, where: string, why: string, cause?: unknown): Failure<LayerCode> {
  return new Failure('malformed', code, `a layer of the image is refused: "${where}": ${why}`, {
    where,
    hint: 'nothing was written; build with another engine (--engine) or from another base (--base)',
    cause,
  });
}
