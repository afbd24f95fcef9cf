/**
 * From a policy to the image that Nitro and QEMU boot: the locked inputs and the bundled enclave into a folder, a container
 * engine over it with the policy as build argument, its layers into one base ramdisk, and kernel, init, base and
 * collaboration into an EIF.
 *
 * What the engine makes is compared with what was put in, file by file, and its configuration with the policy that was
 * asked for. So the engine's name, its version, its cache and its way of cutting layers leave no trace in the measurements.
 *
 * A builder does what no policy changes once. After that a policy costs the hashing of a few kilobytes to measure, without
 * the engine, and to build one run of the engine (which finds all but the policy in its cache) and one copy of the base.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Policy } from '../policies/model.ts';
import { Failure } from '../policies/failure.ts';
import { defaultCacheDir } from './cache.ts';
import { diskFailure, makeFolder } from './disk.ts';
import { gatherInputs, targetOf } from './eif-inputs.ts';
import type { EifParts, Gathered } from './eif-inputs.ts';
import { openEngineBase } from './engine-base.ts';
import type { EngineBase } from './engine-base.ts';
import { makeContext, readDockerfile } from './engine/context.ts';
import { findEngine } from './engine/engine.ts';
import type { Engine, EngineName } from './engine/engine.ts';
import { ENGINES } from './engine/engines.ts';
import { expectedFiles } from './engine/expected.ts';
import type { Expected } from './engine/expected.ts';
import type { BuildOptions, BuildResult, ImageBuilder, OnProgress } from './image-builder.ts';
import type { EifInputs } from './image-inputs.ts';
import { PATHS } from './image/ramdisk.ts';
import { removeStale } from './stale.ts';
import { measurePolicy, preparePolicy, writeImage } from './write-image.ts';
import type { Target } from './write-image.ts';

export type { EifParts } from './eif-inputs.ts';
export type { EifInputs } from './image-inputs.ts';

export type EifBuilderCode = 'image/base-not-pinned';

const WORK = 'accord-build-';

export interface EifBuilderOptions {
  /** Default: the user's cache. `false` keeps and reads no base ramdisk; inputs are kept, by their digests, in any case. */
  readonly cacheDir?: string | false;
  /** Where fetched and compiled inputs are kept. Default: `cacheDir`, else the user's cache. */
  readonly inputsDir?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
  /** Default: the first that works. */
  readonly engine?: EngineName;
  /** A registry's image `NAME@sha256:…` to take the C library and bubblewrap from. Default: Debian's packages. */
  readonly base?: string;
  /** nitro-cli's kernel and init, in place of our own. */
  readonly blobs?: string;
  /** For tests. */
  readonly parts?: EifParts;
}

export type EifBuilder = ImageBuilder<EifInputs> & {
  /** Which engine builds, for people; nothing of it is in the image. */
  readonly engine: { readonly name: EngineName; readonly version: string };
};

/** One image and nothing kept open. */
export async function buildEifImage(
  options: EifBuilderOptions & BuildOptions & { readonly policy: Policy; readonly outDir: string },
): Promise<BuildResult<EifInputs>> {
  const builder = await createEifBuilder(options);
  try {
    return await builder.build(options.policy, options.outDir, options);
  } finally {
    await builder.close();
  }
}

/**
 * Throws `Failure`: `bundle/…`, `packages/…`, `inputs/…`, `engine/…`, `disk/…` of kind `environment`, `image/base-not-pinned`
 * of kind `refused`. What the engine made is judged when an image is: `layers/…` (malformed), `image/…` (refused).
 */
export async function createEifBuilder(options: EifBuilderOptions = {}): Promise<EifBuilder> {
  const { env = process.env, base, signal, onProgress } = options;
  if (base !== undefined) demandPinned(base);
  const cacheDir = options.cacheDir === false ? undefined : (options.cacheDir ?? defaultCacheDir(env));
  const inputsDir = options.inputsDir ?? cacheDir ?? defaultCacheDir(env);
  const engine = await findEngine(options.parts?.engines ?? ENGINES, options.engine, {
    env,
    storage: join(inputsDir, 'engines'),
    ...(signal === undefined ? {} : { signal }),
  });
  let work: string | undefined;
  try {
    const gathered = await gatherInputs({ ...options, inputsDir });
    work = await workFolder(cacheDir ?? tmpdir());
    onProgress?.({ step: 'engine', text: `preparing the build for ${engine.name} ${engine.version}` });
    const context = join(work, 'context');
    await makeFolder(context, 0o700);
    const { files, node, baseTar: tar } = gathered;
    const parts = { entries: files.entries, node: node.path, baseTar: tar?.path, image: base };
    await makeContext(context, parts);
    const expected = await expectedFiles(parts, await readDockerfile());
    signal?.throwIfAborted();
    const target = await targetOf(gathered, base);
    const made = openEngineBase({
      engine,
      context,
      work,
      cacheDir,
      expected,
      boot: target.boot,
      bytes: gathered.bytes,
      ...(onProgress === undefined ? {} : { onProgress }),
      ...(signal === undefined ? {} : { signal }),
    });
    return openBuilder({ options, engine, gathered, work, base: made, expected, target });
  } catch (error) {
    if (work !== undefined) await rm(work, { recursive: true, force: true });
    await engine.close();
    throw error;
  }
}

interface Opened {
  readonly options: EifBuilderOptions;
  readonly engine: Engine;
  readonly gathered: Gathered;
  /** Ours, removed at the end. */
  readonly work: string;
  readonly base: EngineBase;
  readonly expected: Expected;
  readonly target: Target<EifInputs>;
}

function openBuilder({ options, engine, gathered, work, base, expected, target }: Opened): EifBuilder {
  return {
    async measure(policy) {
      const prepared = await preparePolicy(target, policy);
      return measurePolicy(await base.known(prepared), prepared);
    },
    async build(policy, outDir, build = {}) {
      const { onProgress = options.onProgress, signal = options.signal, sign } = build;
      const prepared = await preparePolicy(target, policy);
      const made = await base.make(prepared, build);
      return writeImage(target, made, prepared, outDir, {
        ...(onProgress === undefined ? {} : { onProgress }),
        ...(signal === undefined ? {} : { signal }),
        ...(sign === undefined ? {} : { sign }),
      });
    },
    engine: { name: engine.name, version: engine.version },
    inputs: target.inputs,
    modules: gathered.files.modules,
    paths: [...expected.base.keys(), ...expected.ours.keys()].map((path) => `${PATHS.root}/${path}`).sort(),
    async close() {
      await base.close();
      await engine.close();
      await rm(work, { recursive: true, force: true });
    },
  };
}

async function workFolder(home: string): Promise<string> {
  try {
    await makeFolder(home, 0o700);
    await removeStale(home, [WORK]);
    return await mkdtemp(join(home, WORK));
  } catch (error) {
    throw diskFailure(error, home, 'making a folder to build in');
  }
}

/** A tag can be moved by whoever owns it; a digest names one image for ever. */
function demandPinned(base: string): void {
  if (/^[a-z0-9][\w.:/-]*@sha256:[0-9a-f]{64}$/.test(base)) return;
  throw new Failure<EifBuilderCode>('refused', 'image/base-not-pinned', `the base "${base}" is not named by digest`, {
    where: '--base',
    hint: 'name it as IMAGE@sha256:… (`docker buildx imagetools inspect IMAGE` tells the digest), or leave --base away',
  });
}
