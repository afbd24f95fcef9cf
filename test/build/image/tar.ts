/** Tar archives of named entries, sound or not, and layers and images made of them. */
import { createHash } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { pack } from 'tar-stream';
import type { Headers } from 'tar-stream';

export type TarInput = Headers & { readonly content?: string | Uint8Array; readonly pax?: Record<string, string> };

export async function tarOf(entries: readonly TarInput[]): Promise<Uint8Array> {
  const archive = pack();
  for (const { content, ...header } of entries) {
    if (content === undefined) archive.entry({ mtime: new Date(0), ...header });
    else archive.entry({ mtime: new Date(0), ...header }, Buffer.from(content));
  }
  archive.finalize();
  return new Uint8Array(await buffer(archive));
}

export const folder = (name: string, mode = 0o755): TarInput => ({ name: `${name}/`, type: 'directory', mode });
export const file = (name: string, content: string = name, mode = 0o644): TarInput => ({
  name,
  type: 'file',
  mode,
  content,
});
export const symlink = (name: string, linkname: string): TarInput => ({ name, type: 'symlink', linkname, mode: 0o777 });
export const hardlink = (name: string, linkname: string): TarInput => ({ name, type: 'link', linkname });
/** A mark that takes `name` of the layers below away. */
export const whiteout = (name: string): TarInput => file(name.replace(/([^/]+)$/, '.wh.$1'), '');
export const opaque = (name: string): TarInput => file(`${name}/.wh..wh..opq`, '');

export async function* pieces(bytes: Uint8Array, size = 4_096): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

export const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');

export interface SavedOptions {
  /** What the layers are stored as; default themselves. */
  readonly stored?: (layer: Uint8Array) => Uint8Array;
  readonly config?: object;
  readonly diffIds?: readonly string[];
  /** Further members, or others in place of those that there are. */
  readonly members?: (names: readonly string[]) => readonly TarInput[];
}

/** What `docker save` writes: the manifest last. */
export async function savedImage(layers: readonly Uint8Array[], options: SavedOptions = {}): Promise<Uint8Array> {
  const { stored = (layer) => layer, config = {}, members = () => [] } = options;
  const names = layers.map((_, i) => `layer-${i}/layer.tar`);
  const diffIds = options.diffIds ?? layers.map((layer) => `sha256:${sha256(layer)}`);
  const description = { os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: diffIds }, config };
  const replaced = members(names);
  const own: TarInput[] = [
    ...layers.map((layer, i) => ({ name: names[i] ?? '', type: 'file' as const, content: stored(layer) })),
    file('config.json', JSON.stringify(description)),
    file('manifest.json', JSON.stringify([{ Config: 'config.json', RepoTags: [], Layers: names }])),
  ];
  return tarOf([...own.filter(({ name }) => !replaced.some((other) => other.name === name)), ...replaced]);
}
