/** `accord reproduce`: builds an image again, and compares it with what is claimed of it. */
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { diskFailure } from '../../build/disk.ts';
import { IMAGE_FILE } from '../../build/image-builder.ts';
import type { AnyPolicy, OnProgress } from '../../build/image-builder.ts';
import { readImagePolicy } from '../../build/image-policy.ts';
import { rebuildLocal, rebuildNitro } from '../../build/rebuild.ts';
import { reproduce } from '../../build/reproduce.ts';
import type { Rebuild, Reproduction } from '../../build/reproduce.ts';
import { EXIT_CODES } from '../../policies/failure.ts';
import { parseClaim } from '../measurements.ts';
import type { ReproducibleClaim } from '../measurements.ts';
import { readArguments, usage } from './arguments.ts';
import { engineOption } from './engine-option.ts';
import { readText, sizeOf } from './files.ts';
import { readAgreement } from './policy-files.ts';
import { byteProgress } from './progress.ts';
import { renderReproduction } from './render-reproduction.ts';
import type { Io, Verb } from './verb.ts';

const HELP = `usage: accord reproduce measurements.json [--policy FILE…] [--trust FILE] [--image FILE.eif] [--from-source]
                        [--engine NAME] [--base IMAGE] [--blobs DIR] [--json]

Builds the image again, from the sources of this installation and the locked inputs, and compares: every measurement, and
the file itself byte for byte. Where they differ it says in what: section by section, and file by file in the ramdisks. No
image that was built before is used. Whoever gets the same PCR0 need not believe whoever published it.

  measurements.json  what \`accord build\` wrote, or what its author published
  --policy FILE      the policy, with all its parts (may be repeated) or as the orchestrator publishes it; default: what the
                     image carries
  --trust FILE       the local stand-in for AWS that the image was built with
  --image FILE.eif   the image (default: image.eif beside the measurements, where there is one)
  --from-source      compile kernel and init again too, which takes minutes; otherwise those of an earlier build are taken
  --engine NAME      docker, buildah or podman (default: the first that works); the image does not depend on it
  --base IMAGE       the registry's image NAME@sha256:… that the C library was taken from, for an image that was built so: you
                     trust whoever made it, and the engine to fetch it
  --blobs DIR        nitro-cli's kernel and init, for an image that was built with them
  --json             {same, measurements, image, rebuilt, takenAsIs}, with all differences

The signature of a signed image is checked, and not compared: nobody can make the same one again.

Exit codes: 0 the same, 10 it differs, or is of another policy, 30 malformed measurements, policy or image,
40 disk, network or engine.
`;

const OPTIONS = {
  policy: { type: 'string', multiple: true },
  trust: { type: 'string' },
  image: { type: 'string' },
  'from-source': { type: 'boolean', default: false },
  engine: { type: 'string' },
  base: { type: 'string' },
  blobs: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const;

export const verb: Verb = {
  help: HELP,
  async run(argv, io) {
    const { values, positionals } = readArguments('reproduce', argv, OPTIONS, ['measurements.json']);
    const [file = ''] = positionals;
    const claim = parseClaim(await readText(io, file), file);
    const image = await imageOf(values.image, file, io);
    const progress = byteProgress(io);
    const onProgress = ({ text, done, total }: { text: string; done?: number; total?: number }): void =>
      progress.update(text, done, total);
    const rebuild = rebuildOf(claim, values, onProgress, io);
    const folder = await mkdtemp(join(tmpdir(), 'accord-reproduce-')).catch((error: unknown) => {
      throw diskFailure(error, tmpdir(), 'making a temporary folder');
    });
    try {
      const policy = await policyOf(values, image, io);
      const reproduction = await reproduce({
        claim,
        policy,
        ...(image === undefined ? {} : { image: resolve(io.cwd, image) }),
        rebuild,
        folder,
        now: new Date(),
        signal: io.signal,
        onProgress,
      });
      progress.end();
      tell(reproduction, { file, image }, values.json, io);
      return reproduction.same ? 0 : EXIT_CODES.refused;
    } finally {
      progress.end();
      await rm(folder, { recursive: true, force: true });
    }
  },
};

/** The one that is named, else the one beside the measurements. */
async function imageOf(named: string | undefined, file: string, io: Io): Promise<string | undefined> {
  if (named !== undefined) {
    await sizeOf(io, named); // a slip in the name is told before the work begins
    return named;
  }
  if (file === '-') return undefined;
  const beside = join(dirname(file), IMAGE_FILE);
  const found = await stat(resolve(io.cwd, beside)).catch(() => undefined);
  return found?.isFile() === true ? beside : undefined;
}

async function policyOf(
  { policy = [], trust }: { readonly policy?: readonly string[] | undefined; readonly trust?: string | undefined },
  image: string | undefined,
  io: Io,
): Promise<AnyPolicy> {
  const [first, ...parts] = policy;
  if (first !== undefined) return readAgreement(io, [first, ...parts], trust);
  if (trust !== undefined) throw usage('reproduce', '--trust goes with --policy');
  if (image !== undefined) return readImagePolicy(resolve(io.cwd, image), { signal: io.signal });
  throw usage('reproduce', '--policy FILE is missing, and so is an image that carries the policy (--image FILE.eif)');
}

interface NitroValues {
  readonly 'from-source': boolean;
  readonly engine?: string | undefined;
  readonly base?: string | undefined;
  readonly blobs?: string | undefined;
}

/** The way that the claim says, with what it cannot say. */
function rebuildOf(claim: ReproducibleClaim, values: NitroValues, onProgress: OnProgress, io: Io): Rebuild {
  const { 'from-source': fromSource, base, blobs } = values;
  const engine = engineOption('reproduce', values.engine);
  const common = { onProgress, signal: io.signal };
  switch (claim.target) {
    case 'local': {
      const stray = fromSource
        ? 'from-source'
        : engine !== undefined
          ? 'engine'
          : base !== undefined
            ? 'base'
            : blobs !== undefined
              ? 'blobs'
              : undefined;
      if (stray !== undefined) throw usage('reproduce', `--${stray} is of no use: the image is for the local host`);
      return rebuildLocal(common);
    }
    case 'nitro':
      if (claim.isFromBlobs && blobs === undefined) {
        throw usage('reproduce', 'the image has the kernel and init of nitro-cli: --blobs DIR says where they are');
      }
      if (!claim.isFromBlobs && blobs !== undefined) {
        throw usage('reproduce', '--blobs is of no use: the image has a kernel and an init of our own');
      }
      demandBase(claim.base, base);
      return rebuildNitro({
        ...common,
        env: io.env,
        fromSource,
        ...(engine === undefined ? {} : { engine }),
        ...(base === undefined ? {} : { base }),
        ...(blobs === undefined ? {} : { blobs: resolve(io.cwd, blobs) }),
      });
  }
}

/** A C library of anybody's choice does anything: that the same comes out again says nothing for one that the claim chose. */
function demandBase(claimed: string | undefined, named: string | undefined): void {
  if (claimed === named) return;
  if (claimed === undefined) {
    throw usage('reproduce', '--base is of no use: the image has its C library from the locked packages of Debian');
  }
  throw usage(
    'reproduce',
    named === undefined
      ? `the image has its C library from ${claimed}, which whoever built it chose: where you trust that one, say so with --base`
      : `the image has its C library from ${claimed}, and --base names another`,
  );
}

function tell(
  reproduction: Reproduction,
  names: { readonly file: string; readonly image: string | undefined },
  json: boolean,
  io: Io,
): void {
  io.out(json ? `${JSON.stringify(reproduction)}\n` : renderReproduction(reproduction, names));
}
