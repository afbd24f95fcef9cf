/** `accord reproduce`: builds an image again, and compares it with what is claimed of it. */
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { diskFailure } from '../../build/disk.ts';
import { IMAGE_FILE } from '../../build/image-builder.ts';
import type { AnyPolicy } from '../../build/image-builder.ts';
import { readImagePolicy } from '../../build/image-policy.ts';
import { rebuildLocal } from '../../build/rebuild.ts';
import { reproduce } from '../../build/reproduce.ts';
import type { Rebuild, Reproduction } from '../../build/reproduce.ts';
import { EXIT_CODES } from '../../policies/failure.ts';
import { parseClaim } from '../measurements.ts';
import type { ReproducibleClaim } from '../measurements.ts';
import { readArguments, usage } from './arguments.ts';
import { readText, sizeOf } from './files.ts';
import { readAgreement } from './policy-files.ts';
import { byteProgress } from './progress.ts';
import { renderReproduction } from './render-reproduction.ts';
import type { Io, Verb } from './verb.ts';

const HELP = `usage: accord reproduce measurements.json [--policy FILE…] [--trust FILE] [--image FILE.eif] [--json]

Builds the image again, from the sources of this installation and the locked inputs, and compares: every measurement, and
the file itself byte for byte. Where they differ it says in what: section by section, and file by file in the ramdisks. No
image that was built before is used. Whoever gets the same PCR0 need not believe whoever published it.

  measurements.json  what \`accord build\` wrote, or what its author published
  --policy FILE      the policy, with all its parts (may be repeated) or as the orchestrator publishes it; default: what the
                     image carries
  --trust FILE       the local stand-in for AWS that the image was built with
  --image FILE.eif   the image (default: image.eif beside the measurements, where there is one)
  --json             {same, measurements, image, rebuilt, takenAsIs}, with all differences

The signature of a signed image is checked, and not compared: nobody can make the same one again.

Exit codes: 0 the same, 10 it differs, or is of another policy, 30 malformed measurements, policy or image,
40 disk, network or engine.
`;

const OPTIONS = {
  policy: { type: 'string', multiple: true },
  trust: { type: 'string' },
  image: { type: 'string' },
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
    const folder = await mkdtemp(join(tmpdir(), 'accord-reproduce-')).catch((error: unknown) => {
      throw diskFailure(error, tmpdir(), 'making a temporary folder');
    });
    try {
      const policy = await policyOf(values, image, io);
      const reproduction = await reproduce({
        claim,
        policy,
        ...(image === undefined ? {} : { image: resolve(io.cwd, image) }),
        rebuild: rebuildOf(claim, { onProgress, signal: io.signal }),
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

function rebuildOf({ target }: ReproducibleClaim, how: Parameters<typeof rebuildLocal>[0]): Rebuild {
  switch (target) {
    case 'local':
      return rebuildLocal(how);
    case 'nitro':
      throw usage('reproduce', 'images for Nitro cannot be reproduced yet');
  }
}

function tell(
  reproduction: Reproduction,
  names: { readonly file: string; readonly image: string | undefined },
  json: boolean,
  io: Io,
): void {
  io.out(json ? `${JSON.stringify(reproduction)}\n` : renderReproduction(reproduction, names));
}
