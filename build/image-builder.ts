/** What makes images of policies: the same for every target, so that whoever asks for an image need not know which it is. */
import type { Pcrs } from './measure/pcr.ts';
import type { CanonicalPolicy, Policy, PolicyDigest } from '../policies/model.ts';
import type { SignatureSection } from './eif/sign.ts';
import type { Sizing } from './sizing.ts';

export const IMAGE_FILE = 'image.eif';
export const MEASUREMENTS_FILE = 'measurements.json';
export const BUILD_ARGUMENT_FILE = 'build-arg.txt';

/** `nitro`: a kernel, an init and a root file system, for Nitro and QEMU. `local`: runs as a process of this machine. */
export type TargetName = 'nitro' | 'local';

/** What `measurements.json` holds. Neither a time, nor a place, nor the engine's name: they would differ between builders. */
export interface ImageMeasurements<Inputs = object> extends Pcrs {
  readonly apiVersion: 'accord/v1';
  readonly target: TargetName;
  readonly collaboration: string;
  readonly policyDigest: PolicyDigest;
  readonly eif: { readonly bytes: number; readonly sha384: string };
  readonly sizing: Sizing;
  readonly inputs: Inputs & { readonly accord: string };
}

export interface BuildResult<Inputs = object> {
  readonly eifPath: string;
  readonly measurementsPath: string;
  /** What is in the image, as CycloneDX. */
  readonly sbomPath: string;
  readonly measurements: ImageMeasurements<Inputs>;
  readonly policyDigest: PolicyDigest;
  readonly sizing: Sizing;
  /** `ACCORD_POLICY=…`, as it is given to `docker build --build-arg`. */
  readonly buildArgument: string;
  /** The canonical policy as the image carries it. */
  readonly canonicalPolicy: string;
}

export interface BuildProgress {
  readonly step: 'bundle' | 'inputs' | 'boot' | 'engine' | 'layers' | 'verify' | 'make' | 'write';
  readonly text: string;
  /** Bytes; absent for a step without a measure. */
  readonly done?: number;
  readonly total?: number;
}

export type OnProgress = (progress: BuildProgress) => void;

export interface BuildOptions {
  /** Default: the builder's. */
  readonly onProgress?: OnProgress;
  /** Ends this build alone; the builder's own signal ends the making of the builder. */
  readonly signal?: AbortSignal;
  /** Signs an image of this PCR0: the signature section, and PCR8 with it. */
  readonly sign?: (pcr0: string) => SignatureSection;
}

/** As its authors wrote it, or as an image carries it: both give the same image. */
export type AnyPolicy = Policy | CanonicalPolicy;

export interface ImageBuilder<Inputs = object> {
  /** The PCRs that an image of `policy` has, in milliseconds once the base is known. */
  measure(policy: AnyPolicy): Promise<Pcrs>;
  /** Writes the image, its measurements and its build argument to `outDir`. */
  build(policy: AnyPolicy, outDir: string, options?: BuildOptions): Promise<BuildResult<Inputs>>;
  readonly inputs: Inputs;
  /** Every module of the bundles: our own without suffix, those of packages as `npm:…`. */
  readonly modules: readonly string[];
  /** Every path of the base. */
  readonly paths: readonly string[];
  close(): Promise<void>;
}
