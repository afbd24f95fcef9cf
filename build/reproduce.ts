/**
 * Builds an image again from the sources and judges what is claimed of it: its measurements, and the file itself where it is
 * there. A party that gets the same PCR0 trusts it because it made it too, and not because somebody said so. What was
 * taken as it is, instead of being made here, is said in words: that is what the party still trusts.
 */
import { createHash } from 'node:crypto';
import { canonicalPolicyText, toCanonicalPolicy } from '../policies/canonical.ts';
import { policyDigest } from '../policies/digest.ts';
import { Failure } from '../policies/failure.ts';
import type { PolicyDigest } from '../policies/model.ts';
import { readAhead, withFileSource } from './byte-source.ts';
import { compareImages } from './compare/compare-images.ts';
import type { Difference } from './compare/difference.ts';
import { compareLeaves } from './compare/leaves.ts';
import type { LeafDifference } from './compare/leaves.ts';
import { measureSigned } from './eif/verify-signature.ts';
import type { SignatureVerdict } from './eif/verify-signature.ts';
import type { AnyPolicy, ImageMeasurements, OnProgress } from './image-builder.ts';

export type ReproduceCode = 'reproduce/other-policy';

/** What somebody says that an image is: `measurements.json`, checked for its form alone. */
export interface Claim {
  readonly policyDigest: PolicyDigest;
  /** Only of a signed image. */
  readonly PCR8?: string;
  /** Everything in it, as JSON has it. */
  readonly all: unknown;
}

export interface Rebuilt {
  readonly eifPath: string;
  readonly measurements: ImageMeasurements;
  /** One sentence each. */
  readonly takenAsIs: readonly string[];
}

/** Builds anew, into a folder that is there, without the cache of images. */
export type Rebuild = (policy: AnyPolicy, outDir: string) => Promise<Rebuilt>;

export interface ReproduceOptions {
  readonly claim: Claim;
  readonly policy: AnyPolicy;
  /** The file that is claimed to be the image; without it only the measurements are judged. */
  readonly image?: string;
  readonly rebuild: Rebuild;
  /** For the rebuilt image; the caller removes it. */
  readonly folder: string;
  readonly now: Date;
  readonly signal?: AbortSignal;
  readonly onProgress?: OnProgress;
}

export interface FileIdentity {
  readonly bytes: number;
  /** Hex. */
  readonly sha384: string;
}

export interface Reproduction {
  readonly same: boolean;
  readonly rebuilt: ImageMeasurements;
  /** Where `measurements.json` is not what the rebuild gives, by path: `PCR0`, `inputs.node.version`. */
  readonly measurements: readonly LeafDifference[];
  /** What the file differs in; undefined where none was given. */
  readonly image:
    | {
        readonly file: FileIdentity;
        readonly differences: readonly Difference[];
        /** Of a signed one. The section itself is not compared: see `compare/compare-images.ts`. */
        readonly signature: SignatureVerdict | undefined;
        readonly PCR8: string | undefined;
      }
    | undefined;
  readonly takenAsIs: readonly string[];
}

/** Throws `reproduce/other-policy` (refused) before anything is built; then what `rebuild` throws, and `eif/…`, `file/…`. */
export async function reproduce(options: ReproduceOptions): Promise<Reproduction> {
  const { claim, policy, image, folder, now } = options;
  await demandPolicy(policy, claim.policyDigest);
  const { eifPath, measurements: rebuilt, takenAsIs } = await options.rebuild(policy, folder);
  const judged = image === undefined ? undefined : await judge(image, eifPath, rebuilt, now, options);
  const measurements = compareMeasurements(claim, rebuilt, judged);
  const isSame =
    measurements.length === 0 &&
    (judged === undefined || (judged.differences.length === 0 && judged.signature?.valid !== false));
  return { same: isSame, rebuilt, measurements, image: judged, takenAsIs: [...takenAsIs, ...unjudged(claim, judged)] };
}

/** What is said of a signed image and cannot be built without its key. */
function unjudged({ PCR8 }: Claim, image: Reproduction['image']): readonly string[] {
  if (PCR8 === undefined) return [];
  return image === undefined
    ? ['PCR8, the file (eif) and the sizing in the measurements: they are of the signed file; --image compares PCR8 and the file'] // prettier-ignore
    : ['the sizing in the measurements: it is of the signed file'];
}

/** All of a claim that can be built; its PCR8, which needs the signer, is compared with that of the image. */
function compareMeasurements(
  { all, PCR8 }: Claim,
  rebuilt: ImageMeasurements,
  image: Reproduction['image'],
): readonly LeafDifference[] {
  const found = compareLeaves(all, rebuilt).filter(({ path }) => PCR8 === undefined || !ofSignature(path));
  if (image === undefined) return found;
  if (image.PCR8 === PCR8) return PCR8 === undefined ? found : [...found, ...compareFile(all, image.file)];
  const json = (value: string | undefined): string | undefined => (value === undefined ? undefined : `"${value}"`);
  return [...found, { path: 'PCR8', claimed: json(PCR8), rebuilt: json(image.PCR8) }];
}

/** The signed file that is claimed is the one that is there. */
function compareFile(all: unknown, file: FileIdentity): readonly LeafDifference[] {
  const claimed: unknown = typeof all === 'object' && all !== null && 'eif' in all ? all.eif : undefined;
  return compareLeaves(claimed, file, 'eif');
}

/** What a signature changes: the certificate's register, and everything that counts the file's bytes. */
function ofSignature(path: string): boolean {
  return path === 'PCR8' || path.startsWith('eif.') || path.startsWith('sizing.');
}

async function demandPolicy(policy: AnyPolicy, claimed: PolicyDigest): Promise<void> {
  const digest = await policyDigest(canonicalPolicyText(await toCanonicalPolicy(policy)));
  if (digest === claimed) return;
  throw new Failure<ReproduceCode>('refused', 'reproduce/other-policy', 'the measurements are of another policy', {
    where: `this one has the digest ${digest}, the measurements name ${claimed}`,
    hint: 'give all files of the policy, and --trust where the image was built with it; `accord diff` compares policies',
  });
}

async function judge(
  given: string,
  built: string,
  rebuilt: ImageMeasurements,
  now: Date,
  { signal, onProgress }: Pick<ReproduceOptions, 'signal' | 'onProgress'>,
): Promise<NonNullable<Reproduction['image']>> {
  const scan = {
    ...(signal === undefined ? {} : { signal }),
    onProgress: (done: number, total: number) =>
      onProgress?.({ step: 'verify', text: 'comparing the images', done, total }),
  };
  const file = await identify(given, signal);
  if (file.bytes === rebuilt.eif.bytes && file.sha384 === rebuilt.eif.sha384) {
    return { file, differences: [], signature: undefined, PCR8: undefined };
  }
  const { differences, signatureSha256 } = await compareImages(given, built, scan);
  // A file whose checksum is wrong is measured by nobody, and is reported as changed already.
  const isUnread = signatureSha256 === undefined || differences.some(({ what }) => what === 'checksum');
  const signed = isUnread ? undefined : await measureSigned(given, now, scan);
  return { file, differences, signature: signed?.signature, PCR8: signed?.pcrs.PCR8 };
}

function identify(path: string, signal: AbortSignal | undefined): Promise<FileIdentity> {
  return withFileSource(path, async (source) => {
    const hash = createHash('sha384');
    for await (const piece of readAhead(source, 0, source.bytes)) {
      signal?.throwIfAborted();
      hash.update(piece);
    }
    return { bytes: source.bytes, sha384: hash.digest('hex') };
  });
}
