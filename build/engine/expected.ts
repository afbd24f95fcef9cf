/**
 * What the image must be, file by file: what stands in the folder that it is built in, and of the base what the Dockerfile
 * copies. Computed here, from the same inputs, without the engine.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { posix } from 'node:path';
import { Failure } from '../../policies/failure.ts';
import type { FileRange } from '../image/cpio.ts';
import { flattenLayers } from '../image/flatten.ts';
import type { Tree } from '../image/flatten.ts';
import { LAYER_LIMITS, readLayer } from '../image/layer.ts';
import type { FileContent } from '../image/layer.ts';
import { PATHS, PROGRAM_MODE } from '../image/ramdisk.ts';
import type { ContextParts } from './context.ts';

export interface ExpectedFile {
  readonly mode: number;
  /** SHA-256, lower-case hex. */
  readonly sha256: string;
}

export interface Expected {
  /** Path from the image's root → file. */
  readonly ours: ReadonlyMap<string, ExpectedFile>;
  /** The base's files; undefined where a registry's image decides what is in them. */
  readonly base: ReadonlyMap<string, ExpectedFile | undefined>;
  /** Folders of ours, whether or not there is a file in them. */
  readonly folders: ReadonlySet<string>;
  /** SHA-256 over all of it, lower-case hex. */
  readonly digest: string;
}

/** Throws `Failure`: `image/base-missing` for a base without a file that the Dockerfile copies, `layers/…` for a bad one. */
export async function expectedFiles(parts: ContextParts, dockerfile: string): Promise<Expected> {
  const ours = new Map<string, ExpectedFile>();
  for (const [path, mode, content] of ownFiles(parts)) ours.set(path, { mode, sha256: await digestOf(content) });
  const copies = baseCopies(dockerfile);
  const base = new Map<string, ExpectedFile | undefined>();
  const tree = parts.baseTar === undefined ? undefined : await readBase(parts.baseTar);
  for (const { from, to } of copies) {
    if (tree === undefined) base.set(to, undefined);
    else {
      const file = follow(tree, from);
      if (file === undefined) throw baseMissing(from);
      base.set(to, { mode: file.mode, sha256: file.content.sha256 });
    }
  }
  const digest = createHash('sha256')
    .update(JSON.stringify([inOrder(ours), inOrder(base)]))
    .digest('hex');
  const folders = parts.entries.flatMap(({ kind, path }) => (kind === 'directory' ? [below(path)] : []));
  return { ours, base, folders: new Set(folders), digest };
}

const inOrder = <Value>(map: ReadonlyMap<string, Value>): readonly (readonly [string, Value])[] =>
  [...map].sort(([a], [b]) => (a < b ? -1 : 1));

export function baseMissing(path: string): Failure<'image/base-missing'> {
  return new Failure(
    'refused',
    'image/base-missing',
    `the base has no ${path}, without which the enclave does not start`,
    {
      where: path,
      hint: 'use a base of Debian 13 or later with bubblewrap installed, or none at all: without --base it is made from Debian packages',
    },
  );
}

function* ownFiles({ entries, node }: ContextParts): Generator<readonly [string, number, Uint8Array | FileRange]> {
  yield [below(PATHS.node), PROGRAM_MODE, { file: node, bytes: Number.POSITIVE_INFINITY }];
  for (const entry of entries) {
    if (entry.kind === 'file' && entry.path !== PATHS.node) yield [below(entry.path), entry.mode, entry.content];
  }
}

const below = (path: string): string => path.slice(`${PATHS.root}/`.length);

async function digestOf(content: Uint8Array | FileRange): Promise<string> {
  const hash = createHash('sha256');
  if (content instanceof Uint8Array) return hash.update(content).digest('hex');
  for await (const piece of createReadStream(content.file, { highWaterMark: 1024 * 1024 })) {
    if (piece instanceof Uint8Array) hash.update(piece);
  }
  return hash.digest('hex');
}

/** `COPY --from=base SOURCE… FOLDER/`, as the Dockerfile has it: each file by itself, under its own name. */
export function baseCopies(dockerfile: string): readonly { readonly from: string; readonly to: string }[] {
  const lines = dockerfile.replaceAll(/\\\n/g, ' ').split('\n');
  return lines.flatMap((line) => {
    const [, words] = /^COPY --from=base (.+)$/.exec(line) ?? [];
    const paths = words?.trim().split(/\s+/) ?? [];
    const folder = paths.at(-1) ?? '';
    return paths.slice(0, -1).map((from) => ({ from: from.slice(1), to: `${folder.slice(1)}${posix.basename(from)}` }));
  });
}

async function readBase(tar: string): Promise<Tree> {
  const keep = async (pieces: AsyncIterable<Uint8Array>): Promise<FileContent> => {
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const piece of pieces) {
      hash.update(piece);
      bytes += piece.length;
    }
    return { file: tar, offset: 0, bytes, sha256: hash.digest('hex') }; // its place is of no use here
  };
  return flattenLayers([await readLayer(createReadStream(tar), 'base.tar', { ...LAYER_LIMITS }, keep)]);
}

const MAX_LINKS = 16;

/** The file that an engine copies for `path`: links on the way are followed inside of the tree. */
function follow(tree: Tree, path: string): Extract<ReturnType<Tree['get']>, { kind: 'file' }> | undefined {
  let at = path;
  for (let links = 0; links <= MAX_LINKS; links++) {
    const parts = at.split('/');
    const end = parts.findIndex((_, i) => tree.get(parts.slice(0, i + 1).join('/'))?.kind === 'symlink');
    if (end === -1) {
      const node = tree.get(at);
      return node?.kind === 'file' ? node : undefined;
    }
    const linked = tree.get(parts.slice(0, end + 1).join('/'));
    if (linked?.kind !== 'symlink') return undefined;
    const home = `/${parts.slice(0, end).join('/')}`;
    at = posix.resolve(home, linked.target, parts.slice(end + 1).join('/')).slice(1);
  }
  return undefined;
}
