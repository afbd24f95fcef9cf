/**
 * What an image for Nitro is made from: everything from outside by its digest, and the bundled enclave. It depends on the
 * installation and on the builder's options, never on a policy.
 */
import { stat } from 'node:fs/promises';
import { Failure } from '../policies/failure.ts';
import { bootParts } from './boot.ts';
import type { BootParts } from './boot.ts';
import { enclaveFiles } from './enclave-files.ts';
import type { EnclaveFiles, EnclaveFilesOptions } from './enclave-files.ts';
import type { EngineName, OpenEngine } from './engine/engine.ts';
import type { OnProgress } from './image-builder.ts';
import type { EifInputs } from './image-inputs.ts';
import { nitroBoot, nitroCollaboration } from './image/nitro-image.ts';
import { baseTar } from './inputs/base.ts';
import { readInputsLock } from './inputs/lock.ts';
import { fetchNode } from './inputs/node.ts';
import { thisPlatform } from './packages.ts';
import type { Target } from './write-image.ts';

export type EifInputsCode = 'image/platform';

/** In place of this installation and of what the lock names; for tests. */
export interface EifParts {
  readonly files?: EnclaveFilesOptions;
  readonly node?: { readonly path: string; readonly version: string };
  readonly baseTar?: { readonly path: string; readonly sha256: string };
  readonly boot?: BootParts;
  readonly engines?: Readonly<Record<EngineName, OpenEngine>>;
}

export interface GatherOptions {
  /** Where fetched and compiled inputs are kept. */
  readonly inputsDir: string;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
  readonly base?: string;
  readonly blobs?: string;
  readonly parts?: EifParts;
}

export interface Gathered {
  readonly files: EnclaveFiles;
  readonly node: { readonly path: string; readonly version: string };
  readonly baseTar: { readonly path: string; readonly sha256: string } | undefined;
  readonly boot: BootParts;
  /** About as many as the layers have. */
  readonly bytes: number;
}

/** Throws `Failure`: `image/platform`, `bundle/…`, `packages/…`, `inputs/…`, `blobs/…`, `kernel/config`, `disk/…`. */
export async function gatherInputs(options: GatherOptions): Promise<Gathered> {
  const { inputsDir, onProgress, signal, parts = {}, base, blobs } = options;
  const platform = thisPlatform();
  if (platform.cpu !== 'x64') throw wrongPlatform(platform.cpu);
  const tell = (step: 'inputs' | 'boot') => (text: string, done?: number, total?: number) =>
    onProgress?.({ step, text, ...(done === undefined ? {} : { done }), ...(total === undefined ? {} : { total }) });
  const common = { cacheDir: inputsDir, ...(signal === undefined ? {} : { signal }) };
  onProgress?.({ step: 'bundle', text: 'bundling the enclave' });
  const files = await enclaveFiles(parts.files ?? {}, platform);
  signal?.throwIfAborted();
  const inputs = { ...common, onProgress: tell('inputs') };
  const node = parts.node ?? { path: await fetchNode(inputs), version: readInputsLock().node.version };
  const tar = base === undefined ? (parts.baseTar ?? (await baseTar(inputs))) : undefined;
  const boot =
    parts.boot ?? (await bootParts({ ...common, onProgress: tell('boot'), ...(blobs === undefined ? {} : { blobs }) }));
  signal?.throwIfAborted();
  const sizes = files.entries.map((entry) => {
    if (entry.kind !== 'file') return 0;
    return entry.content instanceof Uint8Array ? entry.content.length : entry.content.bytes;
  });
  const { size } = await stat(node.path);
  return { files, node, baseTar: tar, boot, bytes: sizes.reduce((sum, bytes) => sum + bytes, size) };
}

/** `base` is the registry's image, where one was named. */
export async function targetOf(
  { files, node, baseTar: tar, boot }: Gathered,
  base: string | undefined,
): Promise<Target<EifInputs>> {
  return {
    name: 'nitro',
    architecture: 'x86_64',
    boot: await nitroBoot(boot),
    kernelVersion: boot.identity.kernel.version,
    inputs: {
      boot: boot.kind,
      kernel: boot.identity.kernel,
      init: boot.identity.init,
      base: base === undefined ? { debian: tar?.sha256 ?? '' } : { image: base },
      node: { version: node.version, platform: 'linux-x64' },
      packages: files.packages,
      bundledPackages: files.bundledPackages,
    },
    collaboration: nitroCollaboration,
  };
}

function wrongPlatform(cpu: string): Failure<EifInputsCode> {
  return new Failure('unsupported', 'image/platform', `images for Nitro are made on x86-64; this machine is ${cpu}`, {
    hint: 'build on an x86-64 machine; --target local works here',
  });
}
