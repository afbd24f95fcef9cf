/** The builder of images as collaborations use it: one base, made and hashed once and kept open, for all policies. */
import type { EngineName } from '../build/engine/engine.ts';
import type { BuildProgress, ImageBuilder as Builder, OnProgress } from '../build/image-builder.ts';
import { createLocalBuilder } from '../build/local-builder.ts';
import type { ImageBuilder } from './collaborations.ts';
import type { HostName } from './hosts/names.ts';

/** How images for the qemu and the nitro host are made; the local host's images have no such choice. */
export interface EifImageOptions {
  /** Default: the first that works. */
  readonly engine?: EngineName | undefined;
  /** `NAME@sha256:…`. Default: made from locked packages. */
  readonly base?: string | undefined;
  /** Folder of AWS's kernel and init. Default: Accord's own. */
  readonly blobs?: string | undefined;
}

/** What is opened when the first image is asked for. */
export type OpenBuilder = (options: {
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress;
}) => Promise<Builder>;

/** For the images that `host` runs. */
export function builderFor(host: HostName, options: EifImageOptions & { readonly cacheDir: string }): ImageBuilder {
  const { cacheDir, engine, base, blobs } = options;
  if (host === 'local') return createImageBuilder((opening) => createLocalBuilder({ ...opening, cacheDir }));
  return createImageBuilder(async (opening) => {
    const { createEifBuilder } = await import('../build/eif-builder.ts');
    return createEifBuilder({
      ...opening,
      cacheDir,
      ...(engine === undefined ? {} : { engine }),
      ...(base === undefined ? {} : { base }),
      ...(blobs === undefined ? {} : { blobs }),
    });
  });
}

/** Builds come one at a time. */
export function createImageBuilder(open: OpenBuilder): ImageBuilder {
  let opening: Promise<Builder> | undefined;
  let listener: (progress: BuildProgress) => void = () => {};
  const opened = async (signal: AbortSignal): Promise<Builder> => {
    opening ??= open({ signal, onProgress: (progress) => listener(progress) });
    try {
      return await opening;
    } catch (error) {
      opening = undefined; // the next build tries again
      throw error;
    }
  };
  return {
    async build(policy, folder, { onProgress, signal }) {
      listener = (progress) => onProgress({ ...progress });
      const { measurements, sizing } = await (await opened(signal)).build(policy, folder, { signal });
      const { PCR0, PCR1, PCR2 } = measurements;
      return { measurements: { PCR0, PCR1, PCR2 }, sizing: { ...sizing } };
    },
    async close() {
      await (await opening?.catch(() => undefined))?.close();
    },
  };
}
