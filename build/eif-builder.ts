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
import { createHash } from 'node:crypto';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Policy } from '../policies/model.ts';
import { Failure } from '../policies/failure.ts';
import { bootParts } from './boot.ts';
import type { BootParts } from './boot.ts';
import { defaultCacheDir, openBase } from './cache.ts';
import type { OpenBase } from './cache.ts';
import { diskFailure, makeFolder } from './disk.ts';
import { enclaveFiles } from './enclave-files.ts';
import type { EnclaveFiles, EnclaveFilesOptions } from './enclave-files.ts';
import { makeContext, readDockerfile } from './engine/context.ts';
import { findEngine } from './engine/engine.ts';
import type { Engine, EngineName, OpenEngine } from './engine/engine.ts';
import { ENGINES } from './engine/engines.ts';
import { expectedFiles } from './engine/expected.ts';
import type { Expected } from './engine/expected.ts';
import type { BuildOptions, BuildResult, ImageBuilder, OnProgress } from './image-builder.ts';
import { checkContent } from './image/check-content.ts';
import { planCpio } from './image/cpio.ts';
import { readDockerArchive } from './image/docker-archive.ts';
import { demandAsAsked } from './image/engine-image.ts';
import type { EngineImage } from './image/engine-image.ts';
import { flattenLayers, treeEntries } from './image/flatten.ts';
import { NITRO_COMMAND, nitroBoot, nitroCollaboration } from './image/nitro-image.ts';
import { PATHS, POLICY_VARIABLE } from './image/ramdisk.ts';
import { BASE_SECTION, measureBoot } from './image/sections.ts';
import { baseTar } from './inputs/base.ts';
import { fetchNode } from './inputs/node.ts';
import { readInputsLock } from './inputs/lock.ts';
import { thisPlatform } from './packages.ts';
import { removeStale } from './stale.ts';
import { measurePolicy, preparePolicy, writeImage } from './write-image.ts';
import type { PreparedPolicy, Target } from './write-image.ts';

export type EifBuilderCode = 'image/base-not-pinned' | 'image/platform' | 'image/base-changed';

/** What the image is made from: everything that decides its measurements, and nothing else. */
export interface EifInputs {
  readonly boot: BootParts['kind'];
  readonly kernel: { readonly version: string; readonly sha256: string };
  readonly init: { readonly sha256: string };
  /** The C library: SHA-256 of the archive from Debian's packages, or a registry's image. */
  readonly base: { readonly debian: string } | { readonly image: string };
  readonly node: { readonly version: string; readonly platform: string };
  /** Native packages that the image carries as packages: `sharp@0.35.5`. */
  readonly packages: readonly string[];
  /** Packages that are part of the bundles. */
  readonly bundledPackages: readonly string[];
}

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
  /** A registry's image `NAME@sha256:…` to take the C library from. Default: Debian's packages. */
  readonly base?: string;
  /** nitro-cli's kernel and init, in place of our own. */
  readonly blobs?: string;
  /** In place of this installation and of what the lock names; for tests. */
  readonly parts?: EifParts;
}

export interface EifParts {
  readonly files?: EnclaveFilesOptions;
  readonly node?: { readonly path: string; readonly version: string };
  readonly baseTar?: { readonly path: string; readonly sha256: string };
  readonly boot?: BootParts;
  readonly engines?: Readonly<Record<EngineName, OpenEngine>>;
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
    const gathered = await gather(options, inputsDir);
    work = await workFolder(cacheDir ?? tmpdir());
    onProgress?.({ step: 'engine', text: `preparing the build for ${engine.name} ${engine.version}` });
    const context = join(work, 'context');
    await makeFolder(context, 0o700);
    const parts = { entries: gathered.files.entries, node: gathered.node.path, baseTar: gathered.baseTar?.path };
    await makeContext(context, parts);
    const expected = await expectedFiles(parts, await readDockerfile());
    signal?.throwIfAborted();
    const target = await targetOf(gathered, base);
    return openBuilder({ options, cacheDir, engine, gathered, work, context, expected, target });
  } catch (error) {
    if (work !== undefined) await rm(work, { recursive: true, force: true });
    await engine.close();
    throw error;
  }
}

interface Opened {
  readonly options: EifBuilderOptions;
  readonly cacheDir: string | undefined;
  readonly engine: Engine;
  readonly gathered: Gathered;
  /** Ours, removed at the end. */
  readonly work: string;
  readonly context: string;
  readonly expected: Expected;
  readonly target: Target<EifInputs>;
}

function openBuilder({ options, cacheDir, engine, gathered, work, context, expected, target }: Opened): EifBuilder {
  let opening: Promise<OpenBase> | undefined;
  let baseKey: string | undefined;

  const runEngine = async (prepared: PreparedPolicy, build: BuildOptions): Promise<EngineAnswer> => {
    const { onProgress = options.onProgress, signal = options.signal } = build;
    const asked = { environment: { [POLICY_VARIABLE]: prepared.canonicalPolicy }, command: NITRO_COMMAND };
    const tell = (line: string): void => onProgress?.({ step: 'engine', text: `${engine.name}: ${shortened(line)}` });
    tell('building');
    const id = await engine.build({
      context,
      buildArguments: { ...asked.environment, BASE: options.base ?? 'scratch' },
      tag: `accord-enclave:${prepared.digest.slice(0, TAG_CHARACTERS)}`,
      onLine: (line) => {
        if (/^(\[\d\/\d\] )?step /i.test(line) || /^#\d+ \[/.test(line)) tell(line);
      },
      signal,
    });
    const image = await engine.inspect(id, signal);
    demandAsAsked(image, asked);
    return { id, image };
  };

  const openFrom = ({ id, image }: EngineAnswer, build: BuildOptions): Promise<OpenBase> => {
    const { onProgress = options.onProgress, signal = options.signal } = build;
    const texts = { verify: 'checking the base from the cache', make: 'making the base ramdisk' } as const;
    return openBase(
      {
        key: keyOf(image, expected),
        withPlan: async (use) => {
          const folder = await mkdtemp(join(work, 'layers-'));
          try {
            let done = 0;
            const read: { tree?: ReturnType<typeof flattenLayers> } = {};
            await engine.save(
              id,
              async (archive) => {
                const saved = await readDockerArchive(archive, folder, (bytes) => {
                  signal?.throwIfAborted();
                  done += bytes;
                  onProgress?.({
                    step: 'layers',
                    text: 'reading the layers back',
                    done,
                    total: Math.max(done, gathered.bytes),
                  });
                });
                demandSame(saved.image, image);
                read.tree = flattenLayers(saved.layers);
              },
              signal,
            );
            if (read.tree === undefined) throw new Error('an image was saved without being read');
            await checkContent(read.tree, expected);
            return await use(planCpio(treeEntries(read.tree)));
          } catch (error) {
            throw diskFailure(error, folder, 'reading the layers');
          } finally {
            await rm(folder, { recursive: true, force: true });
          }
        },
      },
      {
        cacheDir,
        measure: () => measureBoot(target.boot),
        section: BASE_SECTION,
        onProgress: (step, at, total) => onProgress?.({ step, text: texts[step], done: at, total }),
        ...(signal === undefined ? {} : { signal }),
      },
    );
  };

  /** The base that `answer` has. An engine that lost its cache may cut other layers; the content must be the same. */
  const baseOf = async (answer: EngineAnswer, build: BuildOptions): Promise<OpenBase> => {
    const key = keyOf(answer.image, expected);
    if (opening === undefined) {
      opening = openFrom(answer, build);
      baseKey = key;
      opening.catch(() => (opening = undefined)); // the next build tries again
    }
    const base = await opening;
    if (baseKey === key) return base;
    const again = await openFrom(answer, build);
    const isSame = again.crc32 === base.crc32 && fingerprint(again) === fingerprint(base);
    await again.close();
    if (!isSame) throw baseChanged();
    return base;
  };

  return {
    async measure(policy) {
      const prepared = await preparePolicy(target, policy);
      return measurePolicy(await (opening ?? baseOf(await runEngine(prepared, {}), {})), prepared);
    },
    async build(policy, outDir, build = {}) {
      const { onProgress = options.onProgress, signal = options.signal, sign } = build;
      const prepared = await preparePolicy(target, policy);
      const base = await baseOf(await runEngine(prepared, build), build);
      return writeImage(target, base, prepared, outDir, {
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
      await (await opening?.catch(() => undefined))?.close();
      await engine.close();
      await rm(work, { recursive: true, force: true });
    },
  };
}

interface EngineAnswer {
  readonly id: string;
  readonly image: EngineImage;
}

const WORK = 'accord-build-';
const TAG_CHARACTERS = 12;
const SHOWN_CHARACTERS = 100;

/** Layers that were judged by what they should be: another expectation judges again. */
function keyOf({ diffIds }: EngineImage, { digest }: Expected): string {
  return createHash('sha256')
    .update(JSON.stringify(['accord/v1/eif-base', digest, ...diffIds]))
    .digest('hex');
}

const fingerprint = (base: OpenBase): string => base.measurement.fork().finish().PCR0;

const shortened = (line: string): string => line.replaceAll(/\s+/g, ' ').trim().slice(0, SHOWN_CHARACTERS);

interface Gathered {
  readonly files: EnclaveFiles;
  readonly node: { readonly path: string; readonly version: string };
  readonly baseTar: { readonly path: string; readonly sha256: string } | undefined;
  readonly boot: BootParts;
  /** About as many as the layers have. */
  readonly bytes: number;
}

/** Everything from outside, by its digest, and the bundles. */
async function gather(options: EifBuilderOptions, cacheDir: string): Promise<Gathered> {
  const { onProgress, signal, parts = {}, base, blobs } = options;
  const platform = thisPlatform();
  if (platform.cpu !== 'x64') throw wrongPlatform(platform.cpu);
  const tell = (step: 'inputs' | 'boot') => (text: string, done?: number, total?: number) =>
    onProgress?.({ step, text, ...(done === undefined ? {} : { done }), ...(total === undefined ? {} : { total }) });
  const common = { cacheDir, ...(signal === undefined ? {} : { signal }) };
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

async function targetOf(
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

async function workFolder(home: string): Promise<string> {
  try {
    await makeFolder(home, 0o700);
    await removeStale(home, [WORK]);
    return await mkdtemp(join(home, WORK));
  } catch (error) {
    throw diskFailure(error, home, 'making a folder to build in');
  }
}

/** What is saved is what was inspected: between the two the engine could have been asked for something else. */
function demandSame(saved: EngineImage, inspected: EngineImage): void {
  if (JSON.stringify(saved.diffIds) !== JSON.stringify(inspected.diffIds)) throw baseChanged();
}

/** A tag can be moved by whoever owns it; a digest names one image for ever. */
function demandPinned(base: string): void {
  if (/^[a-z0-9][\w.:/-]*@sha256:[0-9a-f]{64}$/.test(base)) return;
  throw new Failure<EifBuilderCode>('refused', 'image/base-not-pinned', `the base "${base}" is not named by digest`, {
    where: '--base',
    hint: 'name it as IMAGE@sha256:… (`docker buildx imagetools inspect IMAGE` tells the digest), or leave --base away',
  });
}

function baseChanged(): Failure<EifBuilderCode> {
  return new Failure('environment', 'image/base-changed', 'the engine made other layers than a moment ago', {
    where: '--engine',
    hint: 'run the same command again; if that does not help, clear the cache of the engine',
  });
}

function wrongPlatform(cpu: string): Failure<EifBuilderCode> {
  return new Failure('unsupported', 'image/platform', `images for Nitro are made on x86-64; this machine is ${cpu}`, {
    hint: 'build on an x86-64 machine; --target local works here',
  });
}
