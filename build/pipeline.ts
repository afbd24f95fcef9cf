/**
 * From a policy to an image, for the local target: bundle, collect the base, add the collaboration, write, report.
 *
 * A builder does what no policy changes once. After that a policy costs the hashing of a few kilobytes to measure, and
 * one copy of the base to build.
 */
import { join } from 'node:path';
import { canonicalPolicyText, toCanonicalPolicy } from '../policies/canonical.ts';
import { policyDigest } from '../policies/digest.ts';
import type { Policy, PolicyDigest } from '../policies/model.ts';
import { localBase } from './base.ts';
import type { Base, BaseInputs, BaseOptions } from './base.ts';
import { defaultCacheDir, openBase } from './cache.ts';
import type { OpenBase } from './cache.ts';
import { commitFiles } from './commit-files.ts';
import { encodeMetadata } from './eif/metadata.ts';
import { writeEif } from './eif/write.ts';
import type { WrittenEif } from './eif/write.ts';
import { planCpio } from './image/cpio.ts';
import type { CpioEntry } from './image/cpio.ts';
import { BASE_SECTION, LAST_SECTION, localCollaboration, localSections, measureBoot } from './image/local-image.ts';
import { POLICY_VARIABLE } from './image/ramdisk.ts';
import type { Pcrs } from './measure/pcr.ts';
import { sizeImage } from './sizing.ts';
import type { Sizing } from './sizing.ts';
import { VERSION } from './version.ts';

export const IMAGE_FILE = 'image.eif';
export const MEASUREMENTS_FILE = 'measurements.json';
export const BUILD_ARGUMENT_FILE = 'build-arg.txt';

export interface LocalMeasurements {
  readonly apiVersion: 'accord/v1';
  readonly target: 'local';
  readonly collaboration: string;
  readonly policyDigest: PolicyDigest;
  readonly PCR0: string;
  readonly PCR1: string;
  readonly PCR2: string;
  readonly eif: { readonly bytes: number; readonly sha384: string };
  readonly sizing: Sizing;
  readonly inputs: BaseInputs & { readonly accord: string };
}

export interface BuildResult {
  readonly eifPath: string;
  readonly measurementsPath: string;
  readonly measurements: LocalMeasurements;
  readonly policyDigest: PolicyDigest;
  readonly sizing: Sizing;
  /** `ACCORD_POLICY=…`, as it would be given to `docker build --build-arg`. */
  readonly buildArgument: string;
  /** The canonical policy as the image carries it. */
  readonly canonicalPolicy: string;
}

export interface BuildProgress {
  readonly step: 'bundle' | 'verify' | 'make' | 'write';
  readonly text: string;
  /** Bytes; absent for a step without a measure. */
  readonly done?: number;
  readonly total?: number;
}

export interface BuilderOptions {
  /** Default: the user's cache. `false` keeps and reads nothing. */
  readonly cacheDir?: string | false;
  readonly onProgress?: (progress: BuildProgress) => void;
  readonly signal?: AbortSignal;
  /** What the base is made of; by default this installation. */
  readonly base?: BaseOptions;
}

export interface BuildOptions {
  /** Default: the builder's. */
  readonly onProgress?: (progress: BuildProgress) => void;
  /** Ends this build alone; the builder's own signal ends the making of the builder. */
  readonly signal?: AbortSignal;
}

export interface LocalBuilder {
  /** The PCRs that an image of `policy` has, in milliseconds. */
  measure(policy: Policy): Promise<Pcrs>;
  /** Writes the image, its measurements and its build argument to `outDir`. */
  build(policy: Policy, outDir: string, options?: BuildOptions): Promise<BuildResult>;
  readonly inputs: BaseInputs;
  /** Every module of the bundles: our own without suffix, those of packages as `npm:…`. */
  readonly modules: readonly string[];
  /** Every path of the base. */
  readonly paths: readonly string[];
  close(): Promise<void>;
}

/** One image and nothing kept open. */
export async function buildLocalImage(
  options: BuilderOptions & { readonly policy: Policy; readonly outDir: string },
): Promise<BuildResult> {
  const builder = await createLocalBuilder(options);
  try {
    return await builder.build(options.policy, options.outDir, options);
  } finally {
    await builder.close();
  }
}

/** Throws `Failure`: `bundle/…`, `packages/…`, `disk/…` of kind `environment`; `packages/platform` where there is no local image. */
export async function createLocalBuilder(options: BuilderOptions = {}): Promise<LocalBuilder> {
  options.onProgress?.({ step: 'bundle', text: 'bundling the enclave' });
  const base = await localBase(options.base);
  options.signal?.throwIfAborted();
  const opened = await openLocalBase(base, options);
  const unpacked = base.entries.reduce((sum, entry) => sum + contentBytes(entry), 0);

  const prepare = async (policy: Policy): Promise<Prepared> => {
    const canonicalPolicy = canonicalPolicyText(await toCanonicalPolicy(policy));
    const collaboration = localCollaboration(canonicalPolicy);
    const measurement = opened.measurement.fork();
    measurement.update('ramdisk', LAST_SECTION, collaboration);
    return { canonicalPolicy, collaboration, digest: await policyDigest(canonicalPolicy), pcrs: measurement.finish() };
  };

  return {
    measure: async (policy) => (await prepare(policy)).pcrs,
    async build(policy, outDir, { onProgress = options.onProgress, signal } = {}) {
      const prepared = await prepare(policy);
      const eifPath = join(outDir, IMAGE_FILE);
      const buildArgument = `${POLICY_VARIABLE}=${prepared.canonicalPolicy}`;
      let measurements: LocalMeasurements | undefined;
      await commitFiles(outDir, [
        {
          name: IMAGE_FILE,
          write: async (path) => {
            const written = await writeImage(path, policy, prepared, base, opened, (done, total) => {
              signal?.throwIfAborted();
              onProgress?.({ step: 'write', text: 'writing the image', done, total });
            });
            const sizing = sizeImage(policy, written.bytes, unpacked + prepared.collaboration.length);
            measurements = report(policy, prepared, written, sizing, base.inputs);
          },
        },
        { name: BUILD_ARGUMENT_FILE, content: buildArgument },
        // Last: who finds measurements finds the image that they are of.
        () => ({ name: MEASUREMENTS_FILE, content: `${JSON.stringify(measurements, undefined, 2)}\n` }),
      ]);
      if (measurements === undefined) throw new Error('an image was written without a report');
      return {
        eifPath,
        measurementsPath: join(outDir, MEASUREMENTS_FILE),
        measurements,
        policyDigest: prepared.digest,
        sizing: measurements.sizing,
        buildArgument,
        canonicalPolicy: prepared.canonicalPolicy,
      };
    },
    inputs: base.inputs,
    modules: base.modules,
    paths: base.entries.map(({ path }) => path).sort(),
    close: () => opened.close(),
  };
}

interface Prepared {
  readonly canonicalPolicy: string;
  readonly collaboration: Uint8Array;
  readonly digest: PolicyDigest;
  readonly pcrs: Pcrs;
}

function openLocalBase(base: Base, { cacheDir, onProgress, signal }: BuilderOptions): Promise<OpenBase> {
  const TEXTS = { verify: 'checking the base from the cache', make: 'making the base' } as const;
  return openBase(planCpio(base.entries), base.key, {
    cacheDir: cacheDir === false ? undefined : (cacheDir ?? defaultCacheDir(process.env)),
    measure: measureBoot,
    section: BASE_SECTION,
    onProgress: (step, done, total) => onProgress?.({ step, text: TEXTS[step], done, total }),
    ...(signal === undefined ? {} : { signal }),
  });
}

function writeImage(
  path: string,
  policy: Policy,
  { collaboration, digest }: Prepared,
  { inputs, platform }: Base,
  base: OpenBase,
  onProgress: (done: number, total: number) => void,
): Promise<WrittenEif> {
  const metadata = encodeMetadata({
    name: policy.collaboration,
    toolVersion: VERSION,
    kernelVersion: 'none',
    custom: { target: 'local', policyDigest: digest, node: inputs.node.version },
  });
  return writeEif(
    path,
    {
      architecture: platform.cpu === 'arm64' ? 'aarch64' : 'x86_64',
      defaultMemory: BigInt(policy.enclave.memoryMiB) * 1024n * 1024n,
      defaultCpus: BigInt(policy.enclave.cpus),
    },
    localSections(metadata, base, collaboration),
    { digest: true, onProgress },
  );
}

function report(
  policy: Policy,
  { digest, pcrs }: Prepared,
  { bytes, sha384 = '' }: WrittenEif,
  sizing: Sizing,
  inputs: BaseInputs,
): LocalMeasurements {
  const { PCR0, PCR1, PCR2 } = pcrs;
  return {
    apiVersion: 'accord/v1',
    target: 'local',
    collaboration: policy.collaboration,
    policyDigest: digest,
    PCR0,
    PCR1,
    PCR2,
    eif: { bytes, sha384 },
    sizing,
    inputs: { accord: VERSION, ...inputs },
  };
}

function contentBytes(entry: CpioEntry): number {
  if (entry.kind !== 'file') return 0;
  return entry.content instanceof Uint8Array ? entry.content.length : entry.content.bytes;
}
