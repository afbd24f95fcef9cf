/** From a policy and an open base to an image on the disk, with what is said of it. The same for every target. */
import { join } from 'node:path';
import { canonicalPolicyText, toCanonicalPolicy } from '../policies/canonical.ts';
import { policyDigest } from '../policies/digest.ts';
import type { PolicyDigest } from '../policies/model.ts';
import type { OpenBase } from './cache.ts';
import type { EifInputs } from './image-inputs.ts';
import type { BaseInputs } from './local-base.ts';
import { commitFiles } from './commit-files.ts';
import { encodeMetadata } from './eif/metadata.ts';
import { writeEif } from './eif/write.ts';
import type { HeaderFields, WrittenEif } from './eif/write.ts';
import { BUILD_ARGUMENT_FILE, IMAGE_FILE, MEASUREMENTS_FILE } from './image-builder.ts';
import type { AnyPolicy, BuildOptions, BuildResult, ImageMeasurements, TargetName } from './image-builder.ts';
import { POLICY_VARIABLE } from './image/ramdisk.ts';
import { LAST_SECTION, imageSections } from './image/sections.ts';
import type { Boot } from './image/sections.ts';
import type { Pcrs } from './measure/pcr.ts';
import { SBOM_FILE, sbomText } from './sbom.ts';
import { sizeImage } from './sizing.ts';
import { VERSION } from './version.ts';

/** What a target has of its own. */
export interface Target<Inputs> {
  readonly name: TargetName;
  readonly architecture: HeaderFields['architecture'];
  readonly boot: Boot;
  /** `none` where there is no kernel. */
  readonly kernelVersion: string;
  readonly inputs: Inputs & { readonly node: { readonly version: string } };
  /** The last ramdisk that carries this canonical policy. */
  readonly collaboration: (canonicalPolicy: string) => Uint8Array;
}

/** All of a policy's image that does not need the base. */
export interface PreparedPolicy {
  readonly policy: AnyPolicy;
  readonly canonicalPolicy: string;
  readonly digest: PolicyDigest;
  readonly collaboration: Uint8Array;
}

export async function preparePolicy<Inputs>(target: Target<Inputs>, policy: AnyPolicy): Promise<PreparedPolicy> {
  const canonicalPolicy = canonicalPolicyText(await toCanonicalPolicy(policy));
  const collaboration = target.collaboration(canonicalPolicy);
  return { policy, canonicalPolicy, collaboration, digest: await policyDigest(canonicalPolicy) };
}

/** A few kilobytes of hashing: the base's state is known. */
export function measurePolicy(base: OpenBase, { collaboration }: PreparedPolicy): Pcrs {
  const measurement = base.measurement.fork();
  measurement.update('ramdisk', LAST_SECTION, collaboration);
  return measurement.finish();
}

/** Writes image, build argument, bill of materials and measurements, all of them or none. Throws `disk/…` of kind `environment`. */
export async function writeImage<Inputs extends BaseInputs | EifInputs>(
  target: Target<Inputs>,
  base: OpenBase,
  prepared: PreparedPolicy,
  outDir: string,
  { onProgress, signal, sign }: BuildOptions,
): Promise<BuildResult<Inputs>> {
  const { policy, canonicalPolicy, digest, collaboration } = prepared;
  const pcrs = measurePolicy(base, prepared);
  const signature = sign?.(pcrs.PCR0);
  const buildArgument = `${POLICY_VARIABLE}=${canonicalPolicy}`;
  const metadata = encodeMetadata({
    name: policy.collaboration,
    toolVersion: VERSION,
    kernelVersion: target.kernelVersion,
    custom: { target: target.name, policyDigest: digest, node: target.inputs.node.version },
  });
  let written: WrittenEif | undefined;
  const report = (): ImageMeasurements<Inputs> => {
    if (written?.sha384 === undefined) throw new Error('an image is reported before it was written');
    const { bytes, sha384 } = written;
    return {
      apiVersion: 'accord/v1',
      target: target.name,
      collaboration: policy.collaboration,
      policyDigest: digest,
      PCR0: pcrs.PCR0,
      PCR1: pcrs.PCR1,
      PCR2: pcrs.PCR2,
      ...(signature === undefined ? {} : { PCR8: signature.PCR8 }),
      eif: { bytes, sha384 },
      sizing: sizeImage(policy, bytes, base.unpacked + collaboration.length),
      inputs: { accord: VERSION, ...target.inputs },
    };
  };
  await commitFiles(outDir, [
    {
      name: IMAGE_FILE,
      write: async (path) => {
        written = await writeEif(
          path,
          {
            architecture: target.architecture,
            defaultMemory: BigInt(policy.enclave.memoryMiB) * 1024n * 1024n,
            defaultCpus: BigInt(policy.enclave.cpus),
          },
          imageSections({ boot: target.boot, metadata, base, collaboration, signature: signature?.content }),
          {
            digest: true,
            onProgress: (done, total) => {
              signal?.throwIfAborted();
              onProgress?.({ step: 'write', text: 'writing the image', done, total });
            },
          },
        );
      },
    },
    { name: BUILD_ARGUMENT_FILE, content: buildArgument },
    () => ({ name: SBOM_FILE, content: sbomText(report()) }),
    // Last: who finds measurements finds the image that they are of.
    () => ({ name: MEASUREMENTS_FILE, content: `${JSON.stringify(report(), undefined, 2)}\n` }),
  ]);
  const measurements = report();
  return {
    eifPath: join(outDir, IMAGE_FILE),
    measurementsPath: join(outDir, MEASUREMENTS_FILE),
    sbomPath: join(outDir, SBOM_FILE),
    measurements,
    policyDigest: digest,
    sizing: measurements.sizing,
    buildArgument,
    canonicalPolicy,
  };
}
