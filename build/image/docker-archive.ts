/**
 * What `docker save` and its likes write: a tar archive of the image's configuration, its layers, and a manifest that says
 * which is which (Docker image specification v1.2). Layers come as tar archives, plain or gzipped, in any order, sometimes
 * as links to each other. Each must be the one that the configuration names by SHA-256.
 */
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { diskFailure } from '../disk.ts';
import { parseConfigFile } from './engine-image.ts';
import type { EngineImage } from './engine-image.ts';
import { LAYER_LIMITS, layerFault, readLayer } from './layer.ts';
import type { FileContent, KeepContent, Layer } from './layer.ts';
import { tarEntries } from './tar-entries.ts';

export interface SavedImage {
  readonly image: EngineImage;
  /** Lowest first; contents are in files of the folder that was given. */
  readonly layers: readonly Layer[];
}

const MAX_MEMBERS = 1_024;
const MAX_DOCUMENT_BYTES = 4 * 1024 * 1024;
/** Headers and padding beside the contents. */
const MAX_ARCHIVE_BYTES = LAYER_LIMITS.bytes + 256 * 1024 * 1024;
const PIECE_BYTES = 1024 * 1024;
const GZIP = '1f8b';
const ZSTD = '28b52ffd';
const NAME = 'the archive of the image';

type Member = { readonly file: string; readonly bytes: number } | { readonly link: string };

/**
 * Reads the archive to its end. `folder` (ours, and empty) takes what must be kept until the ramdisk is written.
 * Throws `Failure<LayerCode>` or `Failure<EngineImageCode>` of kind `malformed`; `disk/…` of kind `environment`.
 */
export async function readDockerArchive(
  archive: AsyncIterable<Uint8Array>,
  folder: string,
  onProgress: (bytes: number) => void = () => {},
): Promise<SavedImage> {
  const members = await keepMembers(archive, folder, onProgress);
  const manifest = parseManifest(await textOf(members, 'manifest.json'));
  const image = parseConfigFile(await textOf(members, manifest.config));
  if (manifest.layers.length !== image.diffIds.length) {
    throw damaged(`its manifest lists ${manifest.layers.length} layers, its configuration ${image.diffIds.length}`);
  }
  const budget = { ...LAYER_LIMITS };
  const spool = await openSpool(join(folder, 'contents'));
  try {
    const layers: Layer[] = [];
    for (const [i, name] of manifest.layers.entries()) {
      const expected = image.diffIds[i] ?? '';
      const hash = createHash('sha256');
      const layer = await readLayer(plainTar(find(members, name).file, hash), name, budget, spool.keep);
      const found = `sha256:${hash.digest('hex')}`;
      if (found !== expected) throw damaged(`the layer "${name}" is ${found}, not ${expected}`);
      layers.push(layer);
    }
    return { image, layers };
  } finally {
    await spool.close();
  }
}

async function keepMembers(
  archive: AsyncIterable<Uint8Array>,
  folder: string,
  onProgress: (bytes: number) => void,
): Promise<ReadonlyMap<string, Member>> {
  const members = new Map<string, Member>();
  let total = 0;
  for await (const entry of tarEntries(archive, (what, why) => layerFault(`layers/${what}`, NAME, why))) {
    const { name, type } = entry;
    if (type === 'directory') continue;
    if (members.has(name)) throw damaged(`it has "${name}" twice`);
    if (members.size >= MAX_MEMBERS) throw damaged(`it has more than ${MAX_MEMBERS} members`);
    if (type === 'symlink' || type === 'link') {
      members.set(name, { link: type === 'link' ? entry.linkName : resolveLink(name, entry.linkName) });
      continue;
    }
    if (type !== 'file') throw damaged(`"${name}" is neither a file nor a folder nor a link`);
    total += entry.bytes;
    if (total > MAX_ARCHIVE_BYTES)
      throw layerFault('layers/too-large', NAME, `it is more than ${MAX_ARCHIVE_BYTES} bytes`);
    // Names of our own: what the archive calls its members is never a path on this machine.
    const file = join(folder, `member-${members.size}`);
    await writePieces(file, entry.content(), onProgress);
    members.set(name, { file, bytes: entry.bytes });
  }
  return members;
}

async function writePieces(
  path: string,
  pieces: AsyncIterable<Uint8Array>,
  onProgress: (bytes: number) => void,
): Promise<void> {
  const handle = await create(path);
  try {
    for await (const piece of pieces) {
      await writeAll(handle, piece, path);
      onProgress(piece.length);
    }
  } finally {
    await handle.close();
  }
}

function create(path: string): Promise<FileHandle> {
  return open(path, 'wx', 0o600).catch((error: unknown) => {
    throw diskFailure(error, path, 'keeping the layers');
  });
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, path: string): Promise<void> {
  try {
    for (let done = 0; done < bytes.length;) done += (await handle.write(bytes, done)).bytesWritten;
  } catch (error) {
    throw diskFailure(error, path, 'keeping the layers');
  }
}

interface Spool {
  readonly keep: KeepContent;
  close(): Promise<void>;
}

/** Contents of all layers, one behind the other in one file. */
async function openSpool(path: string): Promise<Spool> {
  const handle = await create(path);
  let at = 0;
  return {
    async keep(pieces): Promise<FileContent> {
      const offset = at;
      const hash = createHash('sha256');
      for await (const piece of pieces) {
        await writeAll(handle, piece, path);
        hash.update(piece);
        at += piece.length;
      }
      return { file: path, offset, bytes: at - offset, sha256: hash.digest('hex') };
    },
    close: () => handle.close(),
  };
}

/** The layer's tar, uncompressed, hashed on its way. */
async function* plainTar(file: string, hash: Hash): AsyncGenerator<Uint8Array> {
  const magic = await firstBytes(file, 4);
  if (magic.startsWith(ZSTD)) throw damaged('its layers are compressed with zstd, which is not read here');
  const source = createReadStream(file, { highWaterMark: PIECE_BYTES });
  const gunzip = magic.startsWith(GZIP) ? createGunzip({ chunkSize: PIECE_BYTES }) : undefined;
  const piped = gunzip === undefined ? undefined : pipeline(source, gunzip);
  piped?.catch(() => {}); // whoever reads `gunzip` is told
  let left = MAX_ARCHIVE_BYTES;
  for await (const piece of gunzip ?? source) {
    if (!(piece instanceof Uint8Array)) throw damaged('its layers are no bytes');
    left -= piece.length;
    if (left < 0) throw layerFault('layers/too-large', NAME, `a layer unpacks to more than ${MAX_ARCHIVE_BYTES} bytes`);
    hash.update(piece);
    yield piece;
  }
}

async function firstBytes(file: string, count: number): Promise<string> {
  const handle = await open(file, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(count), 0, count, 0);
    return buffer.subarray(0, bytesRead).toString('hex');
  } finally {
    await handle.close();
  }
}

function parseManifest(text: string): { readonly config: string; readonly layers: readonly string[] } {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    throw damaged('its manifest is no JSON');
  }
  const only: unknown = Array.isArray(list) && list.length === 1 ? list[0] : undefined;
  if (typeof only === 'object' && only !== null && 'Config' in only && 'Layers' in only) {
    const { Config: config, Layers: layers } = only;
    if (typeof config === 'string' && Array.isArray(layers) && layers.every((name) => typeof name === 'string')) {
      return { config, layers };
    }
  }
  throw damaged('its manifest does not describe one image');
}

async function textOf(members: ReadonlyMap<string, Member>, name: string): Promise<string> {
  const { file, bytes } = find(members, name);
  if (bytes > MAX_DOCUMENT_BYTES) throw damaged(`"${name}" has ${bytes} bytes`);
  const handle = await open(file, 'r');
  try {
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}

function find(members: ReadonlyMap<string, Member>, name: string): { readonly file: string; readonly bytes: number } {
  let member = members.get(name);
  for (let hops = 0; member !== undefined && 'link' in member && hops < 4; hops++) member = members.get(member.link);
  if (member === undefined || 'link' in member) throw damaged(`it has no "${name}"`);
  return member;
}

/** `a/layer.tar` → `../b/layer.tar` is `b/layer.tar`. Names of members, never paths on this machine. */
function resolveLink(name: string, target: string): string {
  const parts = name.split('/').slice(0, -1);
  for (const part of target.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '.' && part !== '') parts.push(part);
  }
  return parts.join('/');
}

function damaged(why: string): ReturnType<typeof layerFault> {
  return layerFault('layers/damaged', NAME, why);
}
