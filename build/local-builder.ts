/**
 * From a policy to a local image: bundle, collect the base, add the collaboration, write, report. The image for Nitro and
 * QEMU goes the way of `eif-builder.ts`; from an open base on they are the same (`write-image.ts`).
 *
 * A builder does what no policy changes once. After that a policy costs the hashing of a few kilobytes to measure, and
 * one copy of the base to build.
 */
import { localBase } from './local-base.ts';
import type { BaseInputs, BaseOptions } from './local-base.ts';
import { defaultCacheDir, openBase } from './cache.ts';
import type { AnyPolicy, BuildOptions, BuildResult, ImageBuilder, OnProgress } from './image-builder.ts';
import { planCpio } from './image/cpio.ts';
import { LOCAL_BOOT, localCollaboration } from './image/local-image.ts';
import { BASE_SECTION, measureBoot } from './image/sections.ts';
import { measurePolicy, preparePolicy, writeImage } from './write-image.ts';
import type { Target } from './write-image.ts';

export interface LocalBuilderOptions {
  /** Default: the user's cache. `false` keeps and reads nothing. */
  readonly cacheDir?: string | false;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
  /** What the base is made of; by default this installation. */
  readonly base?: BaseOptions;
}

export type LocalBuilder = ImageBuilder<BaseInputs>;

/** One image and nothing kept open. */
export async function buildLocalImage(
  options: LocalBuilderOptions & BuildOptions & { readonly policy: AnyPolicy; readonly outDir: string },
): Promise<BuildResult<BaseInputs>> {
  const builder = await createLocalBuilder(options);
  try {
    return await builder.build(options.policy, options.outDir, options);
  } finally {
    await builder.close();
  }
}

/** Throws `Failure`: `bundle/…`, `packages/…`, `disk/…` of kind `environment`; `packages/platform` where there is no local image. */
export async function createLocalBuilder(options: LocalBuilderOptions = {}): Promise<LocalBuilder> {
  const { cacheDir, onProgress, signal } = options;
  onProgress?.({ step: 'bundle', text: 'bundling the enclave' });
  const base = await localBase(options.base);
  signal?.throwIfAborted();
  const texts = { verify: 'checking the base from the cache', make: 'making the base' } as const;
  const opened = await openBase(
    { key: base.key, withPlan: (use) => use(planCpio(base.entries)) },
    {
      cacheDir: cacheDir === false ? undefined : (cacheDir ?? defaultCacheDir(process.env)),
      measure: () => measureBoot(LOCAL_BOOT),
      section: BASE_SECTION,
      onProgress: (step, done, total) => onProgress?.({ step, text: texts[step], done, total }),
      ...(signal === undefined ? {} : { signal }),
    },
  );
  const target: Target<BaseInputs> = {
    name: 'local',
    architecture: base.platform.cpu === 'arm64' ? 'aarch64' : 'x86_64',
    boot: LOCAL_BOOT,
    kernelVersion: 'none',
    inputs: base.inputs,
    collaboration: localCollaboration,
  };
  return {
    measure: async (policy) => measurePolicy(opened, await preparePolicy(target, policy)),
    build: async (policy, outDir, build = {}) =>
      writeImage(target, opened, await preparePolicy(target, policy), outDir, {
        ...build,
        ...(build.onProgress === undefined && onProgress !== undefined ? { onProgress } : {}),
      }),
    inputs: base.inputs,
    modules: base.modules,
    paths: base.entries.map(({ path }) => path).sort(),
    close: () => opened.close(),
  };
}
